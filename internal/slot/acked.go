// SPDX-License-Identifier: MIT

package slot

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/vfs"
)

// AckedReader reads the frames of a slot that are settled and still on disk: those of
// the segments that a Retention has kept, and those that stand in the chain, before
// what is pending or among it. They include what was dead-lettered. It changes nothing
// and takes no lock: the slot may be in use, by another process too.
type AckedReader struct {
	FS  vfs.FS
	Dir string
	// Since leaves out segments that were done with before. When a frame of the chain
	// was acked is not known, nor what was done with while the clock was not set.
	Since time.Time
	// Inspect counts rows, as in Options. Frames without rows are left out.
	Inspect Inspector
	// Visit is given each frame; its bytes are good until it returns.
	Visit func(Frame) error
	// Done is told of each kept file once all of its frames were given.
	Done func(path string) error
	// Skipped is told what could not be read, and why.
	Skipped func(path, why string)

	seen map[head][]FSN // frames that were given out of the chain, by segment
}

// Read reads all there is. An error is one of the filesystem, or of Visit and Done.
func (a *AckedReader) Read() error {
	if a.Inspect == nil {
		a.Inspect = inspectQWP()
	}
	a.seen = map[head][]FSN{}
	if err := a.chain(); err != nil {
		return err
	}
	// Now what was kept: of a segment that was trimmed meanwhile, the rest.
	entries, err := a.FS.ReadDir(a.Dir)
	if err != nil {
		return ignoreMissing(err)
	}
	for _, e := range entries {
		at, ok := ackedAt(e.Name())
		if !ok || !e.Type().IsRegular() || at < a.Since.Unix() && at >= clockUnset {
			continue
		}
		if err := a.kept(filepath.Join(a.Dir, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// chain gives out what is settled in the segments of the slot.
func (a *AckedReader) chain() error {
	st, err := a.state()
	if err != nil || !st.valid {
		return ignoreMissing(err)
	}
	entries, err := a.FS.ReadDir(a.Dir)
	if err != nil {
		return ignoreMissing(err)
	}
	var names []string
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), segmentSuffix) && e.Type().IsRegular() {
			names = append(names, filepath.Join(a.Dir, e.Name()))
		}
	}
	b := book{watermark: st.state.watermark, settled: st.state.settled}
	for _, name := range names {
		if other, err := a.contradicts(name, &st.state); err != nil || other {
			return err
		}
	}
	for _, name := range names {
		if err := a.settledIn(name, &b); err != nil {
			return err
		}
	}
	return nil
}

// state reads .qsf-state, which somebody may be writing: a record that is in the middle
// of that is looked at again. One that a crash has torn stays so.
func (a *AckedReader) state() (st stored, err error) {
	for range stateTries {
		b, err := readSmall(a.FS, filepath.Join(a.Dir, stateName), stateTable)
		if err != nil {
			return st, err
		}
		b = append(b, make([]byte, stateTable-len(b))...)
		st = stored{}
		st.pick(b)
		if !st.state.torn && len(st.heads) == 2 {
			break
		}
		time.Sleep(statePause)
	}
	return st, nil
}

const (
	stateTries = 5
	statePause = 2 * time.Millisecond
)

// contradicts says whether the frame at the watermark is another one than was settled:
// then nothing is known of these numbers.
func (a *AckedReader) contradicts(name string, st *state) (other bool, err error) {
	err = a.walk(name, func(fsn FSN, rec record) (bool, error) {
		other = fsn == st.watermark && st.hasCRC && rec.crc != st.crc
		return fsn < st.watermark, nil
	})
	if other {
		a.Skipped(name, "it is not what .qsf-state knows")
	}
	return other, err
}

// settledIn gives out what is settled in a segment.
func (a *AckedReader) settledIn(name string, b *book) error {
	last := b.watermark
	if n := len(b.settled); n > 0 {
		last = b.settled[n-1].to
	}
	var h head
	return a.walkHead(name, func(found header) { h = head{base: found.base, created: found.created} },
		func(fsn FSN, rec record) (bool, error) {
			if fsn > last || !b.isSettled(fsn) {
				return fsn < last, nil
			}
			a.seen[h] = append(a.seen[h], fsn)
			return true, a.give(name, fsn, rec)
		})
}

func (a *AckedReader) walk(name string, each func(FSN, record) (bool, error)) error {
	return a.walkHead(name, func(header) {}, each)
}

// walkHead goes over the frames of a segment of the chain for as long as each wants,
// or up to where it cannot be read: behind that no number is sure.
func (a *AckedReader) walkHead(name string, begin func(header), each func(FSN, record) (bool, error)) error {
	if has, err := a.begun(name); err != nil || !has {
		return err
	}
	f, h, size, err := a.open(name)
	if f == nil {
		return err
	}
	defer f.Close()
	begin(h)
	r := reader{ahead: readAhead}
	r.reset(f)
	for off, fsn := int64(headerSize), h.base; off < size; fsn++ {
		rec, err := r.frame(off, size)
		if errors.Is(err, io.ErrUnexpectedEOF) || err == nil && rec.bad != "" {
			return nil // its end, as a rule
		}
		if err != nil {
			return err
		}
		if more, err := each(fsn, rec); err != nil || !more {
			return err
		}
		off += rec.size
	}
	return nil
}

// begun says whether a segment has a frame. Before that its header does not know its
// base: it is written once more in front of the first frame.
func (a *AckedReader) begun(name string) (has bool, err error) {
	f, _, size, err := a.open(name)
	if f == nil {
		return false, err
	}
	defer f.Close()
	var r reader
	r.reset(f)
	rec, err := r.frame(headerSize, size)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil
	}
	return err == nil && rec.bad == "" && rec.size > 0, err
}

// open opens a segment file; nil for one that is gone, or no segment of ours.
func (a *AckedReader) open(name string) (f vfs.File, h header, size int64, err error) {
	f, err = a.FS.OpenFile(name, os.O_RDONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, header{}, 0, nil
	}
	if err != nil {
		return nil, header{}, 0, err
	}
	b := make([]byte, headerSize)
	if size, err = f.Size(); err == nil {
		_, err = f.ReadAt(b, 0)
	}
	fault, _ := headerFault(b)
	switch {
	case err != nil && !errors.Is(err, io.EOF):
	case fault != "":
		if len(bytes.Trim(b, "\x00")) > 0 { // else it was never used
			a.Skipped(name, fault)
		}
		err = nil
	default:
		return f, parseHeader(b), size, nil
	}
	return nil, header{}, 0, errors.Join(err, f.Close())
}

// kept gives out the frames of a file that was kept, whatever stands between them.
func (a *AckedReader) kept(path string) error {
	f, h, size, err := a.open(path)
	if f == nil {
		return err
	}
	defer f.Close()
	given := a.seen[head{base: h.base, created: h.created}]
	fsn := h.base - 1
	var stop error
	v, err := survey(f, size, func(rec record) {
		fsn++
		if stop == nil && !slices.Contains(given, fsn) {
			stop = a.give(path, fsn, rec)
		}
	})
	if err = errors.Join(stop, err); err != nil {
		return err
	}
	if len(v.holes) > 0 || v.torn > 0 {
		a.Skipped(path, fmt.Sprintf("%d bytes of it are no frames", v.lost()))
		return nil // which stays, for whoever wants to look into it
	}
	return a.Done(path)
}

// lost is how many bytes are no frames.
func (v *surveyed) lost() int64 {
	sum := v.torn
	for _, h := range v.holes {
		sum += h.end - h.at
	}
	return sum
}

func (a *AckedReader) give(path string, fsn FSN, rec record) error {
	rows, low, high, ok, err := a.Inspect(rec.payload)
	if err != nil {
		a.Skipped(path, fmt.Sprintf("frame %d is no message: %v", fsn, err))
		return nil
	}
	if rows == 0 {
		return nil
	}
	return a.Visit(Frame{Bytes: rec.payload, Rows: rows, MinTime: low, MaxTime: high, HasTime: ok})
}
