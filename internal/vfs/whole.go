// SPDX-License-Identifier: MIT

package vfs

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// TempSuffix ends the names of files that WriteWhole has not finished.
const TempSuffix = ".tmp"

// WriteWhole creates or replaces a file, mode 0600, so that it is there whole or not
// at all: it is written and synced under a name that ends in TempSuffix, then renamed,
// and the directory is synced. After a crash the unfinished one may be left.
func WriteWhole(fsys FS, name string, content []byte) error {
	temp := name + TempSuffix
	if err := writeSynced(fsys, temp, content); err != nil {
		if gone := fsys.Remove(temp); !errors.Is(gone, fs.ErrNotExist) {
			err = errors.Join(err, gone)
		}
		return err
	}
	if err := fsys.Rename(temp, name); err != nil {
		return err
	}
	return fsys.SyncDir(filepath.Dir(name))
}

func writeSynced(fsys FS, name string, content []byte) (err error) {
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
