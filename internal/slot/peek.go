// SPDX-License-Identifier: MIT

package slot

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/vfs"
)

// Peeker tells again and again how much is pending in a slot. It changes nothing and takes
// no lock: the slot may be in use, by another process too. What it has read of a file it
// does not read again, nor what a summary tells.
type Peeker struct {
	FS  vfs.FS
	Dir string
	// Inspect counts rows, as in Options.
	Inspect Inspector
	// Budget is how many bytes of frames may still be read; peekers of several slots may
	// share it. Nil is 64 MiB for each look.
	Budget *int64

	files map[string]*peeked
	left  *int64 // Budget, or that of this look
}

// Peek is what a look has seen.
type Peek struct {
	// Stats has the ledger, what is pending, Published, Watermark, Segments, SegmentBytes
	// and OldestPendingTime, for which frames count one by one where they were read.
	// PendingBytes are those of pending frames.
	Stats
	Known    bool  // .qsf-state was there; else all counts as pending
	Partial  bool  // there is more, which the next look will read
	Foreign  bool  // a later generation of the format, of which nothing is counted
	Retained int64 // bytes of acked segments that are kept
}

// peekBytes is what one look reads at most without a Budget: the disk is somebody else's,
// too.
const peekBytes = 64 << 20

// peekTries is how often a slot is looked at that changes meanwhile.
const peekTries = 3

// peeked is a file as it was at the last look.
type peeked struct {
	head   header
	frames []peekedFrame // none where a summary told
	extent               // rows and the like, of a file whose summary told
	told   bool
	crc    uint32 // of the last frame
}

type peekedFrame struct {
	end  int64
	rows int64
	low  int64 // the earliest time, if ok
	ok   bool
}

// Peek looks at the slot now. Of one whose state is written meanwhile the later counts.
func (p *Peeker) Peek() (Peek, error) {
	if p.Inspect == nil {
		p.Inspect = inspectQWP()
	}
	if p.left = p.Budget; p.left == nil {
		p.left = new(int64(peekBytes))
	}
	for try := 1; ; try++ {
		st, err := p.state(true)
		if err != nil {
			return Peek{}, err
		}
		one, err := p.look(&st)
		if err != nil || try == peekTries {
			return one, err
		}
		if again, err := p.state(false); err != nil || again.state.generation == st.state.generation {
			return one, err
		}
	}
}

// state reads .qsf-state, which somebody may be writing: a record that is in the middle of
// that is looked at again. Without the summaries only its heads are read.
func (p *Peeker) state(summaries bool) (st stored, err error) {
	for range stateTries {
		if st, err = p.stateOnce(summaries); err != nil || !st.found || !st.state.torn && len(st.heads) == 2 {
			break
		}
		time.Sleep(statePause)
	}
	return st, err
}

func (p *Peeker) stateOnce(summaries bool) (st stored, err error) {
	f, err := p.FS.OpenFile(filepath.Join(p.Dir, stateName), os.O_RDONLY, 0)
	if err != nil {
		return st, ignoreMissing(err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	size, err := f.Size()
	if err != nil {
		return st, err
	}
	length := int64(stateTable)
	if summaries {
		length = max(length, min(size, stateTable+maxEntries*summarySize))
	}
	b := make([]byte, length)
	if n, err := f.ReadAt(b, 0); err != nil && n < stateTable {
		return st, nil // it is being made
	}
	st.found, st.summaries = true, map[FSN][]segment{}
	st.pick(b)
	for at := stateTable; at+summarySize <= len(b); at += summarySize {
		if g, ok := parseSummary(b[at:]); ok {
			st.summaries[g.base] = append(st.summaries[g.base], g)
		}
	}
	return st, nil
}

func (p *Peeker) look(st *stored) (one Peek, err error) {
	entries, err := p.FS.ReadDir(p.Dir)
	if err != nil {
		return one, err
	}
	b := book{watermark: -1}
	if st.valid {
		b = book{watermark: st.state.watermark, settled: st.state.settled, ledger: st.state.ledger}
	}
	one = Peek{Stats: b.stats(b.watermark), Known: st.valid}
	one.Pending, one.PendingFrames = 0, 0
	before := p.files
	p.files = map[string]*peeked{}
	for _, e := range entries {
		one.Foreign = one.Foreign || e.Name() == manifestName || e.Name() == dictName
		if !strings.Contains(e.Name(), segmentSuffix) || !e.Type().IsRegular() {
			continue
		}
		if err := p.file(e.Name(), before[e.Name()], &b, st, &one); err != nil {
			return one, err
		}
	}
	one.Accepted = b.ledger.gone() + one.Pending
	return one, nil
}

// file adds what is in one file to a look.
func (p *Peeker) file(name string, was *peeked, b *book, st *stored, one *Peek) error {
	f, err := p.FS.OpenFile(filepath.Join(p.Dir, name), os.O_RDONLY, 0)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // trimmed meanwhile
		}
		return err
	}
	defer func() { _ = f.Close() }()
	size, err := f.Size()
	if err != nil {
		return err
	}
	if _, kept := ackedAt(name); kept {
		one.Retained += size
	}
	if !strings.HasSuffix(name, segmentSuffix) {
		return nil
	}
	one.SegmentBytes += size
	one.Segments++
	now, err := p.follow(f, size, was, b, st, one)
	if now == nil || err != nil {
		return err
	}
	p.files[name] = now
	now.count(b, one)
	return nil
}

// follow returns a file as it is now, starting from how it was; nil for one without
// frames.
func (p *Peeker) follow(f vfs.File, size int64, was *peeked, b *book, st *stored, one *Peek) (*peeked, error) {
	raw := make([]byte, headerSize)
	if n, err := f.ReadAt(raw, 0); err != nil && n < headerSize {
		return nil, nil
	}
	if fault, later := headerFault(raw); fault != "" {
		one.Foreign = one.Foreign || later
		return nil, nil
	}
	h := parseHeader(raw)
	if g := summaryOf(st, h, size); g != nil && (g.last() <= b.watermark || g.base > b.highest()) {
		return &peeked{head: h, extent: g.extent, told: true}, nil
	}
	now := &peeked{head: h}
	if was != nil && was.head == h && !was.told && was.stands(f, size) {
		now.frames, now.crc = was.frames, was.crc
	}
	return now, p.scan(f, size, now, one)
}

// summaryOf returns what the summary of a segment says; nil without one.
func summaryOf(st *stored, h header, size int64) *segment {
	for i, g := range st.summaries[h.base] {
		if g.created == h.created && g.size == size && !g.wounded {
			return &st.summaries[h.base][i]
		}
	}
	return nil
}

// highest is the last frame that may be settled.
func (b *book) highest() FSN {
	if n := len(b.settled); n > 0 {
		return b.settled[n-1].to
	}
	return b.watermark
}

// stands says whether the last frame that was seen is still there: one that was rolled
// back is not.
func (k *peeked) stands(f vfs.File, size int64) bool {
	n := len(k.frames)
	if n == 0 {
		return true
	}
	var r reader
	r.reset(f)
	length, crc, bad, err := r.length(k.start(n-1), size)
	return err == nil && bad == "" && crc == k.crc && k.start(n-1)+recordHead+length == k.frames[n-1].end
}

// start is where a frame begins.
func (k *peeked) start(i int) int64 {
	if i == 0 {
		return headerSize
	}
	return k.frames[i-1].end
}

// scan reads frames that were not there at the last look.
func (p *Peeker) scan(f vfs.File, size int64, k *peeked, one *Peek) error {
	r := reader{ahead: readAhead}
	r.reset(f)
	k.frames = slices.Clip(k.frames)
	for {
		off := k.start(len(k.frames))
		if *p.left <= 0 {
			one.Partial = true
			return nil
		}
		rec, err := r.frame(off, size)
		if err != nil {
			return nil
		}
		if rec.bad != "" {
			ends := overWound(&r, off, size)
			for _, end := range ends {
				k.frames = append(k.frames, peekedFrame{end: end})
			}
			if len(ends) == 0 {
				return nil // its end, or what is being written
			}
			continue
		}
		rows, low, _, ok, err := p.Inspect(rec.payload)
		if err != nil {
			rows, ok = 0, false
		}
		*p.left -= rec.size
		k.frames = append(k.frames, peekedFrame{end: off + rec.size, rows: int64(rows), low: low, ok: ok})
		k.crc = rec.crc
	}
}

// maxWound is over how many damaged frames in a row a look goes on; opening the slot is
// more thorough.
const maxWound = 64

// overWound returns the ends of damaged frames from off on, whose rows nobody knows, up to
// the next whole one; none where their lengths lead to none.
func overWound(r *reader, off, size int64) (ends []int64) {
	for range maxWound {
		n, _, bad, err := r.length(off, size)
		if err != nil || bad != "" {
			return nil
		}
		off += recordHead + n
		ends = append(ends, off)
		if rec, err := r.frame(off, size); err == nil && rec.bad == "" {
			return ends
		}
	}
	return nil
}

// count adds what is pending of a file to a look.
func (k *peeked) count(b *book, one *Peek) {
	if k.told {
		last := k.head.base + FSN(k.extent.frames) - 1
		one.Published = max(one.Published, last)
		if last > b.watermark {
			one.pend(k.extent.frames, k.rows, k.end-headerSize)
			one.oldest(k.head, k.min, k.ok)
		}
		return
	}
	for i := range k.frames {
		fsn, g := k.head.base+FSN(i), &k.frames[i]
		one.Published = max(one.Published, fsn)
		if !b.isSettled(fsn) {
			one.pend(1, g.rows, g.end-k.start(i))
			one.oldest(k.head, g.low, g.ok)
		}
	}
}

func (one *Peek) pend(frames, rows, bytes int64) {
	one.PendingFrames += frames
	one.Pending += rows
	one.PendingBytes += bytes
}

// oldest notes when a pending frame was stored, about.
func (one *Peek) oldest(h header, low int64, ok bool) {
	at := storedAbout(h.created, low, ok)
	if !one.HasOldest || at < one.OldestPendingTime {
		one.OldestPendingTime, one.HasOldest = at, true
	}
}

// storedAbout is when a frame was stored, as far as its file tells: not before that was
// made, and as a rule not long after the times of its rows. All in microseconds since 1970.
func storedAbout(created, low int64, ok bool) int64 {
	if ok && low > created && low <= time.Now().UnixMicro() {
		return low
	}
	return created
}
