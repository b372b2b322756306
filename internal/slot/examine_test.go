// SPDX-License-Identifier: MIT

package slot_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/slot"
	"github.com/questdb-sf/questdb_sf/internal/vfs"
	"github.com/questdb-sf/questdb_sf/internal/vfs/vfstest"
)

func examine(fsys vfs.FS, deep, alone bool) (*slot.Examination, error) {
	return slot.Examine(slot.ExamineOptions{
		FS: fsys, Dir: dir, Target: "http://questdb:9000\n", Deep: deep, Alone: alone,
		Inspect: func(b []byte) (int, int64, int64, bool, error) {
			if len(b) == commitBytes {
				return 0, 0, 0, false, nil
			}
			return inspect(b)
		},
	})
}

// commitBytes are those of the messages in a hollow segment.
const commitBytes = 14

// diagnose compares what an examination finds with what Open then does.
func (p *patient) diagnose(t testing.TB, h harm) error {
	mem, files := p.with(t, h.change)
	before := snapshot(t, mem)
	e, err := examine(mem, true, true)
	quick, quickErr := examine(mem, false, true)
	if !maps.Equal(before, snapshot(t, mem)) {
		return errors.New("it was changed by looking at it")
	}
	told := 0
	o := options(mem)
	o.MaxBytes, o.Target = 8*4096, "http://questdb:9000\n"
	o.OnIncident = func(slot.Incident) { told++ }
	s, openErr := slot.Open(o)
	if foreign := (*slot.ForeignError)(nil); errors.As(openErr, &foreign) {
		if err == nil && e.Foreign == "" {
			return fmt.Errorf("open says %w", openErr)
		}
		return nil
	}
	if err := errors.Join(openErr, err, quickErr); err != nil {
		return err
	}
	defer s.Close()
	early := told
	list, err := p.delivered(s, nil)
	if err != nil {
		return err
	}
	switch grade := e.Grade(); {
	case told > 0 && grade != slot.Wounded:
		return fmt.Errorf("recovery tells of %d wounds, examination says %s: %+v", told, grade, e.Findings)
	case told == 0 && grade == slot.Wounded && p.sound(files):
		return fmt.Errorf("recovery finds no wound, examination says %+v", e.Findings)
	}
	if st := s.Stats(); early == told && quick.Stats.PendingFrames != st.PendingFrames {
		return fmt.Errorf("%d pending frames, and %d when it was opened", quick.Stats.PendingFrames, st.PendingFrames)
	}
	return p.shown(quick, list)
}

// sound says whether every frame that stood in the files still does.
func (p *patient) sound(files map[string][]byte) bool {
	for _, one := range p.all {
		rec := record(one)
		for name, was := range p.files {
			if !strings.HasSuffix(name, ".sfa") {
				continue
			}
			if at := bytes.Index(was, rec); at >= 0 && !bytes.HasPrefix(files[name][min(at, len(files[name])):], rec) {
				return false
			}
		}
	}
	return true
}

// shown checks that all that is delivered is shown as pending.
func (p *patient) shown(e *slot.Examination, list []entry) error {
	var got []entry
	err := e.Each(slot.Wish{To: 1 << 61, Pending: true, Skipped: func(string, string) {}}, func(f *slot.Framed) error {
		got = append(got, entry{f.FSN, idOf(f.Bytes)})
		return nil
	})
	if err == nil && fmt.Sprint(got) != fmt.Sprint(list) {
		err = fmt.Errorf("shown %v, delivered %v", got, list)
	}
	return err
}

func TestEveryWoundOfASmallSlotIsFoundByLookingAtIt(t *testing.T) {
	step := 5
	if testing.Short() {
		step = 23 * thin
	}
	for _, killed := range []bool{false, true} {
		t.Run(fmt.Sprintf("killed=%t", killed), func(t *testing.T) {
			t.Parallel()
			p := sick(t, killed)
			for i, h := range p.harms(step) {
				if thin > 1 && killed == (i%2 == 0) {
					continue // under the race detector each has half of them
				}
				if err := p.diagnose(t, h); err != nil {
					t.Errorf("%s: %v", h.name, err)
				}
			}
		})
	}
}

func TestAHealthySlotIsClean(t *testing.T) {
	for _, killed := range []bool{false, true} {
		p := sick(t, killed)
		mem, _ := p.with(t, func(map[string][]byte) {})
		for _, deep := range []bool{false, true} {
			e, err := examine(mem, deep, true)
			if err != nil || e.Grade() != slot.Clean || e.FirstPending != 2 || e.Stats.PendingFrames != 12 || e.Closed == killed {
				t.Errorf("killed=%t, deep=%t: %+v, %v", killed, deep, e, err)
			}
		}
	}
}

// busy works in a slot until it is told to stop: it stores, settles out of order, closes
// and opens again, and keeps what is acked.
func busy(t *testing.T, mem *vfstest.Mem, stop <-chan struct{}, done chan<- struct{}) {
	defer close(done)
	o := options(mem)
	o.MaxBytes, o.Target = 64*4096, "http://questdb:9000\n"
	id := uint64(0)
	for round := 0; ; round++ {
		if o.Retain = nil; round%2 == 1 {
			o.Retain = slot.NewRetention(mem, 0, 8*4096, time.Now)
		}
		s, err := slot.Open(o)
		if err != nil {
			t.Error(err)
			return
		}
		for range 40 {
			if err := store(s, frame(id, 1, 300+int(id*131%900)), frame(id+1, 1, 500)); err != nil {
				t.Error(err)
			}
			id += 2
			if st := s.Stats(); st.PendingFrames > 20 {
				for fsn := st.Watermark + 2; fsn <= st.Watermark+15; fsn++ {
					do(t, s.Settle(fsn, 1, slot.Acked))
				}
				do(t, s.Settle(st.Watermark+1, 1, slot.Acked))
			}
		}
		do(t, s.Close())
		select {
		case <-stop:
			return
		default:
		}
	}
}

func TestASlotInUseIsCleanWhateverItsOwnerDoesMeanwhile(t *testing.T) {
	t.Parallel()
	mem := newMem()
	stop, done := make(chan struct{}), make(chan struct{})
	go busy(t, mem, stop, done)
	looks, frames := 0, 0
	for end := time.Now().Add(time.Second); time.Now().Before(end); looks++ {
		e, err := examine(mem, looks%2 == 0, false)
		if errors.Is(err, fs.ErrNotExist) {
			continue // it is not there yet
		}
		if err != nil || e.Grade() != slot.Clean {
			t.Errorf("%+v, %v", e, err)
			break
		}
		last := slot.FSN(-1)
		err = e.Each(slot.Wish{To: 1 << 61, Pending: true, Skipped: func(file, why string) { t.Errorf("%s: %s", file, why) }}, func(f *slot.Framed) error {
			if len(f.Bytes) == commitBytes {
				return nil // it was settled meanwhile, and its segment is hollow
			}
			if frames++; f.FSN <= last || !bytes.Equal(f.Bytes, payload(idOf(f.Bytes), 1, len(f.Bytes))) {
				return fmt.Errorf("frame %d behind %d is %.40q", f.FSN, last, f.Bytes)
			}
			last = f.FSN
			return nil
		})
		if err != nil {
			t.Error(err)
			break
		}
	}
	close(stop)
	<-done
	if looks == 0 || frames == 0 {
		t.Errorf("%d looks, %d frames", looks, frames)
	}
	t.Logf("%d looks, %d frames", looks, frames)
}

func TestTheFramesOfAWoundedSlotAreCountedOnceAndOnlyTheWholeOnes(t *testing.T) {
	const each = 8 + 100
	for at, left := range map[int]int64{24 + 50: 19, 24 + 2*each + 1: 19, 24 + 19*each + 50: 19, 24 + 5: 19} {
		mem := newMem()
		s := open(t, options(mem))
		fill(t, s, 0, 20, 100)
		do(t, s.Close())
		name := segments(t, mem)[0]
		b := read(t, mem, name)
		b[at] ^= 1
		write(t, mem, name, b)
		for range 2 { // before and after it was told
			e, err := examine(mem, true, true)
			if err != nil || e.Frames != left {
				t.Errorf("byte %d: %v, %s, %d whole frames, not %d", at, err, e.Grade(), e.Frames, left)
			}
			do(t, open(t, options(mem)).Close())
		}
	}
}
