// SPDX-License-Identifier: MIT

package sfpool

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/vfs/vfstest"
)

// inRAM is a pool without sf_dir, whose filesystem must not be used.
func inRAM(t testing.TB, b *bed) *Pool {
	cfg := b.config()
	cfg.Dir = ""
	cfg.FS = vfstest.Wrap(vfstest.NewMem(), func(op vfstest.Op) error {
		t.Errorf("%s of %s in RAM mode", op.Kind, op.Path)
		return errTest
	})
	return (&server{down: true}).open(t, cfg)
}

func TestWithoutSfDirSlotsHaveNoIndexAndNoFileIsTouched(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed, _ *script) {
		p := inRAM(t, b)
		senders := b.take(p, 4)
		if got := indices(senders); !slices.Equal(got, []int{-1, -1, -1, -1}) {
			t.Errorf("indices %v", got)
		}
		starve(t, p)
		for _, s := range senders {
			put(t, p, s)
			s.Return()
		}
		time.Sleep(time.Hour)
		if st := p.Stats(); st.Pending != 4 || st.Live != 4 {
			t.Errorf("stats %+v", st)
		}
		var lost *LostError
		if err := p.Close(context.Background()); !errors.As(err, &lost) || lost.Rows != 4 {
			t.Errorf("close: %v", err)
		}
	})
}

func TestWithoutSfDirRowsMayTake128MiB(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed, _ *script) {
		if st := inRAM(t, b).Stats(); st.MaxBytes != 128<<20 {
			t.Errorf("%d bytes", st.MaxBytes)
		}
	})
}

func TestWithoutSfDirADiscardedSenderLosesNoRow(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed, _ *script) {
		p := inRAM(t, b)
		s := b.take(p, 1)[0]
		put(t, p, s)
		s.Discard()
		time.Sleep(time.Hour)
		if st := p.Stats(); st.Pending != 1 {
			t.Errorf("stats %+v", st)
		}
	})
}

func TestWithoutSfDirRowsOfASenderThatIsNotReturnedAreLostToo(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed, _ *script) {
		p := inRAM(t, b)
		senders := b.take(p, 2)
		for _, s := range senders {
			put(t, p, s)
		}
		senders[0].Return()
		var lost *LostError
		if err := p.Close(context.Background()); !errors.As(err, &lost) || lost.Rows != 2 {
			t.Errorf("close: %v", err)
		}
		senders[1].Return()
	})
}

func TestWithoutSfDirNoDurabilityOfADiskIsPromised(t *testing.T) {
	cfg := Config{URLs: []string{"http://127.0.0.1:1"}}
	for d, fits := range map[Durability]bool{
		0: true, DurabilityMemory: true, DurabilityPeriodic: false, DurabilityFlush: false,
	} {
		cfg.Durability = d
		if err := cfg.Validate(); (err == nil) != fits {
			t.Errorf("%v: %v", d, err)
		}
	}
}
