// SPDX-License-Identifier: MIT

package sender_test

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/sender"
	"github.com/questdb-sf/questdb_sf/internal/vfs/vfstest"
)

func TestOnlySoManyFramesAreSetAside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit = 4096
		var log diary
		o := &oracle{}
		o.hold("b")
		b := startBed(t, vfstest.NewMem(), &server{window: 4}, sender.Config{Tables: o, Log: slog.New(slog.NewTextHandler(&log, nil))})
		for range limit {
			b.storeIn("b")
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
