// SPDX-License-Identifier: MIT

package intake_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/questdb-sf/questdb_sf/internal/intake"
	"github.com/questdb-sf/questdb_sf/internal/mapping"
	"github.com/questdb-sf/questdb_sf/internal/qwp"
	"github.com/questdb-sf/questdb_sf/internal/slot"
	"github.com/questdb-sf/questdb_sf/internal/vfs"
	"github.com/questdb-sf/questdb_sf/internal/vfs/vfstest"
	"github.com/questdb-sf/questdb_sf/sfpool"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// noon is the time of the row with the id 0.
var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

var errDisk = errors.New("a fault of the test")

// bed is a pool that sends nowhere, on a filesystem in memory that fails when it
// is told to, and an Intake before it.
type bed struct {
	testing.TB
	mem  *vfstest.Mem
	cfg  sfpool.Config
	pool *sfpool.Pool
	in   *intake.Intake
	log  bytes.Buffer

	mu   sync.Mutex
	fail func(vfstest.Op) error // nil: nothing fails

	spare  *sfpool.Pool // what Pool gives after a Failed
	failed []error
	none   error // what Pool fails with
}

func newBed(t testing.TB, change ...func(*sfpool.Config)) *bed {
	t.Helper()
	b := &bed{TB: t, mem: vfstest.NewMem()}
	b.cfg = sfpool.Config{
		URLs: []string{"http://127.0.0.1:1"}, Dir: "/sf", FS: vfstest.Wrap(b.mem, b.hook), MaxSenders: 4,
		Durability: sfpool.DurabilityFlush, CloseFlushTimeout: -1, InitialBackoff: time.Hour, MaxBackoff: time.Hour,
		MaxTotalBytes: 256 << 20, AcquireTimeout: time.Minute,
	}
	for _, f := range change {
		f(&b.cfg)
	}
	b.pool = b.open(b.cfg)
	b.maps(mapping.Options{})
	return b
}

// maps replaces the Intake by one with other options.
func (b *bed) maps(o mapping.Options) {
	b.in = intake.New(source{b}, b.cfg.MaxSegmentBytes, o, slog.New(slog.NewTextHandler(&b.log, nil)))
	b.Cleanup(b.in.Reset)
}

func (b *bed) open(cfg sfpool.Config) *sfpool.Pool {
	b.Helper()
	p, err := sfpool.Open(context.Background(), cfg)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = p.Close(context.Background()) })
	return p
}

func (b *bed) hook(op vfstest.Op) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fail == nil {
		return nil
	}
	return b.fail(op)
}

// fails lets the disk fail from now on; with nil it works again.
func (b *bed) fails(f func(vfstest.Op) error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fail = f
}

// source is the Store of a bed.
type source struct{ *bed }

func (b source) Pool() (*sfpool.Pool, func(), error) { return b.pool, func() {}, b.none }

// Failed goes over to the spare pool, if there is one.
func (b source) Failed(p *sfpool.Pool, err error) bool {
	b.failed = append(b.failed, err)
	if b.spare == nil || p != b.pool {
		return false
	}
	b.pool = b.spare
	return true
}

// put adds rows with the ids from first on; a series has every hundredth row.
func (b *bed) put(first, n int) {
	for id := first; id < first+n; id++ {
		putRow(b.in, fmt.Sprintf("host-%d", id%100), id)
	}
}

func putRow(in *intake.Intake, host string, id int) {
	in.Start("cpu")
	in.Tag("host", host)
	in.Int("id", int64(id))
	in.Float("usage", 1.5)
	in.End(noon.Add(time.Duration(id) * time.Millisecond))
}

func (b *bed) commit() {
	b.Helper()
	if err := b.in.Commit(b.Context()); err != nil {
		b.Fatal(err)
	}
}

// pending returns the rows in each slot.
func (b *bed) pending() map[string]int64 {
	rows := map[string]int64{}
	for _, s := range b.pool.Stats().Slots {
		if s.Pending > 0 {
			rows[s.Name] = s.Pending
		}
	}
	return rows
}

// spread fails the test unless so many slots have rows, want in all.
func (b *bed) spread(slots int, want int64) {
	b.Helper()
	got, sum := b.pending(), int64(0)
	for _, n := range got {
		sum += n
	}
	if len(got) != slots || sum != want {
		b.Errorf("rows %v, want %d in %d slots", got, want, slots)
	}
}

// row is what a test reads back.
type row struct {
	host string
	id   int64
}

// rows closes the pool and reads what the slots hold.
func (b *bed) rows() map[string][]row {
	b.Helper()
	_ = b.pool.Close(context.Background())
	b.fails(nil)
	all := map[string][]row{}
	for i := range b.cfg.MaxSenders {
		name := fmt.Sprintf("default-%d", i)
		if _, err := b.mem.Stat("/sf/" + name); err == nil {
			all[name] = readSlot(b, b.mem, "/sf/"+name)
		}
	}
	return all
}

func readSlot(t testing.TB, fsys vfs.FS, dir string) (rows []row) {
	t.Helper()
	s, err := slot.Open(slot.Options{
		FS: fsys, Dir: dir, SegmentBytes: 1 << 20, Durability: slot.Memory, Budget: slot.NewBudget(1 << 30),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	c := s.NewCursor()
	defer c.Close()
	for {
		e, ok, err := c.Next()
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			return rows
		}
		rows = append(rows, decode(t, e.Bytes)...)
	}
}

func decode(t testing.TB, frame []byte) (rows []row) {
	t.Helper()
	var v qwp.View
	if err := v.Parse(frame, nil); err != nil {
		t.Fatal(err)
	}
	for i := range v.Tables() {
		block, r := &v.Tables()[i], qwp.Row{}
		for r := range block.All(0, block.Rows, &r) {
			rows = append(rows, row{string(r.Cells[0].Text), r.Cells[1].Int()})
		}
	}
	return rows
}

// exactly fails the test unless the rows are those with the ids up to n, once each.
func exactly(t testing.TB, slots map[string][]row, n int) {
	t.Helper()
	seen := make([]int, n)
	for name, rows := range slots {
		for _, r := range rows {
			if r.id < 0 || int(r.id) >= n {
				t.Fatalf("row %+v in %s", r, name)
			}
			seen[r.id]++
		}
	}
	for id, times := range seen {
		if times != 1 {
			t.Fatalf("row %d is there %d times", id, times)
		}
	}
}

// letters returns the dead-letter file, its comments left out.
func (b *bed) letters() []string {
	b.Helper()
	f, err := b.mem.OpenFile(filepath.Join("/sf", "default.dead-letter.lp"), os.O_RDONLY, 0)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		b.Fatal(err)
	}
	text := make([]byte, size)
	if _, err := f.ReadAt(text, 0); err != nil {
		b.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(line, "#") {
			lines = append(lines, line)
		}
	}
	return lines
}
