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
	f, err := fsys.OpenFile(temp, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(content, 0)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, fsys.Remove(temp))
	}
	if err := fsys.Rename(temp, name); err != nil {
		return err
	}
	return fsys.SyncDir(filepath.Dir(name))
}

// openTarget returns what .target says, writing it first where it is absent.
func openTarget(fsys vfs.FS, dir, target string) (string, error) {
	name := filepath.Join(dir, targetName)
	b, err := readSmall(fsys, name, maxTarget)
	switch {
	case err == nil:
		return string(b), nil
	case !errors.Is(err, fs.ErrNotExist) || target == "":
		return "", ignoreMissing(err)
	}
	return target, writeWhole(fsys, name, []byte(target))
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// removeFile unlinks a file; one that is gone already is success.
func removeFile(fsys vfs.FS, name string) error { return ignoreMissing(fsys.Remove(name)) }
