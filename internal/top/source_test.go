// SPDX-License-Identifier: MIT

package top_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/notice"
	"github.com/questdb-sf/questdb_sf/internal/slot"
	"github.com/questdb-sf/questdb_sf/internal/top"
	"github.com/questdb-sf/questdb_sf/internal/vfs"
	"github.com/questdb-sf/questdb_sf/internal/vfs/vfstest"
	"github.com/questdb-sf/questdb_sf/sfpool"
)

// digest is of all names, times of change and bytes below a directory.
func digest(t testing.TB, dir string) string {
	t.Helper()
	h := sha256.New()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		fmt.Fprintln(h, path, info.Mode(), info.ModTime().UnixNano())
		if !e.IsDir() {
			b, err := os.ReadFile(path)
			h.Write(b)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// pool is one whose server is away, with so many rows.
func pool(t testing.TB, dir string, rows int) *sfpool.Pool {
	t.Helper()
	p, err := sfpool.Open(t.Context(), sfpool.Config{URLs: []string{"http://127.0.0.1:1"}, Dir: dir, CloseFlushTimeout: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close(t.Context()) })
	add(t, p, rows)
	return p
}

// batch is one of so many rows of now.
func batch(t testing.TB, p *sfpool.Pool, rows int) *sfpool.Batch {
	t.Helper()
	b := p.NewBatch()
	for i := range rows {
		if err := b.Table("t").Int64Column("v", int64(i)).At(time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

func add(t testing.TB, p *sfpool.Pool, rows int) {
	t.Helper()
	s, err := p.Borrow(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Return()
	if err := s.Flush(t.Context(), batch(t, p, rows)); err != nil {
		t.Fatal(err)
	}
}

func watched(dir string) *top.Dir {
	return &top.Dir{
		FS: vfs.OS, Path: dir, SenderID: "default", Now: time.Now,
		Cap: func() (int64, error) { return 1 << 30, nil }, Keep: func(int64) int64 { return 0 },
	}
}

func read(t testing.TB, s top.Source) top.Reading {
	t.Helper()
	r, err := s.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestAStoreIsReadBesideItsAgentAndLeftAsItIs(t *testing.T) {
	dir := t.TempDir()
	p := pool(t, dir, 300)
	d := watched(dir)
	before := digest(t, dir)
	r := read(t, d)
	if digest(t, dir) != before {
		t.Error("looking has changed something")
	}
	if len(r.Agents) != 1 || r.Agents[0] != os.Getpid() {
		t.Errorf("agents %v, this is %d", r.Agents, os.Getpid())
	}
	if len(r.Slots) != 1 || r.Slots[0].Pending != 300 || r.Slots[0].State != "in use" || r.StoreBytes == 0 || *r.FreeBytes <= 0 {
		t.Errorf("%+v", r)
	}
	if at := r.Slots[0].Oldest; time.Since(at) > time.Minute || at.After(time.Now()) {
		t.Errorf("oldest %s", at)
	}
	said := notice.Notice{At: time.Now(), PID: os.Getpid(), Full: true, ToFull: 60, ToEmpty: 1e300, Slots: []notice.Slot{
		{Name: "default-0", Stored: time.Now().Add(time.Second), Since: time.Now(), Error: "refused"},
	}}
	if err := notice.Write(vfs.OS, notice.Path(dir, "default"), &said); err != nil {
		t.Fatal(err)
	}
	var h top.History
	r = read(t, d)
	if f := h.Add(r); !strings.Contains(f.Explanation, "waiting for the server") || !strings.Contains(f.Explanation, "refused; the store is full") ||
		f.ToFull != time.Minute || f.ToEmpty != 0 || !r.Slots[0].Oldest.Equal(said.Slots[0].Stored) {
		t.Errorf("%+v\n%+v", f, r)
	}
	said.At = time.Now().Add(-5 * time.Minute)
	if err := notice.Write(vfs.OS, notice.Path(dir, "default"), &said); err != nil {
		t.Fatal(err)
	}
	r = read(t, d)
	if f := h.Add(r); !strings.Contains(f.Explanation, "may hang") || strings.Contains(f.Explanation, "refused") || f.ToFull != 0 {
		t.Errorf("of an agent that hangs: %+v", f)
	}
	add(t, p, 200)
	if r = read(t, d); r.Slots[0].Pending != 500 || r.Slots[0].Accepted != 500 {
		t.Errorf("%+v", r.Slots)
	}
	if err := p.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	before = digest(t, dir)
	if r = read(t, d); len(r.Agents) != 0 || len(r.Trouble) != 0 || r.Slots[0].Pending != 500 || r.Slots[0].State != "waiting" {
		t.Errorf("without an agent %+v", r)
	}
	if digest(t, dir) != before {
		t.Error("looking has changed something")
	}
}

func TestWhatIsNoStoreIsReadWithoutHarm(t *testing.T) {
	dir := t.TempDir()
	if r := read(t, watched(dir)); len(r.Slots) != 0 {
		t.Errorf("%+v", r)
	}
	for name, text := range map[string]string{
		"a/sf-initial.sfa": "SF01 junk", "a/.qsf-state": strings.Repeat("x", 9000), "a/.lock.pid": "no number", "b/other": "",
		"default.dead-letter.lp": "1234567",
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if r := read(t, watched(dir)); len(r.Slots) != 1 || r.Slots[0].Pending != 0 || r.LetterBytes != 7 {
		t.Errorf("%+v", r)
	}
	if _, err := watched(filepath.Join(dir, "none")).Read(t.Context()); err == nil || !strings.Contains(err.Error(), "sf_dir") {
		t.Errorf("%v", err)
	}
}

func TestTheSlotOfAnotherClientIsCountedOnceForAsLongAsItLies(t *testing.T) {
	dir := t.TempDir()
	if err := os.CopyFS(filepath.Join(dir, "python-0"), os.DirFS("../slot/testdata/g3-python-6.0.0")); err != nil {
		t.Fatal(err)
	}
	frames, err := slot.Examine(slot.ExamineOptions{Dir: filepath.Join(dir, "python-0")})
	if err != nil || frames.Stats.Pending == 0 {
		t.Fatalf("%+v, %v", frames, err)
	}
	reads := 0
	d := watched(dir)
	d.FS = vfstest.Wrap(vfs.OS, func(op vfstest.Op) error {
		if op.Kind == vfstest.OpRead {
			reads++
		}
		return nil
	})
	first := read(t, d)
	before := reads
	r := read(t, d)
	again := reads - before
	if len(r.Slots) != 1 || r.Slots[0].Pending != frames.Stats.Pending || r.Slots[0].State != "foreign" || r.Slots[0].Oldest.IsZero() {
		t.Errorf("%+v, want %d pending", r.Slots, frames.Stats.Pending)
	}
	if first.Slots[0] != r.Slots[0] || again >= before/2 {
		t.Errorf("%d reads, then %d", before, again)
	}
}

const statusText = `{"now":"2026-11-28T12:00:00Z","stores":[{"sf_dir":"/sf","sender_id":"default","why":["waiting for the server since 12:00"],
"figures":{"store_bytes":2048,"store_max_bytes":4096,"dead_letter_bytes":5,"time_to_full_ns":60000000000,"time_to_empty_ns":1000000000},
"slots":[{"name":"default-0","state":"live","last_error":"refused","oldest_pending":"2026-11-28T11:00:00Z","figures":{"bytes_pending":99},
 "ledger":{"accepted":10,"acked":3,"pending":4,"dead_lettered":1,"evicted":1,"quarantined":1,"unknown":0}}],
"orphans":[{"name":"old-0","state":"waiting","rows_pending":7}]},{"sf_dir":"/other"}]}`

// says is the address of an agent that says one thing.
func says(t testing.TB, text string) (url string) {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, text) }))
	t.Cleanup(srv.Close)
	return srv.URL
}

func TestAnAgentIsAskedForItsStatus(t *testing.T) {
	text := statusText
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/api/status" {
			http.NotFound(w, r)
			return
		}
		fmt.Fprint(w, text)
	}))
	defer http.DefaultClient.CloseIdleConnections()
	defer srv.Close()
	url, err := top.StatusURL(strings.TrimPrefix(srv.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	r := read(t, &top.Status{URL: url, Store: "/sf"})
	var h top.History
	f := h.Add(r)
	if r.Name != "/sf" || r.MaxBytes != 4096 || f.Rows != 11 || f.Bytes != 99 || f.Dead != 1 || f.Lost != 2 || f.Oldest != time.Hour || f.ToFull != time.Minute || f.ToEmpty != time.Second {
		t.Errorf("%+v\n%+v", r, f)
	}
	if f.Explanation != "waiting for the server since 12:00" {
		t.Errorf("%q", f.Explanation)
	}
	if _, err := (&top.Status{URL: url, Store: "/none"}).Read(t.Context()); err == nil {
		t.Error("a store is shown that is not there")
	}
	for _, text = range []string{"", "<html>", "{}", `{"now":"x"}`} {
		if _, err := (&top.Status{URL: url}).Read(t.Context()); err == nil || !strings.Contains(err.Error(), "status_address") {
			t.Errorf("%q: %v", text, err)
		}
	}
	if _, err := (&top.Status{URL: "http://127.0.0.1:1/api/status"}).Read(t.Context()); err == nil || !strings.Contains(err.Error(), "status_address") {
		t.Errorf("%v", err)
	}
}

func TestAnAgentThatHasNotCountedAllSaysSo(t *testing.T) {
	defer http.DefaultClient.CloseIdleConnections()
	r := read(t, &top.Status{URL: says(t, `{"now":"2026-11-28T12:00:00Z","stores":[{"sf_dir":"/sf","orphans":[
{"name":"old-0","state":"failed","counted":true,"partial":true,"rows_pending":7},{"name":"old-1","state":"failed","error":"no permission"}]}]}`)})
	var h top.History
	if f := h.Add(r); !r.Partial || f.Rows != 7 || f.Explanation != "still counting; slot old-1 cannot be read: no permission" {
		t.Errorf("%+v: %q", r, f.Explanation)
	}
}

func TestTheAddressOfAnAgentMayBeShort(t *testing.T) {
	for typed, want := range map[string]string{
		"8090": "http://127.0.0.1:8090/api/status", ":8090": "http://127.0.0.1:8090/api/status", "box:8090": "http://box:8090/api/status",
		"http://box:8090/": "http://box:8090/api/status", "https://box/x/api/status": "https://box/x/api/status",
	} {
		if got, err := top.StatusURL(typed); got != want || err != nil {
			t.Errorf("%q: %q, %v", typed, got, err)
		}
	}
	for _, wrong := range []string{"", "ftp://x", "http://", "http://%zz"} {
		if got, err := top.StatusURL(wrong); err == nil {
			t.Errorf("%q: %q", wrong, got)
		}
	}
}
