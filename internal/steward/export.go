// SPDX-License-Identifier: MIT

package steward

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/questdb-sf/questdb_sf/internal/parcel"
	"github.com/questdb-sf/questdb_sf/internal/slot"
	"github.com/questdb-sf/questdb_sf/internal/vfs"
)

// Exported tells what Export did.
type Exported struct {
	Slot   string `json:"slot"`
	File   string `json:"file"` // "" where nothing is pending: then none was written
	Target string `json:"target"`
	Count
	Moved bool `json:"moved"` // what is in the file is not in the slot any more
	// Skipped frames are no messages; they stay in the slot.
	Skipped int64 `json:"skipped"`
}

// Export writes what is pending in a slot to a file that must not be there yet. It
// leaves the slot as it is; with move, what was written is given up there once the
// file is durable and was read again. The file is there whole or not at all.
func (s *Store) Export(ctx context.Context, name, file string, move bool) (r Exported, err error) {
	if _, err := vfs.OS.Stat(file); err == nil {
		return r, fmt.Errorf("%s is there already: give another name, or remove it", file)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return r, err
	}
	t, err := s.take(name, nil)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, t.close()) }()
	r = Exported{Slot: name, Target: t.Target()}
	skip := func(slot.FSN, error) { r.Skipped++ }
	err = each(ctx, t, t.foreign, func(_ slot.FSN, f slot.Frame) error {
		if f.Rows > 0 {
			r.add(f)
		}
		return nil
	}, skip)
	if err != nil || r.Frames == 0 {
		return r, err
	}
	done, err := s.writeFile(ctx, t, file, &r)
	if err != nil {
		return r, fmt.Errorf("write %s: %w", file, err)
	}
	r.File = file
	if move {
		if err := settle(t, done, file); err != nil {
			return r, err
		}
		r.Moved = true
	}
	return r, nil
}

// writeFile writes the frames and returns what is to be settled where they are moved.
func (s *Store) writeFile(ctx context.Context, t *taken, file string, r *Exported) (done []slot.Done, err error) {
	temp := file + vfs.TempSuffix
	f, err := vfs.OS.OpenFile(temp, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = vfs.OS.Remove(temp)
		}
	}()
	done, err = s.writeFrames(ctx, t, &stream{f: f}, r)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	if err := vfs.OS.Rename(temp, file); err != nil {
		return nil, err
	}
	return done, vfs.OS.SyncDir(filepath.Dir(file))
}

func (s *Store) writeFrames(ctx context.Context, t *taken, to *stream, r *Exported) (done []slot.Done, _ error) {
	w, err := parcel.NewWriter(to, parcel.Header{
		Slot: r.Slot, Target: r.Target, Created: s.now().UTC(), Frames: r.Frames, Rows: r.Rows, Bytes: r.Bytes,
		Earliest: r.Earliest, Latest: r.Latest,
	})
	if err != nil {
		return nil, err
	}
	err = each(ctx, t, t.foreign, func(fsn slot.FSN, f slot.Frame) error {
		done = append(done, slot.Done{FSN: fsn, Shares: []slot.Share{{As: slot.Evicted, Rows: f.Rows}}})
		if f.Rows == 0 {
			return nil
		}
		return w.Add(f.Bytes)
	}, func(slot.FSN, error) {})
	if err != nil {
		return nil, err
	}
	return done, w.Close()
}

// settle gives up in the slot what can be read out of the file.
func settle(t *taken, done []slot.Done, file string) error {
	_, closeFile, err := openFile(file)
	if err != nil {
		return fmt.Errorf("read %s again, before its rows are removed from the slot: %w", file, err)
	}
	if err := closeFile(); err != nil {
		return err
	}
	const many = 4096
	for len(done) > 0 {
		n := min(many, len(done))
		if err := t.SettleAll(done[:n]); err != nil {
			return fmt.Errorf("%s is whole, but not all of its rows could be removed from slot %s, which may send them too: %w", file, t.name, err)
		}
		done = done[n:]
	}
	return nil
}

// openFile opens an export and checks it.
func openFile(file string) (*parcel.Reader, func() error, error) {
	f, err := vfs.OS.OpenFile(file, os.O_RDONLY, 0)
	if err != nil {
		return nil, nil, err
	}
	size, err := f.Size()
	var r *parcel.Reader
	if err == nil {
		r, err = parcel.Open(f, size)
	}
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	return r, f.Close, nil
}

// stream writes a file from its beginning to its end.
type stream struct {
	f   vfs.File
	off int64
}

func (s *stream) Write(b []byte) (int, error) {
	n, err := s.f.WriteAt(b, s.off)
	s.off += int64(n)
	return n, err
}
