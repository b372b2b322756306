// SPDX-License-Identifier: MIT

//go:build unix

package slot_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/questdb-sf/questdb_sf/internal/vfs"
)

// What is no file is never followed, and keeps no slot from opening.
func TestStrangeThingsInASlotKeepNothingBack(t *testing.T) {
	o := options(vfs.OS)
	o.Dir, o.Target = filepath.Join(t.TempDir(), "base-0"), "http://here\n"
	s := open(t, o)
	fill(t, s, 0, 3, 100)
	do(t, s.Close())
	elsewhere := filepath.Join(t.TempDir(), "elsewhere")
	do(t, os.WriteFile(elsewhere, []byte("untouched"), 0o600))
	do(t, os.Mkdir(filepath.Join(o.Dir, "sf-0000000000000001.sfa"), 0o700))
	do(t, os.Symlink(elsewhere, filepath.Join(o.Dir, "sf-0000000000000002.sfa")))
	do(t, syscall.Mkfifo(filepath.Join(o.Dir, "sf-0000000000000003.sfa"), 0o600))
	for _, name := range []string{".qsf-state", ".ack-watermark", ".target"} {
		do(t, os.RemoveAll(filepath.Join(o.Dir, name)))
		do(t, os.Symlink(elsewhere, filepath.Join(o.Dir, name)))
	}
	s = open(t, o)
	wantIDs(t, s, 0, 0, 1, 2)
	fill(t, s, 3, 9, 1000)
	if s.Target() != o.Target {
		t.Errorf("target %q", s.Target())
	}
	do(t, s.Close())
	if b, err := os.ReadFile(elsewhere); err != nil || string(b) != "untouched" {
		t.Errorf("%q, %v", b, err)
	}
}
