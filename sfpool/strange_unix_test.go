// SPDX-License-Identifier: MIT

//go:build unix

package sfpool_test

import (
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/questdb-sf/questdb_sf/internal/deadletter"
	"github.com/questdb-sf/questdb_sf/internal/vfs"
)

// What is no file keeps neither a slot from being drained nor a drain from its end.
func TestDrainAllPassesOverWhatIsNoFile(t *testing.T) {
	y := newYard(t)
	y.orphan(3, "default-0", "other-0")
	y.cfg.MaxSenders = 4
	for _, err := range []error{
		syscall.Mkfifo(y.path("default-0", "sf-0000000000000077.sfa"), 0o600),
		os.Mkdir(y.path("other-0", "sf-0000000000000078.sfa"), 0o700),
		os.Mkdir(y.path("default-2"), 0o700),
		syscall.Mkfifo(y.path("default-2", ".qsf-state"), 0o600),
		os.Symlink(".", y.path("default-3")),
		syscall.Mkfifo(y.path("default.refused.7.lp"), 0o600),
		os.Mkdir(y.path("default.dead-letter.9.lp"), 0o700),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	p := open(t, y.cfg)
	if err := p.DrainAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	arrived(t, y.srv, 6)
	left := p.Left()
	if len(left) != 1 || left[0].Slot != "default-3" || !strings.Contains(left[0].Why, "symbolic link") {
		t.Errorf("%+v", left)
	}
	if n, err := p.FeedBack(t.Context(), 0); n != 0 || err != nil {
		t.Errorf("%d letters, %v", n, err)
	}
	if has, err := deadletter.Has(vfs.OS, y.cfg.Dir, "default"); has || err != nil {
		t.Errorf("%t %v", has, err)
	}
}
