// SPDX-License-Identifier: MIT

package main

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/questdb-sf/questdb_sf/internal/steward"
)

func TestAnExportLeavesTheSlotAndIsImportedElsewhere(t *testing.T) {
	d := newDepot(t)
	d.store(200)
	file := filepath.Join(t.TempDir(), "a.qsf")
	r := tell[steward.Exported](t, exitOK, "export", "-sf-dir", d.dir, "-slot", "default-0", file)
	if r.Rows != 200 || r.Moved || r.Target != d.srv.URL()+"\n" || r.Earliest.UnixMicro() != 1700000000000000 {
		t.Fatalf("%+v", r)
	}
	head, err := os.ReadFile(file)
	if err != nil || !strings.HasPrefix(string(head), "questdb_sf slot export 1\n{\"slot\":\"default-0\"") {
		t.Errorf("%.100q %v", head, err)
	}
	if code, _, stderr := ask("export", "-sf-dir", d.dir, "-slot", "default-0", file); code != exitFailed || !strings.Contains(stderr, "there already") {
		t.Errorf("a second one: exit %d, %q", code, stderr)
	}
	there := *d
	there.dir = filepath.Join(t.TempDir(), "sf")
	there.conf = there.config("")
	if err := os.Mkdir(there.dir, 0o750); err != nil {
		t.Fatal(err)
	}
	in := tell[steward.Imported](t, exitOK, "import", "-config", there.conf, file)
	if in.Slot != "default-import-1" || in.From != "default-0" || in.Count != r.Count {
		t.Fatalf("%+v, exported %+v", in, r)
	}
	if out := tell[drained](t, exitOK, "drain", "-config", there.conf); out.Sent != 200 || !out.Done {
		t.Fatalf("%+v", out)
	}
	d.arrived()
	if out := tell[steward.Exported](t, exitOK, "export", "-sf-dir", d.dir, "-slot", "default-0", file+"2"); out.Rows != 200 {
		t.Errorf("the slot has %d rows", out.Rows)
	}
}

func TestWhatIsMovedIsNotSentTwice(t *testing.T) {
	d := newDepot(t)
	d.store(200)
	file := filepath.Join(t.TempDir(), "a.qsf")
	if code, text, stderr := ask("export", "-config", d.conf, "-slot", "default-0", "-move", file); code != exitOK || !strings.Contains(text, "not in the slot any more") {
		t.Fatalf("exit %d, %q, %q", code, text, stderr)
	}
	if r := tell[drained](t, exitOK, "drain", "-config", d.conf); r.Sent != 0 {
		t.Fatalf("%+v", r)
	}
	st := d.open().Stats()
	if st.Accepted != 200 || st.Evicted != 200 || st.Pending != 0 {
		t.Errorf("the ledger: %+v", st)
	}
	// The agent that is running takes it in the same store.
	if r := tell[steward.Imported](t, exitOK, "import", "-sf-dir", d.dir, file); r.Rows != 200 {
		t.Errorf("%+v", r)
	}
	if r := tell[drained](t, exitOK, "drain", "-config", d.conf); r.Sent != 200 || !r.Done {
		t.Errorf("beside an agent: %+v", r)
	}
	d.arrived()
}

func TestTheSlotOfAnotherClientIsExportedAndMoved(t *testing.T) {
	d := newDepot(t)
	d.foreign("other-0")
	file := filepath.Join(t.TempDir(), "a.qsf")
	r := tell[steward.Exported](t, exitOK, "export", "-sf-dir", d.dir, "-slot", "other-0", "-move", file)
	if r.Rows == 0 || len(d.segments("other-0")) > 0 {
		t.Fatalf("%+v, %v", r, d.segments("other-0"))
	}
	tell[steward.Imported](t, exitOK, "import", "-config", d.conf, file)
	if out := tell[drained](t, exitOK, "drain", "-config", d.conf); out.Sent != r.Rows {
		t.Errorf("%+v, exported %+v", out, r)
	}
}

func TestADamagedExportIsRefusedBeforeAnythingIsStored(t *testing.T) {
	d := newDepot(t)
	d.store(100)
	file := filepath.Join(t.TempDir(), "a.qsf")
	tell[steward.Exported](t, exitOK, "export", "-sf-dir", d.dir, "-slot", "default-0", file)
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before := content(t, d.dir)
	for _, size := range []int{0, 10, 30, len(whole) / 2, len(whole) - 1} {
		if err := os.WriteFile(file, whole[:size], 0o600); err != nil {
			t.Fatal(err)
		}
		if code, _, stderr := ask("import", "-config", d.conf, file); code != exitFailed || !strings.Contains(stderr, "damaged") {
			t.Errorf("%d bytes of %d: exit %d, %q", size, len(whole), code, stderr)
		}
	}
	d.harm(file)
	if code, _, _ := ask("import", "-config", d.conf, file); code != exitFailed {
		t.Errorf("exit %d", code)
	}
	if !maps.Equal(before, content(t, d.dir)) {
		t.Error("the store has changed")
	}
}

func TestImportedRowsGoNowhereElseUnlessThatIsSaid(t *testing.T) {
	d := newDepot(t)
	d.store(10)
	file := filepath.Join(t.TempDir(), "a.qsf")
	tell[steward.Exported](t, exitOK, "export", "-config", d.conf, "-slot", "default-0", file)
	there := newDepot(t)
	before := content(t, there.dir)
	code, _, stderr := ask("import", "-config", there.conf, file)
	if code != exitFailed || !strings.Contains(stderr, d.srv.URL()) || !strings.Contains(stderr, "-retarget") || !maps.Equal(before, content(t, there.dir)) {
		t.Fatalf("exit %d, %q", code, stderr)
	}
	// A directory does not know: the slot waits for who sends there.
	tell[steward.Imported](t, exitOK, "import", "-sf-dir", there.dir, file)
	if r := tell[drained](t, exitFailed, "drain", "-config", there.conf); r.Sent != 0 || len(r.Left) != 1 || !strings.Contains(r.Left[0].Why, d.srv.URL()) {
		t.Errorf("%+v", r)
	}
	if r := tell[steward.Imported](t, exitOK, "import", "-config", there.conf, "-retarget", file); r.Slot != "default-import-2" {
		t.Errorf("%+v", r)
	}
	if r := tell[drained](t, exitFailed, "drain", "-config", there.conf); r.Sent != 10 {
		t.Errorf("%+v", r)
	}
	there.next = 10
	there.arrived()
}

func TestAnImportThatWasInterruptedLeavesNothingThatIsSent(t *testing.T) {
	d := newDepot(t)
	d.store(10)
	file := filepath.Join(t.TempDir(), "a.qsf")
	tell[steward.Exported](t, exitOK, "export", "-config", d.conf, "-slot", "default-0", "-move", file)
	half := d.path(".default-import")
	if err := os.MkdirAll(half, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(half, "sf-initial.sfa"), []byte("half of it"), 0o600); err != nil {
		t.Fatal(err)
	}
	tell[steward.Imported](t, exitOK, "import", "-config", d.conf, file)
	if _, err := os.Stat(half); err == nil {
		t.Error("what was left of the first is still there")
	}
	if r := tell[drained](t, exitOK, "drain", "-config", d.conf); r.Sent != 10 {
		t.Errorf("%+v", r)
	}
	d.arrived()
}

func TestWhatIsNoNameOfASlotIsRefused(t *testing.T) {
	d := newDepot(t)
	d.store(1)
	for _, name := range []string{"..", ".slot-locks", "default-0/../default-0", "/etc", "default-9"} {
		code, _, stderr := ask("export", "-sf-dir", d.dir, "-slot", name, filepath.Join(t.TempDir(), "x"))
		if code != exitFailed || !strings.Contains(stderr, d.dir) {
			t.Errorf("%s: exit %d, %q", name, code, stderr)
		}
	}
}
