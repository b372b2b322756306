// SPDX-License-Identifier: MIT

package sfpool_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/questdb-sf/questdb_sf/internal/vfs"
	"github.com/questdb-sf/questdb_sf/internal/vfs/vfstest"
	"github.com/questdb-sf/questdb_sf/sfpool"
	"github.com/questdb-sf/questdb_sf/testutil/qwpserver"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// nowhere is an address that refuses connections.
const nowhere = "http://127.0.0.1:1"

func config(t testing.TB, url string) sfpool.Config {
	t.Helper()
	return sfpool.Config{
		URLs: []string{url}, Dir: filepath.Join(t.TempDir(), "sf"), CloseFlushTimeout: -1,
		InitialBackoff: time.Millisecond, MaxBackoff: 10 * time.Millisecond,
	}
}

func open(t testing.TB, cfg sfpool.Config) *sfpool.Pool {
	t.Helper()
	p, err := sfpool.Open(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closePool(t, p) })
	return p
}

func closePool(t testing.TB, p *sfpool.Pool) {
	t.Helper()
	if err := p.Close(context.Background()); err != nil {
		t.Error(err)
	}
}

func serve(t testing.TB) *qwpserver.Server {
	t.Helper()
	s, err := qwpserver.Start(qwpserver.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// batch holds n rows with the ids from first on.
func batch(t testing.TB, p *sfpool.Pool, first, n int) *sfpool.Batch {
	t.Helper()
	b := p.NewBatch()
	add(t, b, first, n)
	return b
}

// add adds n rows to a batch.
func add(t testing.TB, b *sfpool.Batch, first, n int) {
	t.Helper()
	for id := first; id < first+n; id++ {
		var r sfpool.Row
		r.Reset("t")
		r.Symbol("host", "a")
		r.Long("id", int64(id))
		r.At(1700000000000000 + int64(id))
		if err := b.Add(&r); err != nil {
			t.Fatal(err)
		}
	}
}

func flush(t testing.TB, p *sfpool.Pool, b *sfpool.Batch) {
	t.Helper()
	if err := tryFlush(p, b); err != nil {
		t.Fatal(err)
	}
}

func tryFlush(p *sfpool.Pool, b *sfpool.Batch) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	s, err := p.Borrow(context.Background())
	if err != nil {
		return err
	}
	defer s.Return()
	return s.Flush(ctx, b)
}

// arrived returns once the server has n rows, and fails if any is there twice.
func arrived(t testing.TB, s *qwpserver.Server, n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := s.Wait(ctx, func(st *qwpserver.State) bool { return st.Rows >= int64(n) }); err != nil {
		t.Fatalf("%d of %d rows: %v", s.Total(), n, err)
	}
	seen := map[any]bool{}
	for _, r := range s.Rows("t") {
		if seen[r.Values["id"]] {
			t.Errorf("row %v twice", r.Values["id"])
		}
		seen[r.Values["id"]] = true
	}
	if len(seen) != n {
		t.Errorf("%d rows, want %d", len(seen), n)
	}
}

func TestFlushedRowsArriveAndLeaveTheStore(t *testing.T) {
	srv := serve(t)
	p := open(t, config(t, srv.URL()))
	flush(t, p, batch(t, p, 0, 10_000))
	arrived(t, srv, 10_000)
	for deadline := time.Now().Add(time.Minute); p.Stats().Pending > 0 && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	st := p.Stats()
	if st.Accepted != 10_000 || st.Acked != 10_000 || st.Pending != 0 || !st.Slots[0].Connected {
		t.Errorf("stats %+v", st)
	}
}

func TestWhatIsNotAckedIsSentByTheNextPool(t *testing.T) {
	for _, d := range []sfpool.Durability{sfpool.DurabilityFlush, sfpool.DurabilityPeriodic, sfpool.DurabilityMemory} {
		t.Run(d.String(), func(t *testing.T) {
			srv := serve(t)
			cfg := config(t, nowhere)
			cfg.Durability = d
			p := open(t, cfg)
			flush(t, p, batch(t, p, 0, 100))
			closePool(t, p)

			cfg.URLs = []string{srv.URL()}
			p = open(t, cfg)
			if st := p.Stats(); st.Accepted != 100 {
				t.Errorf("stats after the restart %+v", st)
			}
			arrived(t, srv, 100)
		})
	}
}

func TestATornTailIsCutAndSaid(t *testing.T) {
	srv := serve(t)
	cfg := config(t, nowhere)
	p := open(t, cfg)
	flush(t, p, batch(t, p, 0, 100))
	closePool(t, p)
	segment := filepath.Join(cfg.Dir, "default-0", "sf-initial.sfa")
	f, err := os.OpenFile(segment, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("a torn write"), 500_000); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	cfg.URLs, cfg.Logger = []string{srv.URL()}, slog.New(slog.NewTextHandler(&said, nil))
	p = open(t, cfg)
	arrived(t, srv, 100)
	closePool(t, p)
	if !strings.Contains(said.String(), "torn_bytes_cut") {
		t.Errorf("said %q", said.String())
	}
}

func TestAFullStoreRefusesTheBatchWholeAndTakesItWhenThereIsRoom(t *testing.T) {
	srv := serve(t)
	srv.Stop()
	cfg := config(t, srv.URL())
	cfg.MaxSenders, cfg.MaxSegmentBytes, cfg.MaxTotalBytes = 1, 64<<10, 128<<10
	p := open(t, cfg)
	rows := 0
	for ; ; rows += 1000 {
		if err := tryFlush(p, batch(t, p, rows, 1000)); errors.Is(err, sfpool.ErrStoreFull) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if st := p.Stats(); st.Pending != int64(rows) || st.StoreBytes > 128<<10 {
		t.Errorf("stats %+v after %d rows", st, rows)
	}
	if err := srv.Restart(); err != nil {
		t.Fatal(err)
	}
	arrived(t, srv, rows)
	flush(t, p, batch(t, p, rows, 1000))
	arrived(t, srv, rows+1000)
}

func TestAPanicInAnAppendLeavesTheSlotUsableAndClosable(t *testing.T) {
	srv := serve(t)
	var armed atomic.Bool
	cfg := config(t, srv.URL())
	cfg.Dir, cfg.Durability = "/sf", sfpool.DurabilityFlush
	cfg.FS = vfstest.Wrap(vfstest.NewMem(), func(op vfstest.Op) error {
		if op.Kind == vfstest.OpWrite && strings.HasSuffix(op.Path, ".sfa") && armed.CompareAndSwap(true, false) {
			panic("a bug below")
		}
		return nil
	})
	p := open(t, cfg)
	b := batch(t, p, 0, 100)
	armed.Store(true)
	func() {
		defer func() {
			if recover() == nil {
				t.Error("no panic")
			}
		}()
		_ = tryFlush(p, b)
	}()
	flush(t, p, b)
	arrived(t, srv, 100)
}

func TestCloseDoesNotWaitForEverForASenderThatIsNotReturned(t *testing.T) {
	cfg := config(t, nowhere)
	p, err := sfpool.Open(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	s, err := p.Borrow(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := p.Close(ctx); err == nil || !strings.Contains(err.Error(), "default-0 stays locked") {
		t.Errorf("error %v", err)
	}
	if err := s.Flush(context.Background(), p.NewBatch()); !errors.Is(err, sfpool.ErrClosed) {
		t.Errorf("flush after close: %v", err)
	}
	s.Return() // late, and still the slot is released
	for {
		p, err := sfpool.Open(context.Background(), cfg)
		if err == nil {
			closePool(t, p)
			return
		}
		if !errors.As(err, new(*sfpool.LockedError)) {
			t.Fatal(err)
		}
	}
}

func TestRowsThatNoTransportCanCarryAreRefusedByAdd(t *testing.T) {
	p := open(t, config(t, nowhere))
	for name, fill := range map[string]func(*sfpool.Row){
		"no column":     func(*sfpool.Row) {},
		"NUL in a name": func(r *sfpool.Row) { r.Long("a\x00b", 1) },
		"NUL in symbol": func(r *sfpool.Row) { r.Symbol("a", "x\x00y") },
	} {
		var r sfpool.Row
		r.Reset("t")
		fill(&r)
		r.At(1)
		var rowErr *sfpool.RowError
		if err := p.NewBatch().Add(&r); !errors.As(err, &rowErr) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAClosedPoolSaysSoAndClosesTwice(t *testing.T) {
	p := open(t, config(t, nowhere))
	closePool(t, p)
	closePool(t, p)
	if _, err := p.Borrow(context.Background()); !errors.Is(err, sfpool.ErrClosed) {
		t.Errorf("error %v", err)
	}
}

func TestABadConfigurationFailsAtOpenAndTouchesNothing(t *testing.T) {
	for want, change := range map[string]func(*sfpool.Config){
		"sf_dir":               func(c *sfpool.Config) { c.Dir, c.DrainOrphans = "", true },
		"sender_pool_max":      func(c *sfpool.Config) { c.MaxSenders = -1 },
		"sender_pool_min":      func(c *sfpool.Config) { c.MinSenders = 5 },
		"sender_id":            func(c *sfpool.Config) { c.SenderID = "../x" },
		"sf_max_segment_bytes": func(c *sfpool.Config) { c.MaxSegmentBytes = 100 },
		"sf_max_total_bytes":   func(c *sfpool.Config) { c.MaxTotalBytes = 1 << 20 },
		"ftp":                  func(c *sfpool.Config) { c.URLs = []string{"ftp://x"} },
		"reconnect":            func(c *sfpool.Config) { c.InitialBackoff = time.Hour },
	} {
		cfg := config(t, nowhere)
		cfg.MinSenders = -1 // nothing is built, and yet it fails at once
		change(&cfg)
		if _, err := sfpool.Open(context.Background(), cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q in %v", want, err)
		}
		if _, err := os.Stat(cfg.Dir); cfg.Dir != "" && !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s was touched: %v", cfg.Dir, err)
		}
	}
}

func TestARowLargerThanASegmentIsRefusedAndTheOthersGoOn(t *testing.T) {
	srv := serve(t)
	p := open(t, config(t, srv.URL()))
	b := batch(t, p, 0, 5)
	var huge sfpool.Row
	huge.Reset("t")
	huge.Varchar("s", strings.Repeat("x", 2<<20))
	huge.At(1)
	var rowErr *sfpool.RowError
	if err := b.Add(&huge); !errors.As(err, &rowErr) {
		t.Errorf("error %v", err)
	}
	flush(t, p, b)
	arrived(t, srv, 5)
}

func TestClosingLeavesNeitherDescriptorsNorLocks(t *testing.T) {
	cfg := config(t, serve(t).URL())
	before := descriptors(t)
	for range 3 {
		p := open(t, cfg)
		flush(t, p, batch(t, p, 0, 10))
		closePool(t, p)
	}
	lock, err := vfs.OS.OpenFile(filepath.Join(cfg.Dir, "default-0", ".lock"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := lock.Lock(); err != nil {
		t.Errorf("the slot is still locked: %v", err)
	}
	if err := lock.Close(); err != nil {
		t.Error(err)
	}
	if after := descriptors(t); after > before+1 { // the server may still hold its end of a connection
		t.Errorf("%d descriptors before, %d after", before, after)
	}
}

func descriptors(t testing.TB) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip("no /proc here to count descriptors in")
	}
	return len(entries)
}
