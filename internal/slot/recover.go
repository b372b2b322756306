// SPDX-License-Identifier: MIT

package slot

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// recovery looks at a directory. It reads only: what has to change is noted and
// done by repair once nothing can be refused any more.
type recovery struct {
	o       Options
	stored  stored
	files   []found
	byName  map[string]int  // index in files
	names   []string        // of everything in the directory
	told    map[string]bool // stems of files that incidents are about
	odd     []string        // names of ours that are no regular files
	later   []found         // whose headers have signs of a later generation
	chain   []*segment      // the last first while it is built
	torn    int64           // bytes behind the last frame of the last segment
	debris  []string        // empty or half made files, to be removed
	done    []found         // settled files
	corrupt []string        // files without a whole frame, or with a wound that is told, to be set aside
	cut     []*segment      // whose bytes behind end stand in the next one too

	views     map[*segment]*surveyed // of the chain, where a file was read
	strays    []found                // files that do not say where they belong
	husks     []found                // files that held frames, none of which can be read
	headers   []*segment             // whose headers have to be written anew
	doubts    []interval             // frames that may have had other numbers before
	losses    []loss
	newTarget bool // .target has to be written anew

	deep   bool     // every segment is read, whatever a summary says of it
	beside bool     // somebody else may be working in the slot: it is only looked at
	gone   []string // files that went meanwhile
}

// found is a segment file by its first bytes.
type found struct {
	name     string
	gen      int64
	size     int64
	head     header
	raw      []byte // of the header
	fault    string // what is wrong with the header
	known    bool   // .qsf-state knows it
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
	r.told = map[string]bool{}
	for _, e := range entries {
		r.note(e.Name())
		if err := r.foreignFile(e.Name()); err != nil {
			return err
		}
		if !e.Type().IsRegular() {
			r.odd = append(r.odd, e.Name())
			continue
		}
		if !strings.HasSuffix(e.Name(), segmentSuffix) {
			continue
		}
		if err := r.unlessGone(e.Name(), r.look(e.Name())); err != nil {
			return err
		}
	}
	return r.judgeLater()
}

// unlessGone takes note of a file that its owner has taken away meanwhile.
func (r *recovery) unlessGone(name string, err error) error {
	if r.beside && errors.Is(err, fs.ErrNotExist) {
		r.gone = append(r.gone, name)
		return nil
	}
	return err
}

// judgeLater tells the headers of a later generation from damaged ones of ours. A
// client of a later one marks every segment, and keeps other files beside; in a slot
// with a .qsf-state, what that names or stands beside segments without a mark is ours.
func (r *recovery) judgeLater() error {
	if len(r.later) == 0 {
		return nil
	}
	plain := slices.ContainsFunc(r.files, func(f found) bool { return f.fault == "" })
	ours := false
	b, err := readSmall(r.o.FS, r.path(stateName), stateTable)
	if err = ignoreMissing(err); err != nil {
		return err
	}
	for at := 0; at+stateRecord <= len(b); at += stateRecord {
		s, ok := parseState(b[at:])
		ours = ours || ok && (plain || slices.ContainsFunc(r.later, s.head.is))
	}
	if !ours {
		return &ForeignError{Dir: r.o.Dir, File: r.later[0].name, Generation: r.later[0].fault}
	}
	for _, f := range r.later {
		f.fault = "" // the rest of the header says what it did; this is written anew
		r.files = append(r.files, f)
	}
	return nil
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
	fault, later := headerFault(b[:n])
	if later {
		r.later = append(r.later, found{
			name: name, gen: fileGen(name), size: size, head: parseHeader(b), raw: b[:headerSize], fault: fault,
			firstCRC: little.Uint32(b[headerSize:]), blank: little.Uint64(b[headerSize:]) == 0,
		})
		return nil
	}
	if fault != "" {
		// A crash may have kept it from being made.
		if last, err := lastByte(f, 0, size); err != nil || last < 0 {
			r.debris = append(r.debris, name)
			return err
		}
	}
	r.files = append(r.files, found{
		name: name, gen: fileGen(name), size: size, head: parseHeader(b), raw: b[:min(n, headerSize)], fault: fault,
		firstCRC: little.Uint32(b[headerSize:]), blank: little.Uint64(b[headerSize:]) == 0,
	})
	return nil
}

// build puts the segments in order and finds out what is missing between them. It
// goes from the last to the first, because how far a summary can be trusted is told
// by where the next segment begins.
func (r *recovery) build() error {
	r.views = map[*segment]*surveyed{}
	r.correct()
	slices.SortFunc(r.files, func(a, b found) int {
		return cmp.Or(cmp.Compare(a.head.base, b.head.base), cmp.Compare(a.gen, b.gen))
	})
	head, anchored := r.head()
	for _, f := range slices.Backward(r.files) {
		if err := r.unlessGone(f.name, r.addFound(f, anchored && f.head.base < head.base, head)); err != nil {
			return err
		}
	}
	slices.Reverse(r.chain)
	if err := r.placeStrays(); err != nil {
		return err
	}
	r.closeGaps()
	r.checkHeaders()
	return nil
}

func (r *recovery) addFound(f found, below bool, head head) error {
	switch {
	case f.fault != "" && !f.known:
		r.strays = append(r.strays, f)
	case f.blank:
		return r.addBlank(f)
	case below && f.gen > head.gen && head.gen != foreignGen && !f.known:
		r.strays = append(r.strays, f) // a younger file: its number is damaged
	case below && r.isWounded(f):
		r.corrupt = append(r.corrupt, f.name)
	case below:
		r.done = append(r.done, f) // a trim that the crash undid
	default:
		return r.add(f)
	}
	return nil
}

// head returns the FSN below which everything was settled when segments were
// last unlinked. It counts only if the segment that began there is still here:
// another client may have started the numbers anew. The older record is asked
// too: the segment that the later one names may not have reached the device.
func (r *recovery) head() (first head, anchored bool) {
	for _, h := range r.stored.heads {
		if slices.ContainsFunc(r.files, h.is) && (!anchored || h.base > first.base) {
			first, anchored = h, true
		}
	}
	return first, anchored
}

// addBlank takes a segment that was never appended to, or only by an append
// that the crash undid.
func (r *recovery) addBlank(f found) error {
	v, err := surveyOf(r.o, f.name, f.size)
	switch {
	case err != nil:
		return err
	case v.torn == 0 && v.frames == 0:
		r.debris = append(r.debris, f.name)
		return nil
	case r.onDevice(f, v) <= headerSize:
		r.corrupt = append(r.corrupt, f.name)
		return nil
	}
	return r.add(f)
}

// onDevice returns up to where the bytes of the last segment were on the device,
// so that no crash explains what is wrong there. Without a word of .qsf-state, and
// under Memory, which never syncs, it is the last whole frame.
func (r *recovery) onDevice(f found, v *surveyed) int64 {
	st := &r.stored.state
	switch {
	case !r.hinted(f), !st.synced:
		return v.end
	case f.gen == st.durableGen:
		return st.durableEnd
	case f.gen > st.durableGen:
		return headerSize
	}
	return f.size // sealed, and synced before the next one got a frame
}

// hinted says whether .qsf-state can be about a file: another client may have begun
// anew under the same name.
func (r *recovery) hinted(f found) bool {
	h := r.stored.state.head
	return r.stored.valid && f.gen != foreignGen && (f.known || f.gen != h.gen || f.head.created == h.created)
}
