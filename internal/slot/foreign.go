// SPDX-License-Identifier: MIT

package slot

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"sort"
	"sync"

	"github.com/questdb-sf/questdb_sf/internal/vfs"
)

// Foreign is an open slot that another client wrote: any generation of the
// format, G1 to G3. It is emptied and never appended to. Its files stay as they
// are until every frame is settled; progress stands in .qsf-state. Its methods
// are safe for concurrent use.
//
//	G1  segments with flags 0, .ack-watermark of 16 bytes, as ours
//	G2  the same, and .symbol-dict: frames bring only new symbols
//	G3  segments with flag 1, sf-manifest.bin, .ack-watermark of 8192 bytes
//
// Nothing in a segment tells G2 from G1, and one slot may hold frames of both. A
// client that goes on with a slot which was emptied in part sends from its own
// watermark on, which Close moves only at the end.
//
// Two rights, taken in this order: settling, mu. Only mu is held for an instant.
type Foreign struct {
	o         Options
	lock      *dirLock
	target    string
	layout    layout
	symbols   symbols
	end       FSN // the last frame that is to be sent
	recovered Recovered
	closing   sync.Once

	// settling guards what notes progress.
	settling sync.Mutex
	state    *stateFile
	walker   reader // over record heads, behind the watermark

	// mu guards what follows.
	mu sync.Mutex
	book
	floor        position // of the frame behind the watermark; no segment when unknown
	pendingBytes int64
	changed      bell
	cursors      map[*Cursor]struct{}
	closed       bool
}

// Unfinished counts the frames at the end of a slot that wait for a commit which
// was never written. They are never sent, and not counted elsewhere.
type Unfinished struct{ Frames, Rows int64 }

// OpenForeign locks a slot that another client wrote (ours are for Open) and
// recovers it by reading alone: where it fails, no file of the slot has changed.
// Only FS, Dir and Target of the options count. Besides errors of the filesystem,
// returned as they are, it fails with *LockedError, with *DamageError for damage
// that no crash explains, and with *ForeignError for a generation that is not
// known.
func OpenForeign(o Options) (*Foreign, error) {
	o = o.withDefaults()
	if o.Dir == "" {
		return nil, errors.New("slot options: no directory")
	}
	lock, err := lockDir(o.FS, o.Dir)
	if locked := (*LockedError)(nil); errors.As(err, &locked) {
		return nil, err
	} else if err != nil {
		return nil, fmt.Errorf("open slot %s: %w", o.Dir, err)
	}
	f := &Foreign{o: o, lock: lock, cursors: map[*Cursor]struct{}{}}
	whole := false
	defer func() {
		if !whole { // an error or a panic: nobody works in the slot
			f.closeFiles()
			_ = lock.abandon()
		}
	}()
	if err := f.open(); err != nil {
		return nil, fmt.Errorf("open slot %s: %w", o.Dir, err)
	}
	whole = true
	return f, nil
}

// Recognize says whether Open would find another client's generation of the
// format in a directory. It reads only; a directory that is not there is none.
func Recognize(fsys vfs.FS, dir string) (foreign bool, err error) {
	r := &recovery{o: Options{FS: fsys, Dir: dir}}
	err = r.list()
	var later *ForeignError
	var wound *DamageError
	switch {
	case errors.As(err, &later):
		return true, nil
	case errors.As(err, &wound), errors.Is(err, fs.ErrNotExist):
		return false, nil
	}
	return false, err
}

// open does everything behind the lock.
func (f *Foreign) open() error {
	d := discovery{o: f.o}
	if err := d.run(); err != nil {
		return err
	}
	writePID(f.o.FS, f.o.Dir)
	var err error
	if f.target, err = openTarget(f.o.FS, f.o.Dir, f.o.Target); err != nil {
		return err
	}
	if f.state, _, err = openState(f.o.FS, f.o.Dir, 0, true); err != nil {
		return err
	}
	f.take(&d)
	return f.sync()
}

// take takes over what was found.
func (f *Foreign) take(d *discovery) {
	f.layout, f.symbols, f.end = d.layout, d.symbols, d.count.end
	f.watermark, f.crc, f.hasCRC, f.floor = d.floor.fsn, d.floor.crc, d.floor.found, d.floor.at
	f.settled = d.floor.settled
	f.pendingBytes = d.count.bytes
	f.ledger = d.stored.state.ledger // zero without a state
	f.recovered = Recovered{
		Frames: d.frames(), Segments: len(d.layout.chain), TornBytes: d.torn, WatermarkReset: d.reset,
	}
	if d.stored.state.generation > 0 {
		f.recovered.LedgerMoved = d.count.rows - f.ledger.pending()
	}
	f.ledger.accepted = f.ledger.gone() + d.count.rows
}

// sync makes durable what the other client may not have synced: a power cut from
// now on is not to tear what was settled already and keep what comes after.
func (f *Foreign) sync() error {
	for _, g := range f.layout.chain {
		if err := syncFile(f.o.FS, f.path(g.name)); err != nil {
			return err
		}
	}
	return f.o.FS.SyncDir(f.o.Dir)
}

func (f *Foreign) path(name string) string { return filepath.Join(f.o.Dir, name) }

// Dir returns the directory of the slot.
func (f *Foreign) Dir() string { return f.o.Dir }

// Target returns what .target says: where the rows of this slot belong.
func (f *Foreign) Target() string { return f.target }

// Unfinished tells what stands behind the last commit.
func (f *Foreign) Unfinished() Unfinished { return f.layout.unfinished }

// Changed returns a channel that is closed when the slot is: nothing is
// published here.
func (f *Foreign) Changed() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.changed.wait()
}

// Stats returns a snapshot. It does no I/O. Published is the last frame that is
// to be sent; MaxBytes is 0.
func (f *Foreign) Stats() Stats {
	f.mu.Lock()
	defer f.mu.Unlock()
	st := f.stats(f.end)
	st.PendingBytes, st.Segments, st.SegmentBytes = f.pendingBytes, len(f.layout.chain), f.layout.bytes
	st.Recovered = f.recovered
	if g := f.find(f.watermark + 1); g != nil && st.PendingFrames > 0 {
		st.OldestPendingTime, st.HasOldest = storedAbout(g.created, g.min, g.ok), true
	}
	return st
}

// find returns the segment that holds a frame; nil if none does.
func (f *Foreign) find(fsn FSN) *segment {
	list := f.layout.chain
	i := sort.Search(len(list), func(i int) bool { return list[i].next() > fsn })
	if i == len(list) || list[i].base > fsn {
		return nil
	}
	return list[i]
}

// NewCursor returns a cursor before the first frame that is not settled. It is
// closed with the slot, or by Close.
func (f *Foreign) NewCursor() *Cursor {
	c := &Cursor{s: f, o: f.o, r: reader{ahead: readAhead}}
	f.mu.Lock()
	defer f.mu.Unlock()
	c.closed = f.closed
	if !f.closed {
		f.cursors[c] = struct{}{}
	}
	return c
}

// gone says nothing new: nothing is appended here.
func (f *Foreign) gone(error) {}

// wounded closes no wound: the files of another client stay as they are.
func (f *Foreign) wounded(wanted) (closed bool, err error) { return false, nil }

func (f *Foreign) forget(c *Cursor) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.cursors, c)
}

func (f *Foreign) nextFor(fsn FSN) (wanted, bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return wanted{}, false, ErrClosed
	}
	fsn = f.behind(max(fsn, f.watermark+1))
	g := f.find(fsn)
	if g == nil || fsn > f.end {
		return wanted{}, false, nil
	}
	return wanted{fsn: fsn, seg: g, area: g.area(), floor: f.floor, symbols: &f.symbols}, true, nil
}

// moved is true of a frame that was settled meanwhile, and when the slot was
// closed.
func (f *Foreign) moved(w wanted) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.closed || f.isSettled(w.fsn)
}
