// SPDX-License-Identifier: MIT

package slot

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/vfs"
)

// ackedMark stands between the name of a segment and the second in which it was done
// with. The number of the name is not used again, and nobody takes it for a segment.
const ackedMark = segmentSuffix + ".acked."

// clockUnset is the time before which a clock was plainly never set.
var clockUnset = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC).Unix()

// Retention keeps segments that are done with for a while: they are renamed instead
// of unlinked, so that what the server has acked can be sent again when it has
// forgotten it. Slots may share one; a slot that is not open is taken in by Look. The
// files do not count in a Budget, and go first when the disk is short. Its methods are
// safe for concurrent use, and those of nil do nothing.
type Retention struct {
	fsys vfs.FS
	age  time.Duration
	max  int64
	now  func() time.Time

	bytes, count atomic.Int64
	first        chan struct{} // has room for one

	// mu guards what follows. The disk is used under it.
	mu      sync.Mutex
	files   []retained // the oldest first
	checked time.Time  // when it was seen which are still there
}

// retained is a file that is kept.
type retained struct {
	path  string
	at    int64 // seconds since 1970
	bytes int64
}

func (a retained) compare(b retained) int {
	return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.path, b.path))
}

// NewRetention returns one that keeps segments for an age and up to so many bytes
// together; 0 is no limit, and with both 0 it keeps no more, but knows what was kept
// before. now is the wall clock.
func NewRetention(fsys vfs.FS, age time.Duration, maxBytes int64, now func() time.Time) *Retention {
	return &Retention{fsys: fsys, age: age, max: maxBytes, now: now, first: make(chan struct{}, 1)}
}

// keeps says whether segments that are done with are to be kept.
func (r *Retention) keeps() bool { return r != nil && (r.age > 0 || r.max > 0) }

// Kept returns how much is kept. It does no I/O.
func (r *Retention) Kept() (bytes int64, files int) {
	if r == nil {
		return 0, 0
	}
	return r.bytes.Load(), int(r.count.Load())
}

// ackedAt reads when a file was done with out of its name.
func ackedAt(name string) (at int64, ok bool) {
	_, stamp, ok := strings.Cut(name, ackedMark)
	if !ok {
		return 0, false
	}
	stamp, again, twice := strings.Cut(stamp, ".")
	at, err := strconv.ParseInt(stamp, 10, 64)
	if twice && err == nil {
		_, err = strconv.ParseUint(again, 10, 32)
	}
	return at, err == nil && at >= 0
}

// ackedName returns a free path for a segment that is done with.
func ackedName(fsys vfs.FS, segment string, at int64) (string, error) {
	name := segment + strings.TrimPrefix(ackedMark, segmentSuffix) + strconv.FormatInt(at, 10)
	for n, to := 2, name; ; n++ {
		_, err := fsys.Stat(to)
		if errors.Is(err, fs.ErrNotExist) {
			return to, nil
		}
		if err != nil {
			return "", err
		}
		to = fmt.Sprintf("%s.%d", name, n) // sf-initial.sfa comes again and again
	}
}

// Look takes in what is kept in the directory of a slot.
func (r *Retention) Look(dir string) error {
	if r == nil {
		return nil
	}
	entries, err := r.fsys.ReadDir(dir)
	for _, e := range entries {
		at, ok := ackedAt(e.Name())
		if !ok || !e.Type().IsRegular() {
			continue
		}
		path := filepath.Join(dir, e.Name())
		info, e := r.fsys.Stat(path)
		if e = ignoreMissing(e); e != nil || info == nil {
			err = errors.Join(err, e)
			continue
		}
		r.add(retained{path: path, at: at, bytes: info.Size()})
	}
	return ignoreMissing(err)
}

// keep renames a segment that is done with. One that is gone is none.
func (r *Retention) keep(path string, bytes int64) error {
	at := max(0, r.now().Unix())
	to, err := ackedName(r.fsys, path, at)
	if err != nil {
		return err
	}
	if err := r.fsys.Rename(path, to); err != nil {
		return ignoreMissing(err)
	}
	r.add(retained{path: to, at: at, bytes: bytes})
	r.Shrink()
	return nil
}

func (r *Retention) add(f retained) {
	r.mu.Lock()
	defer r.mu.Unlock()
	at, known := slices.BinarySearchFunc(r.files, f, retained.compare)
	if known {
		return
	}
	r.files = slices.Insert(r.files, at, f)
	r.bytes.Add(f.bytes)
	if r.count.Add(1) > 1 {
		return
	}
	select {
	case r.first <- struct{}{}:
	default:
	}
}

// First is sent to when something is kept where nothing was, so that somebody asks for
// Due.
func (r *Retention) First() <-chan struct{} {
	if r == nil {
		return nil
	}
	return r.first
}

// drop forgets the first n files. The caller holds mu.
func (r *Retention) drop(n int) {
	for _, f := range r.files[:n] {
		r.bytes.Add(-f.bytes)
	}
	r.count.Add(-int64(n))
	r.files = slices.Delete(r.files, 0, n)
}

// removeOldest unlinks the oldest file, and says whether it is gone. The caller holds
// mu.
func (r *Retention) removeOldest() bool {
	if removeFile(r.fsys, r.files[0].path) != nil {
		return false
	}
	r.drop(1)
	return true
}

// Shrink removes the oldest files until the others have no more bytes than they may.
func (r *Retention) Shrink() {
	if r == nil || r.max == 0 || r.bytes.Load() <= r.max {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.check()
	for r.bytes.Load() > r.max && len(r.files) > 0 && r.removeOldest() {
	}
}

// check forgets what somebody else has removed, as Rewind does in another process:
// older files would go in vain. It looks once a minute. The caller holds mu.
func (r *Retention) check() {
	if !r.checked.IsZero() && time.Since(r.checked) < time.Minute {
		return
	}
	r.checked = time.Now()
	r.forgetGone()
}

// forgetGone compares with what stands in the directories. The caller holds mu.
func (r *Retention) forgetGone() {
	there := map[string]map[string]struct{}{} // names by directory; nil where it cannot be read
	r.files = slices.DeleteFunc(r.files, func(f retained) bool {
		dir, name := filepath.Split(f.path)
		names, known := there[dir]
		if !known {
			names = r.namesIn(dir)
			there[dir] = names
		}
		_, is := names[name]
		gone := names != nil && !is
		if gone {
			r.bytes.Add(-f.bytes)
			r.count.Add(-1)
		}
		return gone
	})
}

func (r *Retention) namesIn(dir string) map[string]struct{} {
	entries, err := r.fsys.ReadDir(filepath.Clean(dir))
	if ignoreMissing(err) != nil {
		return nil
	}
	names := make(map[string]struct{}, len(entries))
	for _, e := range entries {
		names[e.Name()] = struct{}{}
	}
	return names
}

// ForgetGone forgets what somebody else has removed.
func (r *Retention) ForgetGone() {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.forgetGone()
}

// Prune removes the files that are kept for longer than they should be by now, the
// wall clock, which the caller believes. Nothing is removed by a clock that was never
// set; what was done with under such a clock is taken to be from now.
func (r *Retention) Prune(now time.Time) {
	if r == nil || r.age == 0 || now.Unix() < clockUnset {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.files) > 0 && r.files[0].at < clockUnset {
		if !r.restamp(now.Unix()) {
			return
		}
	}
	for len(r.files) > 0 && now.Sub(time.Unix(r.files[0].at, 0)) > r.age && r.removeOldest() {
	}
}

// restamp gives the oldest file another time. The caller holds mu.
func (r *Retention) restamp(at int64) bool {
	f := r.files[0]
	segment, _, _ := strings.Cut(filepath.Base(f.path), ackedMark)
	to, err := ackedName(r.fsys, filepath.Join(filepath.Dir(f.path), segment+segmentSuffix), at)
	if err == nil {
		err = r.fsys.Rename(f.path, to)
	}
	if ignoreMissing(err) != nil {
		return false
	}
	r.drop(1)
	if err == nil {
		f.path, f.at = to, at
		i, _ := slices.BinarySearchFunc(r.files, f, retained.compare)
		r.files = slices.Insert(r.files, i, f)
		r.bytes.Add(f.bytes)
		r.count.Add(1)
	}
	return true
}

// Due returns when Prune has something to do next; false for never.
func (r *Retention) Due() (at time.Time, ok bool) {
	if r == nil || r.age == 0 {
		return time.Time{}, false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.files) == 0 {
		return time.Time{}, false
	}
	return time.Unix(r.files[0].at, 0).Add(r.age), true
}

// giveWay removes the oldest files until the disk has so many bytes more; false if
// there are none.
func (r *Retention) giveWay(bytes int64) (made bool) {
	if r == nil || r.count.Load() == 0 {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for bytes > 0 && len(r.files) > 0 {
		freed := r.files[0].bytes
		if !r.removeOldest() {
			break
		}
		bytes, made = bytes-freed, true
	}
	return made
}

// putAway takes the file of a segment away that is done with: kept for a while, or
// unlinked. What was given up, and what has no rows any more, is of no use.
func (s *Slot) putAway(g *segment) error {
	s.mu.Lock()
	keep := s.o.Retain.keeps() && !g.wounded && !g.evicted && !g.isHollow()
	s.mu.Unlock()
	if !keep {
		return s.remove(g)
	}
	err := s.o.Retain.keep(s.path(g.name), g.size)
	if isNoSpace(err) {
		return s.remove(g) // the longer name may need a block that is not there
	}
	if err == nil {
		s.letGo(g, 0)
	}
	return err
}

// giveWay makes room on a short disk by what is kept of settled segments.
func (s *Slot) giveWay(err error) bool {
	var full *FullError
	if !errors.As(err, &full) || !full.LowSpace || !s.o.Retain.giveWay(full.Need+max(0, full.Keep-full.Free)) {
		return false
	}
	s.account.b.space.stale.Store(true)
	return true
}
