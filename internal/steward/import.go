// SPDX-License-Identifier: MIT

package steward

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/questdb-sf/questdb_sf/internal/parcel"
	"github.com/questdb-sf/questdb_sf/internal/qwp"
	"github.com/questdb-sf/questdb_sf/internal/slot"
)

// Imported tells what Import did.
type Imported struct {
	Slot   string `json:"slot"`   // that was made
	From   string `json:"from"`   // the slot that was exported
	Target string `json:"target"` // where the rows belong
	Count
}

// Import makes a slot <base>-<n> of an export, which any pool that sends there takes
// for an orphan. target is given what the file says of where its rows belong, and
// returns what the slot is to say, or an error. Nothing is written unless the whole
// file is as it was written.
func (s *Store) Import(ctx context.Context, file, base string, target func(has string) (string, error)) (r Imported, err error) {
	in, closeFile, err := openFile(file)
	if err != nil {
		return r, fmt.Errorf("import %s: %w", file, err)
	}
	defer func() { err = errors.Join(err, closeFile()) }()
	r.From = in.Slot
	if r.Target, err = target(in.Target); err != nil {
		return r, err
	}
	largest := int64(0)
	err = frames(ctx, in, func(f slot.Frame) error {
		r.add(f)
		largest = max(largest, int64(len(f.Bytes)))
		return nil
	})
	if err != nil || r.Frames == 0 {
		return r, err
	}
	if r.Rows != in.Rows {
		return r, fmt.Errorf("import %s: it has %d rows and says %d", file, r.Rows, in.Rows)
	}
	unlock, err := slot.LockName(s.FS, s.Dir, base)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	r.Slot, err = s.importInto(ctx, in, base, r, largest)
	return r, err
}

func (s *Store) importInto(ctx context.Context, in *parcel.Reader, base string, r Imported, largest int64) (name string, err error) {
	b, err := build(s.FS, s.path("."+base), r.Target, largest, r.Bytes, s.Now)
	if err != nil {
		return "", err
	}
	in.Rewind()
	if err := frames(ctx, in, func(f slot.Frame) error { return b.add(ctx, f) }); err != nil {
		return "", errors.Join(err, b.abandon())
	}
	if name, err = s.unusedName(base); err != nil {
		return "", errors.Join(err, b.abandon())
	}
	return name, b.finish(ctx, s.path(name))
}

// unusedName returns the first <base>-<n> that is not there.
func (s *Store) unusedName(base string) (string, error) {
	for n := 1; ; n++ {
		name := fmt.Sprintf("%s-%d", base, n)
		if _, err := s.FS.Stat(s.path(name)); errors.Is(err, fs.ErrNotExist) {
			return name, nil
		} else if err != nil {
			return "", err
		}
	}
}

// frames gives out the frames of an export.
func frames(ctx context.Context, in *parcel.Reader, visit func(slot.Frame) error) error {
	var view qwp.View
	for n := 1; ; n++ {
		b, err := in.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if err := view.Parse(b, nil); err != nil {
			return fmt.Errorf("frame %d of the file is no message: %w", n, err)
		}
		i := view.Info()
		f := slot.Frame{Bytes: b, Rows: i.Rows, MinTime: i.MinTime, MaxTime: i.MaxTime, HasTime: i.HasTime}
		if err := errors.Join(visit(f), ctx.Err()); err != nil {
			return err
		}
	}
}
