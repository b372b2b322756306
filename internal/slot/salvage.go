// SPDX-License-Identifier: MIT

package slot

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/questdb-sf/questdb_sf/internal/qwp"
	"github.com/questdb-sf/questdb_sf/internal/vfs"
)

// Salvager reads every frame that is whole out of the segments of another client's
// slot, whatever is wrong with the others. It changes nothing and takes no lock.
//
// What is settled is left out where the number of a frame is sure, which it is before
// the first damage in a segment; else a frame is given out once more. A frame whose
// symbols nobody defines any more is lost.
type Salvager struct {
	FS  vfs.FS
	Dir string
	// Visit is given each frame as a message that can be read alone; its bytes are good
	// until it returns.
	Visit func(Frame) error
	// Lost is told what could not be read.
	Lost func(file string, bytes int64, why string)

	d       discovery
	strange []string // segment files whose header cannot be read
	view    qwp.View
	last    FSN     // that begins the last segment with a frame
	held    []Frame // of a transaction that is not committed yet
}

const (
	noBase  = maxFSN // of a segment whose header says nothing
	flagsAt = 5      // of a QWP message
)

// Read reads all there is. An error is one of the filesystem, or of Visit.
func (v *Salvager) Read() error {
	v.d = discovery{o: Options{FS: v.FS, Dir: v.Dir}.withDefaults()}
	v.strange, v.held, v.last = nil, nil, -1
	if err := v.look(); err != nil {
		return err
	}
	next := FSN(-1) // not known
	if v.d.layout.manifest.valid() || v.d.floor.fsn >= 0 {
		next = v.d.floor.fsn + 1
	}
	for _, m := range v.d.files {
		if m.frames > 0 {
			v.last = m.base
		}
	}
	for _, m := range v.d.files {
		if m.base <= v.last {
			v.gap(next, m.base)
		}
		end, err := v.readFile(m.name, m.base)
		if err != nil {
			return err
		}
		next = max(next, end)
	}
	v.checkEnd(next)
	for _, name := range v.strange {
		v.Lost(name, headerSize, "its header cannot be read")
		if _, err := v.readFile(name, noBase); err != nil {
			return err
		}
	}
	if n := len(v.held); n > 0 {
		v.Lost("", 0, fmt.Sprintf("%d frames belong to a transaction that was never committed", n))
	}
	return nil
}

// gap tells of frames that are nowhere.
func (v *Salvager) gap(next, base FSN) {
	if next >= 0 && base > next {
		v.Lost("", 0, fmt.Sprintf("frames %d to %d are not there", next, base-1))
	}
}

// checkEnd tells of frames before the segment that was written to last, and of that.
func (v *Salvager) checkEnd(next FSN) {
	m := v.d.layout.manifest
	if !m.valid() {
		return
	}
	v.gap(next, m.second)
	if !slices.ContainsFunc(v.d.files, func(o *member) bool { return o.base == m.second }) {
		v.Lost("", 0, fmt.Sprintf("the segment that was written to last, from frame %d on, is not there", m.second))
	}
}

// look finds out what there is and how far it is settled.
func (v *Salvager) look() error {
	entries, err := v.FS.ReadDir(v.Dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.IsDir() || !strings.HasSuffix(e.Name(), segmentSuffix) {
			continue
		}
		err := v.d.look(e.Name())
		if errors.As(err, new(*DamageError)) || errors.As(err, new(*ForeignError)) {
			v.strange, err = append(v.strange, e.Name()), nil
		}
		if err != nil {
			return err
		}
	}
	slices.SortStableFunc(v.d.files, func(a, b *member) int { return cmp.Compare(a.base, b.base) })
	if v.d.layout.manifest, err = readManifest(v.d.o); err != nil {
		return err
	}
	if v.d.layout.ack, v.d.acked, err = readAckFile(v.d.o); err != nil {
		return err
	}
	b, err := readSmall(v.FS, v.d.path(stateName), stateTable)
	if err := ignoreMissing(err); err != nil {
		return err
	}
	v.d.stored.pick(append(b, make([]byte, stateTable-len(b))...))
	return v.d.scanAll()
}

// readFile gives out the frames of one segment file, and returns the number behind the
// last as far as it can be known.
func (v *Salvager) readFile(name string, base FSN) (next FSN, err error) {
	f, err := v.FS.OpenFile(v.d.path(name), os.O_RDONLY, 0)
	if err != nil {
		return base, ignoreMissing(err)
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return base, err
	}
	found, err := survey(f, size, nil)
	if err != nil {
		return base, err
	}
	sure := FSN(found.frames) // frames before the first damage
	if len(found.holes) > 0 {
		sure = found.holes[0].fsn
	}
	if base == noBase {
		sure = 0
	}
	p := progress{watermark: v.d.floor.fsn, settled: v.d.floor.settled}
	n, stop := FSN(0), error(nil)
	_, err = survey(f, size, func(rec record) {
		if settled := n < sure && p.covers(base+n); stop == nil {
			stop = v.frame(name, rec, settled)
		}
		n++
	})
	for _, h := range found.holes {
		v.Lost(name, h.end-h.at, fmt.Sprintf("the bytes from %d on are no frame", h.at))
	}
	if found.torn > 0 && (base < v.last || base == noBase) { // a crash tears the end of the last only
		v.Lost(name, found.torn, fmt.Sprintf("the bytes from %d on are no frame", found.end))
	}
	return base + FSN(found.least()), errors.Join(stop, err)
}

// frame takes the symbols of a frame and gives it out unless it is settled.
func (v *Salvager) frame(name string, rec record, settled bool) error {
	fault := v.d.symbols.fold(rec.payload)
	if settled {
		return nil
	}
	b, dict := v.d.symbols.resolve(rec.payload)
	if err := v.view.Parse(b, dict); err != nil {
		why := err.Error()
		if fault != "" {
			why = fault
		}
		v.Lost(name, rec.size, why)
		return nil
	}
	v.add()
	if isDeferred(rec.payload) {
		return nil
	}
	for _, f := range v.held {
		if err := v.Visit(f); err != nil {
			return err
		}
	}
	v.held = v.held[:0]
	return nil
}

// add takes the frame that was parsed to those that wait for their commit.
func (v *Salvager) add() {
	i := v.view.Info()
	if i.Rows == 0 {
		return
	}
	b := v.view.AppendPart(nil, qwp.WholeMessage)
	b[flagsAt] &^= qwp.FlagDeferCommit // it stands alone from now on
	v.held = append(v.held, Frame{Bytes: b, Rows: i.Rows, MinTime: i.MinTime, MaxTime: i.MaxTime, HasTime: i.HasTime})
}
