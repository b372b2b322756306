// SPDX-License-Identifier: MIT

package steward

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/questdb-sf/questdb_sf/internal/slot"
	"github.com/questdb-sf/questdb_sf/internal/vfs"
)

// Repaired tells what Repair did.
type Repaired struct {
	Slot   string `json:"slot"`
	Dir    string `json:"dir"` // of the new slot; "" where nothing is pending: then none was made
	Target string `json:"target"`
	Count
	Lost []Loss `json:"lost"` // what could not be read; none if the slot is whole
	// TornBytes stood behind the last frame: the end of a write that a crash cut off, and
	// that nobody was told is stored.
	TornBytes int64 `json:"torn_bytes"`
}

// Loss is something that could not be read.
type Loss struct {
	File  string `json:"file"` // in the slot; "" for one that is not there
	Bytes int64  `json:"bytes"`
	Rows  int64  `json:"rows"` // -1 where nobody knows
	Why   string `json:"why"`
}

// Repair copies what is pending and whole of a slot, ours or another client's, into a
// new one of the same name in another directory. The slot itself is only read: its
// files are copied first, and the copy is what is looked into.
func (s *Store) Repair(ctx context.Context, name, to string) (r Repaired, err error) {
	if err := s.check(name); err != nil {
		return r, err
	}
	r = Repaired{Slot: name, Lost: []Loss{}}
	fsys, dir := vfs.OS, filepath.Join(to, name)
	if _, err := fsys.Stat(dir); err == nil {
		return r, fmt.Errorf("%s is there already: repair makes a new directory; give another one with -to", dir)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return r, err
	}
	if err := fsys.MkdirAll(to, 0o750); err != nil {
		return r, err
	}
	m := &mender{fs: fsys, from: s, name: name, scratch: filepath.Join(to, ".repair-"+name), told: map[wound]bool{}, r: &r}
	if err := m.copyAll(ctx); err != nil {
		return r, errors.Join(fmt.Errorf("copy slot %s: %w", name, err), wipe(fsys, m.scratch))
	}
	err = m.mend(ctx, filepath.Join(to, ".repaired-"+name), dir)
	return r, errors.Join(err, wipe(fsys, m.scratch))
}

// mender is a Repair under way.
type mender struct {
	fs      vfs.FS
	from    *Store
	name    string
	scratch string
	told    map[wound]bool
	r       *Repaired
}

// wound is a place in a file.
type wound struct {
	file       string
	at, length int64
}

func (m *mender) lose(l Loss) { m.r.Lost = append(m.r.Lost, l) }

// loseIncident tells of a wound once: the copy is found wounded where the slot was, and
// how many rows that cost is known best to who found it first.
func (m *mender) loseIncident(i slot.Incident) {
	w := wound{i.File, i.Offset, i.Bytes}
	if m.told[w] {
		return
	}
	m.told[w] = true
	rows := i.Rows
	if !i.RowsKnown {
		rows = -1
	}
	m.lose(Loss{File: i.File, Bytes: i.Bytes, Rows: rows, Why: i.What})
}

// copyAll copies the files that say what is pending.
func (m *mender) copyAll(ctx context.Context) (err error) {
	release, err := slot.LockToRead(m.from.FS, m.from.path(m.name))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, release()) }()
	if err := errors.Join(wipe(m.fs, m.scratch), m.fs.MkdirAll(m.scratch, 0o700)); err != nil {
		return err
	}
	entries, err := m.from.FS.ReadDir(m.from.path(m.name))
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !e.Type().IsRegular() || !isState(e.Name()) {
			continue
		}
		if err := errors.Join(m.copyFile(e.Name()), ctx.Err()); err != nil {
			return err
		}
	}
	return m.knownLosses(entries)
}

// isState says whether a file tells what is pending; others are locks, receipts, and
// what is done with.
func isState(name string) bool {
	return strings.HasSuffix(name, ".sfa") ||
		slices.Contains([]string{".target", ".qsf-state", ".ack-watermark", ".symbol-dict", "sf-manifest.bin"}, name)
}

// copyFile copies what can be read of a file; the rest of the copy is zeros.
func (m *mender) copyFile(name string) (err error) {
	in, err := m.from.FS.OpenFile(m.from.path(m.name, name), os.O_RDONLY, 0)
	if err != nil {
		m.lose(Loss{File: name, Rows: -1, Why: err.Error()})
		return nil
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	size, err := in.Size()
	if err != nil {
		return err
	}
	out, err := m.fs.OpenFile(filepath.Join(m.scratch, name), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	if err := out.Truncate(size); err != nil {
		return err
	}
	return m.copyBytes(in, out, name, size)
}

const (
	copyBlock = 256 << 10
	sector    = 512
)

// copyBytes goes on behind what cannot be read, first with whole blocks, then with the
// sectors of one that fails.
func (m *mender) copyBytes(in io.ReaderAt, out io.WriterAt, name string, size int64) error {
	var bad int64
	var why error
	buf := make([]byte, copyBlock)
	for off, step := int64(0), int64(copyBlock); off < size; {
		n := min(step, size-off)
		_, err := in.ReadAt(buf[:n], off)
		if err != nil && !errors.Is(err, io.EOF) {
			if step > sector {
				step = sector
				continue
			}
			bad, why = bad+n, err
		} else if _, err := out.WriteAt(buf[:n], off); err != nil {
			return err
		}
		if off += n; off%copyBlock == 0 {
			step = copyBlock
		}
	}
	if bad > 0 {
		m.lose(Loss{File: name, Bytes: bad, Rows: -1, Why: why.Error()})
	}
	return nil
}

// knownLosses takes in what the owner of the slot has found damaged in segments that
// are still there.
func (m *mender) knownLosses(entries []fs.DirEntry) error {
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), "incident-") || !strings.HasSuffix(e.Name(), ".json") || !e.Type().IsRegular() {
			continue
		}
		var i slot.Incident
		b, err := readAll(m.from.FS, m.from.path(m.name, e.Name()))
		if err != nil || json.Unmarshal(b, &i) != nil {
			continue // it is for people
		}
		if slices.ContainsFunc(entries, func(o fs.DirEntry) bool { return o.Name() == i.File }) {
			m.loseIncident(i)
		}
	}
	return nil
}

// readAll reads a small file.
func readAll(fsys vfs.FS, name string) ([]byte, error) {
	f, err := fsys.OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.NewSectionReader(f, 0, 64<<10))
}

// mend makes a slot of what is whole in the copy.
func (m *mender) mend(ctx context.Context, building, dir string) error {
	src, err := m.open()
	if err != nil {
		return err
	}
	largest := int64(0)
	err = src.read(ctx, func(f slot.Frame) error {
		m.r.add(f)
		largest = max(largest, int64(len(f.Bytes)))
		return nil
	}, m.lose)
	if err != nil || m.r.Frames == 0 {
		return errors.Join(err, src.close())
	}
	b, err := build(m.fs, building, m.r.Target, largest, m.r.Bytes, m.from.Now)
	if err != nil {
		return errors.Join(err, src.close())
	}
	err = src.read(ctx, func(f slot.Frame) error { return b.add(ctx, f) }, func(Loss) {})
	if err = errors.Join(err, src.close()); err != nil {
		return errors.Join(err, b.abandon())
	}
	m.r.Dir = dir
	return b.finish(ctx, dir)
}

// wreck is the copy of a slot, which can be read more than once.
type wreck struct {
	read  func(ctx context.Context, visit func(slot.Frame) error, lost func(Loss)) error
	close func() error
}

// open opens the copy: ours heals there, one of another client is read as it stands
// where it is too damaged for that.
func (m *mender) open() (*wreck, error) {
	o := slot.Options{FS: m.fs, Dir: m.scratch, Durability: slot.Memory, OnIncident: m.loseIncident}
	src, foreign, err := openAny(o)
	if errors.As(err, new(*slot.DamageError)) || errors.As(err, new(*slot.ForeignError)) {
		m.r.Target, err = slot.TargetOf(m.fs, m.scratch)
		return &wreck{read: m.salvage, close: func() error { return nil }}, err
	}
	if err != nil {
		return nil, err
	}
	m.r.Target, m.r.TornBytes = src.Target(), src.Stats().Recovered.TornBytes
	if n := src.Stats().Recovered.MissingFrames; n > 0 && len(m.r.Lost) == 0 {
		m.lose(Loss{Rows: -1, Why: fmt.Sprintf("%d frames that were stored are not there", n)})
	}
	read := func(ctx context.Context, visit func(slot.Frame) error, lost func(Loss)) error {
		return each(ctx, src, foreign, func(_ slot.FSN, f slot.Frame) error {
			if f.Rows == 0 {
				return nil
			}
			return visit(f)
		}, func(fsn slot.FSN, err error) {
			lost(Loss{Rows: -1, Why: fmt.Sprintf("frame %d is no message: %v", fsn, err)})
		})
	}
	return &wreck{read: read, close: src.Close}, nil
}

func (m *mender) salvage(ctx context.Context, visit func(slot.Frame) error, lost func(Loss)) error {
	v := slot.Salvager{
		FS: m.fs, Dir: m.scratch,
		Visit: func(f slot.Frame) error { return errors.Join(visit(f), ctx.Err()) },
		Lost:  func(file string, bytes int64, why string) { lost(Loss{File: file, Bytes: bytes, Rows: -1, Why: why}) },
	}
	return v.Read()
}
