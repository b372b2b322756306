// SPDX-License-Identifier: MIT

package vfs_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/questdb-sf/questdb_sf/internal/vfs"
)

func TestNothingIsChangedOverAReadOnlyFilesystem(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "file")
	if err := os.WriteFile(name, []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	ro := vfs.ReadOnly(vfs.ReadOnly(vfs.OS))
	f, err := ro.OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	_, writeErr := f.WriteAt([]byte("x"), 0)
	_, openErr := ro.OpenFile(name, os.O_RDWR, 0)
	_, createErr := ro.OpenFile(name+"2", os.O_RDONLY|os.O_CREATE, 0o600)
	for call, err := range map[string]error{
		"write": writeErr, "truncate": f.Truncate(0), "allocate": f.Allocate(10), "sync": f.Sync(), "lock": f.Lock(), "unlock": f.Unlock(),
		"open": openErr, "create": createErr, "mkdir": ro.MkdirAll(filepath.Join(dir, "d"), 0o700), "remove": ro.Remove(name),
		"rename": ro.Rename(name, name+"3"), "sync dir": ro.SyncDir(dir),
	} {
		if !errors.Is(err, vfs.ErrReadOnly) {
			t.Errorf("%s: %v", call, err)
		}
	}
	if _, err := ro.OpenFile(dir, os.O_RDONLY, 0); !errors.Is(err, vfs.ErrUntrusted) {
		t.Errorf("a directory: %v", err)
	}
	b := make([]byte, 4)
	if _, err := f.ReadAt(b, 0); err != nil || string(b) != "text" {
		t.Errorf("%q, %v", b, err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("%v, %v", entries, err)
	}
}
