// SPDX-License-Identifier: MIT

package sfpool

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/questdb-sf/questdb_sf/internal/deadletter"
	"github.com/questdb-sf/questdb_sf/internal/qwp"
	"github.com/questdb-sf/questdb_sf/internal/slot"
	"github.com/questdb-sf/questdb_sf/internal/vfs/vfstest"
)

// mortal is a machine that dies before a call to its disk.
type mortal struct {
	mem *vfstest.Mem

	mu     sync.Mutex
	left   int            // calls until then; 0 while it is not to die
	after  []*vfstest.Mem // what a power cut, or the death of the process, leaves
	stored map[int64]bool // rows that were published before
}

func (m *mortal) hook(vfstest.Op) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.left > 0 {
		if m.left--; m.left == 0 {
			m.after = []*vfstest.Mem{m.mem.CrashLost(), m.mem.CrashKept()}
		}
	}
	if m.after != nil {
		return errors.New("the machine is dead")
	}
	return nil
}

func (m *mortal) publish(t testing.TB, frames [][]byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.after == nil {
		idsOf(t, frames, m.stored)
	}
}

func (m *mortal) dieAt(call int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.left = call
}

// A machine that dies between the storing of a row and the removal of its letter
// sends it twice, and never not at all.
func TestACrashWhileLettersAreFedLosesNone(t *testing.T) {
	states := 0
	for at := 1; ; at++ {
		m := &mortal{mem: vfstest.NewMem(), stored: map[int64]bool{}}
		feedNine(t, m, at)
		if m.after == nil {
			t.Logf("%d states after a crash before each of %d calls", states, at-1)
			return
		}
		for _, disk := range m.after {
			states++
			there := lettersOn(t, disk)
			for id := range int64(9) {
				if !m.stored[id] && !there[id] {
					t.Fatalf("call %d: row %d is neither stored nor a letter", at, id)
				}
			}
		}
	}
}

// feedNine feeds nine letters back in three goes.
func feedNine(t testing.TB, m *mortal, dieAt int) {
	t.Helper()
	b := newBed(t)
	cfg := b.config()
	cfg.FS = vfstest.Wrap(m.mem, m.hook)
	b.sent = func(_ int, _ slot.FSN, frames [][]byte) { m.publish(t, frames) }
	p := b.open(cfg)
	var list []deadletter.Letter
	for id := range int64(9) {
		var r Row
		r.Reset("t")
		r.Long("id", id)
		list = append(list, deadletter.Letter{Key: &deadletter.Key{FSN: id}, Row: &r, Class: deadletter.Refused})
	}
	do(t, p.letters.Add(list))
	m.dieAt(dieAt)
	for range 3 {
		if _, err := p.FeedBack(context.Background(), 3); err != nil {
			break
		}
	}
	m.dieAt(0)
	_ = p.Close(context.Background()) // ends what else uses the disk
}

func lettersOn(t testing.TB, disk *vfstest.Mem) map[int64]bool {
	t.Helper()
	f := deadletter.Open(deadletter.Options{FS: disk, Dir: "/sf", SenderID: "default"})
	there := map[int64]bool{}
	_, err := f.Read(deadletter.Refused, func(l *deadletter.Found) bool {
		there[l.Row.Cells[0].Int()] = true
		return true
	})
	do(t, err)
	return there
}

func idsOf(t testing.TB, frames [][]byte, into map[int64]bool) {
	t.Helper()
	var v qwp.View
	for _, f := range frames {
		do(t, v.Parse(f, nil))
		for row := range v.Tables()[0].All(0, v.Tables()[0].Rows, &Row{}) {
			into[row.Cells[0].Int()] = true
		}
	}
}
