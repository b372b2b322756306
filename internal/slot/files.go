// SPDX-License-Identifier: MIT

package slot

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/questdb-sf/questdb_sf/internal/vfs"
)

const (
	targetName = ".target"
	tempSuffix = ".tmp"
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

// writeWhole creates a file so that it is there whole or not at all.
func writeWhole(fsys vfs.FS, name string, content []byte) error {
	temp := name + tempSuffix
	if err := writeSynced(fsys, temp, content); err != nil {
		return errors.Join(err, removeFile(fsys, temp))
	}
	if err := fsys.Rename(temp, name); err != nil {
		return err
	}
	return fsys.SyncDir(filepath.Dir(name))
}

func writeSynced(fsys vfs.FS, name string, content []byte) (err error) {
	f, err := fsys.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := f.WriteAt(content, 0); err != nil {
		return err
	}
	return f.Sync()
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
