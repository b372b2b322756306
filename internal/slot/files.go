// SPDX-License-Identifier: MIT

package slot

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/questdb-sf/questdb_sf/internal/vfs"
)

const (
	targetName = ".target"
	maxTarget  = 64 << 10
)

// readSmall returns a file, but no more than limit bytes of it.
func readSmall(fsys vfs.FS, name string, limit int) ([]byte, error) {
	f, err := fsys.OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b := make([]byte, limit)
	n, err := f.ReadAt(b, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return b[:n], nil
}

// syncFile makes durable what others wrote into a file.
func syncFile(fsys vfs.FS, name string) (err error) {
	f, err := fsys.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return f.Sync()
}

// TargetOf returns what .target of a slot says; "" where the file or the directory
// is absent. It reads only, and takes no lock.
func TargetOf(fsys vfs.FS, dir string) (target string, err error) {
	b, err := readSmall(fsys, filepath.Join(dir, targetName), maxTarget)
	return string(b), ignoreMissing(err)
}

// openTarget returns what .target says, writing it first where it says nothing.
func openTarget(fsys vfs.FS, dir, target string) (string, error) {
	has, err := TargetOf(fsys, dir)
	if err != nil || has != "" || target == "" {
		return has, err
	}
	return target, SetTarget(fsys, dir, target)
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// removeFile unlinks a file; one that is gone already is success.
func removeFile(fsys vfs.FS, name string) error { return ignoreMissing(fsys.Remove(name)) }

// HoldsSegments says whether a directory has segment files.
func HoldsSegments(fsys vfs.FS, dir string) (bool, error) {
	entries, err := fsys.ReadDir(dir)
	return slices.ContainsFunc(entries, isSegment), err
}

func isSegment(e fs.DirEntry) bool {
	return e.Type().IsRegular() && strings.HasSuffix(e.Name(), segmentSuffix)
}
