// SPDX-License-Identifier: MIT

package slot

import (
	"cmp"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/qwp"
	"github.com/questdb-sf/questdb_sf/internal/vfs"
)

const (
	defaultSegment = 1 << 20
	defaultCap     = 1 << 30
	minSegment     = 4096
	maxSegment     = maxPayload
)

// Options say where a slot is and what it promises. Dir and Durability are
// required.
type Options struct {
	FS  vfs.FS // default vfs.OS
	Dir string // of this slot alone; created with mode 0700
	// SegmentBytes is the size of new segment files, 4 KiB to 1 GiB. Default 1 MiB.
	SegmentBytes int64
	// Budget caps the sizes of the segment files of all slots that share it. It has
	// room for two segments at least. Default: one for this slot alone.
	Budget *Budget
	// MaxBytes is the cap of the default Budget. Default 1 GiB.
	MaxBytes   int64
	Durability Durability
	// SyncInterval is the longest time until a sync under Periodic. Default 1 s.
	SyncInterval time.Duration
	// Retain, if given, keeps segments that are done with for a while. Then none is made
	// hollow.
	Retain *Retention
	// Target is written to .target when that file is absent; "" writes none.
	Target string
	// Now is the wall clock for segment headers. Default time.Now.
	Now func() time.Time
	// Inspect counts the rows of frames found on disk; it is safe for concurrent use.
	// Default: as QWP messages.
	Inspect Inspector
	// OnIncident, if given, is told of what cannot be read, once for each wound, also
	// while the slot is opened. It must not call the slot.
	OnIncident func(Incident)
}

func (o Options) withDefaults() Options {
	if o.FS == nil {
		o.FS = vfs.OS
	}
	if o.SegmentBytes == 0 {
		o.SegmentBytes = defaultSegment
	}
	if o.Budget == nil {
		o.Budget = NewBudget(cmp.Or(o.MaxBytes, defaultCap))
	}
	if o.SyncInterval == 0 {
		o.SyncInterval = time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Inspect == nil {
		o.Inspect = inspectQWP()
	}
	return o
}

func (o Options) validate() error {
	switch {
	case o.Dir == "":
		return fmt.Errorf("slot options: no directory")
	case o.SegmentBytes < minSegment || o.SegmentBytes > maxSegment:
		return fmt.Errorf("slot options: segments of %d bytes, allowed are %d to %d", o.SegmentBytes, minSegment, maxSegment)
	case o.Budget.max < 2*o.SegmentBytes:
		return fmt.Errorf("slot options: cap of %d bytes, at least two segments, %d", o.Budget.max, 2*o.SegmentBytes)
	case o.Durability < Flush || o.Durability > Memory:
		return fmt.Errorf("slot options: %s is none", o.Durability)
	case o.SyncInterval < 0:
		return fmt.Errorf("slot options: negative sync interval %s", o.SyncInterval)
	}
	return nil
}

// inspectQWP returns an inspector with a parser of its own. A wound may be looked at
// while an append mends its segment.
func inspectQWP() Inspector {
	var mu sync.Mutex
	var v qwp.View
	return func(frame []byte) (int, int64, int64, bool, error) {
		mu.Lock()
		defer mu.Unlock()
		if err := v.Parse(frame, nil); err != nil {
			return 0, 0, 0, false, err
		}
		i := v.Info()
		return i.Rows, i.MinTime, i.MaxTime, i.HasTime, nil
	}
}

// Slot is an open slot. Its methods are safe for concurrent use.
//
// Four rights, taken in this order: the append token, settling, mu, the mutex of
// the budget. The last two are held for an instant; nothing that can block runs
// under them.
type Slot struct {
	o         Options
	lock      *dirLock
	account   *account // what of the budget the files of this slot take
	recovered Recovered
	done      chan struct{} // closed when Close begins
	closing   sync.Once
	syncers   sync.WaitGroup // at most one: the goroutine of Periodic

	// token has one place: who put something in may append. It guards tail.
	token  chan struct{}
	tail   tail
	spares atomic.Int64 // how many are in tail.ready

	// settling guards settler: the side files, and which segments go.
	settling  sync.Mutex
	settler   settler
	target    string
	targetCRC uint32 // for .qsf-state

	// mu guards what follows.
	mu        sync.Mutex
	segs      []*segment // by base; all but the last are sealed; never empty
	published FSN
	book
	floor         position // of the frame behind the watermark; no segment when unknown
	pendingBytes  int64
	appendedBytes int64 // published since the slot was opened, but for those moved here
	movedIn       int64 // rows that were moved here since then
	arrivals      arrivals
	recent        recent
	incidents     int64
	numbered      [maxNumbered]uint32 // for .qsf-state

	entries    []int      // of the summary table, free
	ripe       []*segment // to be made hollow
	overlooked bool       // some more would be, if .qsf-state could say that they are settled
	full       bool       // the last Reserve found no room
	durableGen int64
	durableEnd int64
	changed    bell // something was published
	cursors    map[*Cursor]struct{}
	closed     bool
	failure    error // why there are no more appends
	fatal      bool  // and never will be
}

// tail is what appending needs to know.
type tail struct {
	seg     *segment   // the last one of the chain
	file    vfs.File   // of seg
	ready   []spare    // empty segments, prepared
	litter  []*segment // of files that are not needed and could not be unlinked
	nextGen int64      // of the next file
	sealed  bool       // the last segment takes no more frames
	suspect error      // a write or sync of the last segment failed: mend comes first
	undoing *Tx        // its Rollback failed: undo comes first
	synced  extent     // of the last segment, the part that is on the device
	ram     []byte     // the records behind synced, kept under Periodic only
	buf     []byte     // of one write
	syncing bool       // the goroutine of Periodic is under way
}

// spare is an empty segment with its open file.
type spare struct {
	seg  *segment
	file vfs.File
}

// Dir returns the directory of the slot.
func (s *Slot) Dir() string { return s.o.Dir }

// Target returns what .target says: where the rows of this slot belong.
func (s *Slot) Target() string {
	s.settling.Lock()
	defer s.settling.Unlock()
	return s.target
}

// Changed returns a channel that is closed at the next publish, and when the
// slot is closed. Take it before looking for frames, then wait on it.
func (s *Slot) Changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed.wait()
}

// Err returns why the slot takes no more appends; nil in health. What is
// published is still read and settled.
func (s *Slot) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failure
}

// fail notes that appends are over, until mend has put things right or, if
// fatal, until the slot is opened again.
func (s *Slot) fail(err error, fatal bool) error {
	err = fmt.Errorf("slot %s takes no more rows: %w", s.o.Dir, err)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failure, s.fatal = err, s.fatal || fatal
	return err
}

func (s *Slot) path(name string) string { return filepath.Join(s.o.Dir, name) }

// syncs says whether this slot ever asks for a sync.
func (s *Slot) syncs() bool { return s.o.Durability != Memory }

func (s *Slot) syncDir() error {
	if !s.syncs() {
		return nil
	}
	return s.o.FS.SyncDir(s.o.Dir)
}

// last returns the segment that is appended to. There is always one. The caller
// holds mu; tail.seg is the same for the holder of the token.
func (s *Slot) last() *segment { return s.segs[len(s.segs)-1] }

// bell lets any number of waiters wait for the next event. The mutex of its
// owner guards it.
type bell struct {
	ch    chan struct{}
	stuck bool // rings for ever
}

func (b *bell) wait() <-chan struct{} {
	if b.ch == nil {
		b.ch = make(chan struct{})
		if b.stuck {
			close(b.ch)
		}
	}
	return b.ch
}

// awaited says whether somebody has asked since the last ring.
func (b *bell) awaited() bool { return b.ch != nil }

func (b *bell) ring() {
	if b.ch != nil && !b.stuck {
		close(b.ch)
		b.ch = nil
	}
}

// stick rings now and for everybody who comes later.
func (b *bell) stick() {
	b.ring()
	b.stuck = true
}
