// SPDX-License-Identifier: MIT

package slot

import (
	"cmp"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/questdb-sf/questdb_sf/internal/qwp"
)

// layout is what a foreign directory consists of.
type layout struct {
	chain      []*segment // with frames, by base
	stale      []string   // segments that were trimmed, though they are still here
	spares     []string   // segment files without anything in them
	scraps     []string   // segments with a torn first frame
	bytes      int64      // sizes of all segment files
	manifest   dual
	ack        dual
	unfinished Unfinished
}

// discovery looks at a foreign directory. It reads only.
type discovery struct {
	o       Options
	files   []*member
	layout  layout
	stored  stored
	acked   FSN // what .ack-watermark says
	symbols symbols
	view    qwp.View

	floor floor
	count tally
	wound *DamageError // of the first pending frame that cannot be resolved
	torn  int64        // bytes behind the last frame
	reset bool         // noted progress was not believed
}

// member is a segment file.
type member struct {
	*segment
	flagged bool   // it must not be without a manifest
	bad     string // why the walk over its frames stopped; "" at the end of the file
	torn    int64  // bytes behind the last frame up to the last that is not zero
	follows int64  // where a whole frame stands behind that place; 0 if none does
}

// floor is how far frames are settled.
type floor struct {
	fsn     FSN
	settled []interval // above it
	found   bool       // the frame fsn is on disk: at is behind it, crc its own
	at      position
	crc     uint32
}

// tally sums up the frames above the floor, up to the last commit.
type tally struct {
	end         FSN // the last frame with a commit; -1 for none
	last        FSN // the last frame
	rows, bytes int64
	open        Unfinished // behind end
	openBytes   int64
	stateCRC    uint32 // of the frame that .qsf-state names
	stateFound  bool
}

func (d *discovery) path(name string) string { return filepath.Join(d.o.Dir, name) }

func (d *discovery) run() error {
	var err error
	if err = d.list(); err != nil {
		return err
	}
	if d.layout.manifest, err = readManifest(d.o); err != nil {
		return err
	}
	if d.layout.ack, d.acked, err = readAckFile(d.o); err != nil {
		return err
	}
	b, err := readSmall(d.o.FS, d.path(stateName), stateTable)
	if err := ignoreMissing(err); err != nil {
		return err
	}
	d.stored.pick(append(b, make([]byte, stateTable-len(b))...))
	if err := d.scanAll(); err != nil {
		return err
	}
	if err := d.judge(); err != nil {
		return err
	}
	if d.wound != nil && d.wound.FSN <= d.count.end {
		return d.wound
	}
	return nil
}

// list reads the first bytes of every segment.
func (d *discovery) list() error {
	entries, err := d.o.FS.ReadDir(d.o.Dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.IsDir() || !strings.HasSuffix(e.Name(), segmentSuffix) {
			continue
		}
		if err := d.look(e.Name()); err != nil {
			return err
		}
	}
	slices.SortStableFunc(d.files, func(a, b *member) int { return cmp.Compare(a.base, b.base) })
	return nil
}

// look reads the header of a segment file.
func (d *discovery) look(name string) error {
	f, err := d.o.FS.OpenFile(d.path(name), os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return err
	}
	b := make([]byte, headerSize)
	n, err := f.ReadAt(b, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	flagged := n == headerSize && b[5]&flagManifest != 0
	if flagged {
		b[5] &^= flagManifest
	}
	d.layout.bytes += size
	fault, later := headerFault(b[:n])
	switch {
	case later:
		return &ForeignError{Dir: d.o.Dir, File: name, Generation: fault}
	case fault != "":
		last, err := lastByte(f, 0, size)
		if err == nil && last >= 0 {
			err = &DamageError{Path: d.path(name), FSN: -1, Reason: fault}
		}
		d.layout.spares = append(d.layout.spares, name)
		return err
	}
	h := parseHeader(b)
	g := &segment{name: name, gen: fileGen(name), base: h.base, created: h.created, size: size, entry: -1}
	d.files = append(d.files, &member{segment: g, flagged: flagged})
	return nil
}

// flagManifest is the flag of a segment that a manifest belongs to.
const flagManifest = 1 << 0

// scanAll reads every frame, once if what is noted about progress proves true:
// rows are counted on the way, which needs to know where the floor is.
func (d *discovery) scanAll() error {
	for {
		if err := d.scan(); err != nil {
			return err
		}
		again := false
		if st := &d.stored.state; d.stored.valid && !d.believable() {
			d.stored.valid = false
			again = st.watermark > d.lowest() || len(st.settled) > 0 // else it said nothing
		}
		if d.acked > d.count.last {
			d.acked, again = -1, true
		}
		if !again {
			return nil
		}
		d.reset = true
	}
}

// believable says whether .qsf-state is about the frames that are here.
func (d *discovery) believable() bool {
	st := &d.stored.state
	if st.watermark == d.lowest() {
		return d.begins(st.head)
	}
	return st.hasCRC && d.count.stateFound && d.count.stateCRC == st.crc
}

func (d *discovery) begins(h head) bool {
	for _, m := range d.files {
		if m.frames > 0 {
			return m.base == h.base && m.created == h.created
		}
	}
	return false
}

// lowest is the FSN before the first frame; -1 where there is no frame.
func (d *discovery) lowest() FSN {
	for _, m := range d.files {
		if m.frames > 0 {
			return m.base - 1
		}
	}
	return -1
}

// scan reads every frame in order.
func (d *discovery) scan() error {
	d.symbols, d.wound = symbols{}, nil
	if err := d.symbols.read(d.o); err != nil {
		return err
	}
	d.begin()
	for _, m := range d.files {
		if err := d.scanFile(m); err != nil {
			return err
		}
	}
	p := progress{watermark: d.floor.fsn, settled: d.floor.settled}
	p.clip(d.count.end)
	d.floor.settled = p.settled
	return nil
}

// begin sets the floor to what is noted: .qsf-state if it is valid, or
// .ack-watermark if its owner went on since; and nothing is below the manifest.
func (d *discovery) begin() {
	d.count = tally{end: -1, last: -1}
	d.floor = floor{fsn: max(-1, d.acked)}
	if m := d.layout.manifest; m.valid() {
		d.floor.fsn = max(d.floor.fsn, m.first-1)
	}
	if st := &d.stored.state; d.stored.valid && st.watermark >= d.floor.fsn {
		p := progress{watermark: st.watermark, settled: slices.Clone(st.settled)}
		p.clip(maxFSN)
		d.floor.fsn, d.floor.settled = p.watermark, p.settled
	}
}

func (d *discovery) scanFile(m *member) error {
	f, err := d.o.FS.OpenFile(d.path(m.name), os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	m.extent = extent{}
	fsn, off := m.base, int64(headerSize)
	s, err := scan(f, m.size, func(rec record) {
		off += rec.size
		d.frame(m, rec, position{seg: m.segment, off: off, fsn: fsn + 1, crc: rec.crc})
		fsn++
	})
	m.end, m.frames, m.firstCRC = s.end, s.frames, s.firstCRC
	m.bad, m.torn, m.follows = s.bad, s.torn, s.follows
	return err
}

// frame takes one frame into account; behind is the place behind it.
func (d *discovery) frame(m *member, rec record, behind position) {
	fsn := behind.fsn - 1
	if st := &d.stored.state; fsn == st.watermark {
		d.count.stateCRC, d.count.stateFound = rec.crc, true
	}
	if fsn == d.floor.fsn {
		d.floor.found, d.floor.at, d.floor.crc = true, behind, rec.crc
	}
	fault := d.symbols.fold(rec.payload)
	b, dict := d.symbols.resolve(rec.payload)
	err := d.view.Parse(b, dict)
	if err == nil {
		i := d.view.Info()
		m.rows += int64(i.Rows)
		m.add(span{min: i.MinTime, max: i.MaxTime, ok: i.HasTime})
	}
	d.count.last = max(d.count.last, fsn)
	p := progress{watermark: d.floor.fsn, settled: d.floor.settled}
	if fsn <= d.floor.fsn {
		d.count.commit(fsn)
		return
	}
	if fault != "" && err != nil && d.wound == nil {
		d.wound = &DamageError{Path: d.path(m.name), FSN: fsn, Offset: behind.off - rec.size, Reason: fault}
	}
	rows := int64(d.view.Info().Rows)
	if p.covers(fsn) {
		rows = 0
	}
	d.count.add(fsn, rows, rec.size, isDeferred(rec.payload))
}

// add counts a frame above the floor.
func (t *tally) add(fsn FSN, rows, size int64, deferred bool) {
	t.open.Frames++
	t.open.Rows += rows
	t.openBytes += size
	if !deferred {
		t.commit(fsn)
	}
}

// commit counts what waited for this frame.
func (t *tally) commit(fsn FSN) {
	t.rows, t.bytes = t.rows+t.open.Rows, t.bytes+t.openBytes
	t.open, t.openBytes = Unfinished{}, 0
	t.end = max(t.end, fsn)
}

func (d *discovery) frames() int64 {
	var n int64
	for _, g := range d.layout.chain {
		n += g.frames
	}
	return n
}
