// SPDX-License-Identifier: MIT

package sfpool

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/questdb-sf/questdb_sf/internal/link"
	"github.com/questdb-sf/questdb_sf/internal/qwp"
	"github.com/questdb-sf/questdb_sf/internal/vfs"
)

// server is a link with a server behind it, for pools with real slots. It takes
// everything and acks it at once, unless it is down.
type server struct {
	mu   sync.Mutex
	down bool
	mute bool         // takes everything, and never answers
	why  func() error // why it is down; nil is errTest
	ids  []int64      // that it took, in order
}

// open opens a pool that sends to the server.
func (s *server) open(t testing.TB, cfg Config) *Pool {
	t.Helper()
	var once sync.Once
	p, err := open(context.Background(), cfg, parts{
		open: func(p *Pool, index int) (delegate, error) {
			once.Do(func() { p.link, p.tables = s, nil }) // it has no SQL
			return openSlot(p, index)
		},
		adopt: adoptSlot,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close(context.Background()) })
	return p
}

func (s *server) is(down bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = down
}

func (s *server) took() []int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(slices.Values(s.ids))
}

func (s *server) Connect(context.Context, link.Wish) (link.Conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down {
		err := errTest
		if s.why != nil {
			err = s.why()
		}
		return nil, &link.ConnectError{Host: "server", Err: err}
	}
	return &conn{srv: s, out: make(chan link.Outcome, 1), closed: make(chan struct{})}, nil
}

// conn is one connection to a server.
type conn struct {
	link.Conn // what it has no answer to
	srv       *server
	ids       []int64 // of the request
	seq       int64
	out       chan link.Outcome
	closed    chan struct{}
	once      sync.Once
}

func (c *conn) Transport() link.Transport { return link.QWP }
func (c *conn) Host() string              { return "server" }
func (c *conn) Window() int               { return 1 }

func (c *conn) Add(v *qwp.View, _ qwp.Part) error {
	if len(c.ids) > 0 {
		return link.ErrRequestFull
	}
	var row qwp.Row
	t := &v.Tables()[0]
	for r := range t.All(0, t.Rows, &row) {
		c.ids = append(c.ids, r.Cells[0].Int())
	}
	return nil
}

func (c *conn) AddWith(v *qwp.View, p qwp.Part, _ qwp.AddLong) error { return c.Add(v, p) }

func (c *conn) Send(context.Context) (int64, error) {
	c.srv.mu.Lock()
	defer c.srv.mu.Unlock()
	if c.srv.down {
		return 0, errTest
	}
	c.srv.ids = append(c.srv.ids, c.ids...)
	c.ids = nil
	if !c.srv.mute {
		c.out <- link.Outcome{Seq: c.seq}
	}
	c.seq++
	return c.seq - 1, nil
}

func (c *conn) Recv(ctx context.Context) (link.Outcome, error) {
	select {
	case o := <-c.out:
		return o, nil
	case <-c.closed:
		return link.Outcome{}, link.ErrClosed
	case <-ctx.Done():
		return link.Outcome{}, ctx.Err()
	}
}

func (c *conn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return nil
}

// storeID flushes a row with an id of its own.
func storeID(t testing.TB, p *Pool, s *Sender, id int64) {
	t.Helper()
	batch := p.NewBatch()
	var r Row
	r.Reset("t")
	r.Long("id", id)
	r.At(1700000000000000 + id)
	if err := errors.Join(batch.Add(&r), s.Flush(context.Background(), batch)); err != nil {
		t.Fatal(err)
	}
}

// segments counts the segment files in a slot.
func segments(t testing.TB, fsys vfs.FS, dir string) (n int) {
	t.Helper()
	entries, err := fsys.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".sfa") {
			n++
		}
	}
	return n
}

// leaveFour leaves default-0 to default-3 with one row each, ids 0 to 3.
func leaveFour(t testing.TB, b *bed, srv *server, cfg Config) {
	t.Helper()
	srv.is(true)
	p := srv.open(t, cfg)
	senders := b.take(p, 4)
	for i, s := range senders {
		storeID(t, p, s, int64(i))
	}
	giveBack(senders...)
	if err := p.Close(context.Background()); err != nil {
		t.Error(err)
	}
}

// replayed fails the test unless the server has each row once and no slot has a
// segment.
func replayed(t testing.TB, srv *server, p *Pool, want ...int64) {
	t.Helper()
	if got := srv.took(); !slices.Equal(got, want) {
		t.Errorf("the server has %v, want %v: %+v", got, want, p.Stats())
	}
	for index := range 4 {
		if n := segments(t, p.cfg.FS, p.path(p.slotName(index))); n != 0 {
			t.Errorf("%d segments left in slot %d", n, index)
		}
	}
}

// tally counts the files that are open.
type tally struct {
	vfs.FS
	open atomic.Int64
}

func (c *tally) OpenFile(name string, flag int, perm fs.FileMode) (vfs.File, error) {
	f, err := c.FS.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	c.open.Add(1)
	return &talliedFile{File: f, tally: c}, nil
}

type talliedFile struct {
	vfs.File
	tally *tally
	once  sync.Once
}

func (f *talliedFile) Close() error {
	f.once.Do(func() { f.tally.open.Add(-1) })
	return f.File.Close()
}

// relock fails the test unless another owner could lock the slot now.
func relock(t testing.TB, fsys vfs.FS, dir string) {
	t.Helper()
	f, err := fsys.OpenFile(filepath.Join(dir, ".lock"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Lock(), f.Close()); err != nil {
		t.Errorf("slot %s: %v", dir, err)
	}
}
