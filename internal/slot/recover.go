// SPDX-License-Identifier: MIT

package slot

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/questdb-sf/questdb_sf/internal/vfs"
)

// recovery looks at a directory. It reads only: what has to change is noted and
// done by repair once nothing can be refused any more.
type recovery struct {
	o       Options
	stored  stored
	files   []found
	names   []string   // of everything in the directory
	chain   []*segment // the last first while it is built
	torn    int64      // bytes behind the last frame of the last segment
	debris  []string   // empty, half made or settled files, to be removed
	corrupt []string   // files without a whole frame, to be set aside
	cut     []*segment // whose bytes behind end stand in the next one too
}

// found is a segment file by its first bytes.
type found struct {
	name     string
	gen      int64
	size     int64
	head     header
	firstCRC uint32
	blank    bool // no frame at all, or the head of one, behind the header
}

func (r *recovery) path(name string) string { return filepath.Join(r.o.Dir, name) }

// list reads the directory and the first bytes of every segment.
func (r *recovery) list() error {
	entries, err := r.o.FS.ReadDir(r.o.Dir)
	if err != nil {
		return err
	}
	var damage error
	for _, e := range entries {
		r.names = append(r.names, e.Name())
		if err := r.foreignFile(e.Name()); err != nil {
			return err
		}
		if e.IsDir() || !strings.HasSuffix(e.Name(), segmentSuffix) {
			continue
		}
		err := r.look(e.Name())
		if wound := (*DamageError)(nil); errors.As(err, &wound) {
			damage = cmp.Or(damage, err) // a sign of another generation goes first
		} else if err != nil {
			return err
		}
	}
	return damage
}

// foreignFile knows the files of the later generations.
func (r *recovery) foreignFile(name string) error {
	generation := ""
	switch name {
	case "sf-manifest.bin":
		generation = "generation with a manifest"
	case ".symbol-dict":
		generation = "generation with a symbol dictionary"
	case ackName:
		info, err := r.o.FS.Stat(r.path(name))
		if err != nil {
			return err
		}
		if info.Size() == 8192 || info.Size() == 128 {
			generation = fmt.Sprintf("generation with a watermark of %d bytes", info.Size())
		}
	}
	if generation == "" {
		return nil
	}
	return &ForeignError{Dir: r.o.Dir, File: name, Generation: generation}
}

// look reads the first bytes of a segment file.
func (r *recovery) look(name string) error {
	f, err := r.o.FS.OpenFile(r.path(name), os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return err
	}
	b := make([]byte, SegmentOverhead)
	n, err := f.ReadAt(b, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if fault, later := headerFault(b[:n]); later {
		return &ForeignError{Dir: r.o.Dir, File: name, Generation: fault}
	} else if fault != "" {
		return r.headless(f, name, size, fault)
	}
	r.files = append(r.files, found{
		name: name, gen: fileGen(name), size: size, head: parseHeader(b),
		firstCRC: little.Uint32(b[headerSize:]), blank: little.Uint64(b[headerSize:]) == 0,
	})
	return nil
}

// headless is a file without a header: one that a crash kept from being made,
// if there is nothing in it.
func (r *recovery) headless(f vfs.File, name string, size int64, fault string) error {
	last, err := lastByte(f, 0, size)
	if err != nil {
		return err
	}
	if last >= 0 {
		return &DamageError{Path: r.path(name), FSN: -1, Reason: fault}
	}
	r.debris = append(r.debris, name)
	return nil
}

// build puts the segments in order and proves that nothing is missing between
// them. It goes from the last to the first, because how far a summary can be
// trusted is told by where the next segment begins.
func (r *recovery) build() error {
	slices.SortFunc(r.files, func(a, b found) int {
		return cmp.Or(cmp.Compare(a.head.base, b.head.base), cmp.Compare(a.gen, b.gen))
	})
	head, anchored := r.head()
	for _, f := range slices.Backward(r.files) {
		var err error
		switch {
		case f.blank:
			err = r.addBlank(f)
		case anchored && f.head.base < head:
			r.debris = append(r.debris, f.name) // settled: a trim that the crash undid
		default:
			err = r.add(f)
		}
		if err != nil {
			return err
		}
	}
	slices.Reverse(r.chain)
	return nil
}

// head returns the FSN below which everything was settled when segments were
// last unlinked. It counts only if the segment that began there is still here:
// another client may have started the numbers anew. The older record is asked
// too: the segment that the later one names may not have reached the device.
func (r *recovery) head() (base FSN, anchored bool) {
	for _, h := range r.stored.heads {
		if slices.ContainsFunc(r.files, h.is) {
			base, anchored = max(base, h.base), true
		}
	}
	return base, anchored
}

// addBlank takes a segment that was never appended to, or only by an append
// that the crash undid.
func (r *recovery) addBlank(f found) error {
	_, s, err := r.scan(f)
	if err != nil {
		return err
	}
	if s.torn == 0 {
		r.debris = append(r.debris, f.name)
		return nil
	}
	return r.setAside(f, s)
}

func (r *recovery) setAside(f found, s scanned) error {
	if !r.mayBeTorn(f, s) {
		return r.wound(f, s)
	}
	r.corrupt = append(r.corrupt, f.name)
	return nil
}

func (r *recovery) wound(f found, s scanned) error {
	reason := cmp.Or(s.bad, "ends early")
	if s.follows != 0 {
		reason += fmt.Sprintf(", and a whole frame follows at %d", s.follows)
	}
	return &DamageError{Path: r.path(f.name), FSN: f.head.base + FSN(s.frames), Offset: s.end, Reason: reason}
}

// mayBeTorn says whether a crash explains what stands behind the last frame. If
// whole frames follow, it does so only where the bytes were not known to be on
// the device: several frames of one append reach it in any order.
func (r *recovery) mayBeTorn(f found, s scanned) bool {
	st := &r.stored.state
	switch {
	case s.follows == 0:
		return true
	case !r.stored.valid || f.gen == foreignGen:
		return false
	case f.gen == st.durableGen:
		return s.end >= st.durableEnd
	default:
		return f.gen > st.durableGen
	}
}

func (r *recovery) scan(f found) (*segment, scanned, error) {
	g := &segment{name: f.name, gen: f.gen, base: f.head.base, created: f.head.created, size: f.size, entry: -1}
	file, err := r.o.FS.OpenFile(r.path(f.name), os.O_RDONLY, 0)
	if err != nil {
		return nil, scanned{}, err
	}
	defer file.Close()
	s, err := counted(file, f.size, r.o.Inspect)
	g.extent, g.firstCRC = s.extent, s.firstCRC
	return g, s, err
}
