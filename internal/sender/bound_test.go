// SPDX-License-Identifier: MIT

package sender_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/qwp"
	"github.com/questdb-sf/questdb_sf/internal/sender"
	"github.com/questdb-sf/questdb_sf/internal/slot"
	"github.com/questdb-sf/questdb_sf/internal/vfs/vfstest"
)

func TestOnlySoManyFramesAreSetAside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit = 1 << 15
		var log diary
		o := &oracle{}
		o.hold("b")
		b := startBed(t, vfstest.NewMem(), &server{window: 4}, sender.Config{Tables: o, Log: slog.New(slog.NewTextHandler(&log, nil))})
		for range limit / 512 {
			b.storeFrames(512, "b")
		}
		b.storeIn("a")
		synctest.Wait()
		b.has(limit)
		b.storeIn("b", "a") // one more than there is room for
		b.storeIn("a")
		time.Sleep(time.Hour)
		synctest.Wait()
		b.has(limit)
		if st := b.loop.State(); st.Held != limit || strings.Count(log.String(), "so many frames") != 1 {
			t.Errorf("%+v; %s", st, log.String())
		}
		o.hold()
		time.Sleep(2 * time.Minute)
		b.drained()
		if got := b.srv.ids(); len(got) != limit+4 {
			t.Errorf("%d rows", len(got))
		}
	})
}

// storeFrames publishes n frames at once, each with the same row.
func (b *bed) storeFrames(n int, table string) {
	b.Helper()
	var r qwp.Row
	r.Reset(table)
	r.Long("id", b.next)
	r.At(1700000000000000)
	b.next += int64(n)
	build := qwp.NewBuilder(1 << 15)
	if err := build.Add(&r); err != nil {
		b.Fatal(err)
	}
	frame := build.AppendFrame(nil)
	tx, err := b.slot.Reserve(context.Background(), slices.Repeat([]int{len(frame)}, n))
	for range n {
		err = errors.Join(err, tx.Append(slot.Frame{Bytes: frame, Rows: 1}))
	}
	if err != nil {
		b.Fatal(err)
	}
	tx.Publish()
}

// TestManyTablesAreNotRememberedForEver has more tables than verdicts are kept.
func TestManyTablesAreNotRememberedForEver(t *testing.T) {
	heldBed(t, &server{window: 4}, []string{"b"}, func(t *testing.T, b *bed, o *oracle) {
		b.storeIn("b")
		for i := range 50 {
			var tables []string
			for k := range 100 {
				tables = append(tables, fmt.Sprintf("t%d", 100*i+k))
			}
			b.storeIn(tables...)
		}
		synctest.Wait()
		o.hold()
		time.Sleep(2 * time.Minute)
		b.drained()
		if got := b.srv.ids(); len(got) != 5001 {
			t.Errorf("%d rows", len(got))
		}
	})
}
