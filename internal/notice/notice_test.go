// SPDX-License-Identifier: MIT

package notice_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/notice"
	"github.com/questdb-sf/questdb_sf/internal/vfs"
)

func TestWhatIsWrittenIsReadAndTheWordsSayIt(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, ".slot-locks"), 0o700); err != nil {
		t.Fatal(err)
	}
	path := notice.Path(dir, "default")
	since := time.Date(2026, 11, 29, 0, 27, 45, 0, time.UTC)
	in := notice.Notice{At: since, PID: 7, Full: true, ToFull: 90, Slots: []notice.Slot{
		{Name: "default-0", Held: 3, HeldFor: "the table x is suspended"},
		{Name: "default-1", First: 16, Since: since.Add(time.Second), Error: "later"},
		{Name: "default-2", First: 16, Stored: since, Since: since, Error: "connect:\n  " + strings.Repeat("ö", 500)},
	}}
	for _, n := range []*notice.Notice{{Slots: make([]notice.Slot, 1000)}, &in} { // the second is shorter
		if err := notice.Write(vfs.OS, path, n); err != nil {
			t.Fatal(err)
		}
	}
	out := notice.Read(vfs.OS, path)
	if out == nil || out.PID != 7 || !out.Full || out.ToFull != 90 || len(out.Slots) != 3 {
		t.Fatalf("%+v", out)
	}
	if worst := out.Longest(); worst.Name != "default-2" || !worst.Stored.Equal(since) {
		t.Errorf("%+v", worst)
	}
	why := out.Of("default-2").Why()
	if want := "waiting for the server since 2026-11-29T00:27:45Z: connect: ö"; !strings.HasPrefix(why, want) || len(why) > 500 || !strings.HasSuffix(why, "ö…") {
		t.Errorf("%q", why)
	}
	if why := out.Of("default-0").Why(); why != "3 rows wait for their tables: the table x is suspended" {
		t.Errorf("%q", why)
	}
	if out.Of("default-3").Why() != "" || (*notice.Notice)(nil).Of("x") != nil || (*notice.Notice)(nil).Longest() != nil {
		t.Error("something is said of what nothing is known of")
	}
}

func TestWhatIsNoNoticeSaysNothing(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "n")
	for _, text := range []string{"", "{", "[]", `{"pid":"x"}`, "\x00\x00", strings.Repeat("x", 1<<20)} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if n := notice.Read(vfs.OS, path); n != nil {
			t.Errorf("%.20q: %+v", text, n)
		}
	}
	if n := notice.Read(vfs.OS, dir); n != nil {
		t.Errorf("a directory: %+v", n)
	}
	if n := notice.Read(vfs.OS, filepath.Join(dir, "none")); n != nil {
		t.Errorf("nothing: %+v", n)
	}
}
