// SPDX-License-Identifier: MIT

package steward

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/slot"
	"github.com/questdb-sf/questdb_sf/internal/vfs"
)

// builder fills a slot that is not there yet, under a name that no pool takes for one:
// it gets its own only when it is whole, so that nothing is stored in part.
type builder struct {
	fs   vfs.FS
	dir  string // while it is built
	slot *slot.Slot
	list []slot.Frame
	buf  []byte
}

const (
	// buildBytes is about how much is stored at a time.
	buildBytes   = 4 << 20
	leastSegment = 1 << 20
)

// build begins a slot for frames of up to so many bytes. What an earlier one left that
// was interrupted is removed.
func build(fsys vfs.FS, dir, target string, largest, total int64, now func() time.Time) (*builder, error) {
	if err := wipe(fsys, dir); err != nil {
		return nil, err
	}
	segment := max(leastSegment, largest+slot.SegmentOverhead)
	s, err := slot.Open(slot.Options{
		FS: fsys, Dir: dir, SegmentBytes: segment, MaxBytes: 2*total + 8*segment, Durability: slot.Flush, Target: target, Now: now,
	})
	if err != nil {
		return nil, err
	}
	return &builder{fs: fsys, dir: dir, slot: s}, nil
}

func (b *builder) add(ctx context.Context, f slot.Frame) error {
	if len(b.buf)+len(f.Bytes) > buildBytes {
		if err := b.store(ctx); err != nil {
			return err
		}
	}
	from := len(b.buf)
	b.buf = append(b.buf, f.Bytes...)
	f.Bytes = b.buf[from:] // still there should buf grow: it is not written to again
	b.list = append(b.list, f)
	return nil
}

func (b *builder) store(ctx context.Context) error {
	if len(b.list) == 0 {
		return nil
	}
	if err := b.slot.Put(ctx, b.list...); err != nil {
		return err
	}
	b.list, b.buf = b.list[:0], b.buf[:0]
	return nil
}

// finish makes everything durable and gives the slot its name, which nobody has.
func (b *builder) finish(ctx context.Context, to string) error {
	if err := errors.Join(b.store(ctx), b.slot.Close()); err != nil {
		return err
	}
	if err := b.fs.Rename(b.dir, to); err != nil {
		return err
	}
	return b.fs.SyncDir(filepath.Dir(to))
}

// abandon removes what was built.
func (b *builder) abandon() error { return errors.Join(b.slot.Close(), wipe(b.fs, b.dir)) }

// wipe removes a directory with the files in it.
func wipe(fsys vfs.FS, dir string) error {
	entries, err := fsys.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		err = errors.Join(err, fsys.Remove(filepath.Join(dir, e.Name())))
	}
	return errors.Join(err, fsys.Remove(dir))
}
