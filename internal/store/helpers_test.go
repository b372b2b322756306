// SPDX-License-Identifier: MIT

package store_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/questdb-sf/questdb_sf/internal/store"
	"github.com/questdb-sf/questdb_sf/internal/vfs/vfstest"
	"github.com/questdb-sf/questdb_sf/sfpool"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// disk is a filesystem in memory that fails when it is told to.
type disk struct {
	*vfstest.Mem
	mu   sync.Mutex
	err  error // of everything but what unlocks and closes
	only func(vfstest.Op) bool
	sees func(vfstest.Op)
	log  logBuffer
}

func newDisk() *disk { return &disk{Mem: vfstest.NewMem()} }

// fails makes the operations fail that only picks, or all; nil heals.
func (d *disk) fails(err error, only func(vfstest.Op) bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.err, d.only = err, only
}

// watch lets f see every operation, one at a time; nil ends it.
func (d *disk) watch(f func(vfstest.Op)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.sees = f
}

// removeAll is rm -r.
func (d *disk) removeAll(path string) {
	list, _ := d.ReadDir(path)
	for _, e := range list {
		d.removeAll(filepath.Join(path, e.Name()))
	}
	_ = d.Remove(path)
}

func (d *disk) hook(op vfstest.Op) error {
	d.mu.Lock()
	err, only := d.err, d.only
	if d.sees != nil {
		d.sees(op)
	}
	d.mu.Unlock()
	if err == nil || op.Kind == vfstest.OpUnlock || op.Kind == vfstest.OpClose || only != nil && !only(op) {
		return nil
	}
	return &fs.PathError{Op: op.Kind.String(), Path: op.Path, Err: err}
}

// settings are those of a block whose server is down.
func (d *disk) settings() store.Settings {
	log := slog.New(slog.NewTextHandler(&d.log, nil))
	return store.Settings{
		Pool: sfpool.Config{
			URLs: []string{"http://127.0.0.1:1"}, Dir: "/sf", FS: vfstest.Wrap(d.Mem, d.hook),
			Durability: sfpool.DurabilityFlush, MaxBackoff: time.Hour, InitialBackoff: time.Hour,
			CloseFlushTimeout: time.Second, Logger: log,
		},
		RAM: true, Fingerprint: "urls = http://127.0.0.1:1\nsf_durability = flush", Log: log,
	}
}

// inTime runs a test in simulated time.
func inTime(t *testing.T, f func(t *testing.T, d *disk)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(t, newDisk()) })
}

// share returns a store that is released at the end of the test.
func share(t testing.TB, s store.Settings) *store.Store {
	t.Helper()
	st, err := store.Share(s)
	do(t, err)
	t.Cleanup(func() { _ = st.Release(context.Background()) })
	return st
}

// opened is share with Open, which must succeed.
func opened(t testing.TB, s store.Settings) *store.Store {
	t.Helper()
	st := share(t, s)
	do(t, st.Open(context.Background()))
	return st
}

// put stores rows as a Write does: a failure that another pool makes up for is
// tried again.
func put(t testing.TB, st *store.Store, rows int) error {
	t.Helper()
	for range 3 {
		p, release, err := st.Pool()
		if err != nil {
			return err
		}
		err = flush(t, p, rows)
		if again := st.Failed(p, err); !again {
			release()
			return err
		}
		release()
	}
	return errors.New("three pools have failed")
}

func flush(t testing.TB, p *sfpool.Pool, rows int) error {
	t.Helper()
	s, err := p.Borrow(context.Background())
	if err != nil {
		return err
	}
	defer s.Return()
	batch := p.NewBatch()
	for i := range rows {
		var r sfpool.Row
		r.Reset("t")
		r.Long("id", int64(i))
		r.At(1700000000000000 + int64(i))
		do(t, batch.Add(&r))
	}
	return s.Flush(context.Background(), batch)
}

// fillTwo stores a row in each of two slots.
func fillTwo(t testing.TB, st *store.Store) {
	t.Helper()
	p, release, err := st.Pool()
	do(t, err)
	defer release()
	s, err := p.Borrow(context.Background())
	do(t, err)
	do(t, flush(t, p, 1)) // in the second
	s.Return()
	do(t, flush(t, p, 1))
}

// openAllSlots makes the slots that an earlier pool left show what they hold.
func openAllSlots(t testing.TB, st *store.Store) {
	t.Helper()
	p, release, err := st.Pool()
	do(t, err)
	defer release()
	for range 4 {
		s, err := p.Borrow(context.Background())
		do(t, err)
		defer s.Return()
	}
}

func do(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// wants compares the pending rows on disk and in RAM, and whether RAM takes new ones.
func wants(t testing.TB, st *store.Store, onDisk, inRAM int64, ram bool) {
	t.Helper()
	s := st.Stats()
	if s.Pending != onDisk || s.RAMStats.Pending != inRAM || s.RAM != ram {
		t.Errorf("pending on disk %d, in RAM %d, RAM: %t; want %d, %d, %t", s.Pending, s.RAMStats.Pending, s.RAM, onDisk, inRAM, ram)
	}
	for _, l := range []sfpool.Stats{s.Stats, s.RAMStats} {
		if l.Accepted != l.Acked+l.Pending+l.DeadLettered+l.Gone {
			t.Errorf("the ledger does not balance: %+v", l)
		}
	}
}

// logBuffer keeps what was logged.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

// said fails the test unless text was logged n times.
func (l *logBuffer) said(t testing.TB, text string, n int) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if got := strings.Count(l.buf.String(), text); got != n {
		t.Errorf("%q was said %d times, want %d:\n%s", text, got, n, l.buf.String())
	}
}

// lines counts what was logged.
func (l *logBuffer) lines() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.buf.String(), "\n")
}
