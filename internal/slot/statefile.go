// SPDX-License-Identifier: MIT

package slot

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/questdb-sf/questdb_sf/internal/vfs"
)

// stateFile is the open .qsf-state. Records are written under Slot.settling,
// summaries by the holder of the append token: they never overlap.
type stateFile struct {
	f          vfs.File
	syncs      bool // false under Memory
	generation uint64
	place      int64 // of the record to be written next
	entries    int   // of the summary table
	buf        []byte
}

// maxEntries bounds the table, which is read at once: 16 MiB. Segments beyond
// are scanned at open.
const maxEntries = 1 << 18

// stored is what .qsf-state said when it was opened.
type stored struct {
	found     bool // the file was there
	valid     bool // and had a record
	place     int64
	heads     []head // what both records say about the first segment
	state     state
	summaries map[FSN][]segment // by base; normally one each
}

// openState opens the file for at least so many summaries, creating it with all
// its blocks: a full disk must not keep acks from being written.
func openState(fsys vfs.FS, dir string, entries int, syncs bool) (*stateFile, stored, error) {
	name := filepath.Join(dir, stateName)
	_, err := fsys.Stat(name)
	found := err == nil
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, stored{}, err
	}
	f, err := fsys.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, stored{}, err
	}
	whole := false
	defer func() {
		if !whole {
			_ = f.Close()
		}
	}()
	s := &stateFile{f: f, syncs: syncs}
	st, err := s.load(min(entries, maxEntries), found)
	if err == nil {
		err = s.sync() // what was read must not be less durable than what is written next
	}
	if err != nil {
		return nil, stored{}, err
	}
	whole = true
	return s, st, nil
}

func (s *stateFile) load(entries int, found bool) (stored, error) {
	size, err := s.f.Size()
	if err != nil {
		return stored{}, err
	}
	if want := int64(stateTable + entries*summarySize); size < want {
		err := s.f.Allocate(want)
		switch {
		case err == nil:
			size = want
		case size < stateTable:
			return stored{}, err
		} // else: a smaller table costs scans, nothing more
	}
	s.entries = int(min((size-stateTable)/summarySize, maxEntries))
	b := make([]byte, stateTable+s.entries*summarySize)
	if _, err := s.f.ReadAt(b, 0); err != nil && !errors.Is(err, io.EOF) {
		return stored{}, err
	}
	st := stored{found: found}
	st.parse(b)
	s.generation, s.place = st.state.generation, st.place
	return st, nil
}

// parse takes all that a file says.
func (st *stored) parse(b []byte) {
	st.summaries = map[FSN][]segment{}
	st.pick(b)
	for i := 0; stateTable+(i+1)*summarySize <= len(b); i++ {
		if g, ok := parseSummary(b[stateTable+i*summarySize:]); ok {
			g.entry = i
			st.summaries[g.base] = append(st.summaries[g.base], g)
		}
	}
}

// pick takes the later of the two records.
func (st *stored) pick(b []byte) {
	var other state
	for _, at := range []int64{0, stateRecord} {
		s, ok := parseState(b[at:])
		if ok {
			st.heads = append(st.heads, s.head)
		}
		if ok && (!st.valid || s.generation > st.state.generation) {
			other = st.state
			st.state, st.valid, st.place = s, true, at
		} else if ok {
			other = s
		}
	}
	st.mend(&other)
}

// mend takes the intervals that a crash has torn from the record before: what was
// settled then still is, if the frames had the same numbers. Segments are hollow by
// that record.
func (st *stored) mend(before *state) {
	if !st.state.torn || before.torn || before.numbered != st.state.numbered {
		return
	}
	for _, i := range before.settled {
		if i.from > st.state.watermark+1 {
			st.state.settled = append(st.state.settled, i)
		}
	}
}

// save writes the next generation. It never goes over the record that was synced
// last: whatever becomes of this write, that one stays to fall back to.
func (s *stateFile) save(st state) error {
	st.generation = s.generation + 1
	s.buf = st.append(s.buf[:0])
	if _, err := s.f.WriteAt(s.buf, s.place); err != nil {
		return err
	}
	s.generation = st.generation
	if !s.syncs {
		s.turn()
	}
	return nil
}

// sync makes the file durable, and the record that was saved last the one to
// fall back to. It does nothing under Memory.
func (s *stateFile) sync() error {
	if !s.syncs {
		return nil
	}
	if err := s.f.Sync(); err != nil {
		return err
	}
	s.turn()
	return nil
}

// turn makes the other record the next to be written.
func (s *stateFile) turn() { s.place = stateRecord - s.place }

// summarize writes a summary into the table; a nil segment clears the entry.
func (s *stateFile) summarize(entry int, g *segment) error {
	b := make([]byte, summarySize)
	if g != nil {
		if b = appendSummary(b[:0], g); b == nil {
			return nil
		}
	}
	_, err := s.f.WriteAt(b, stateTable+int64(entry)*summarySize)
	return err
}
