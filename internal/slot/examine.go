// SPDX-License-Identifier: MIT

package slot

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/vfs"
)

// ExamineOptions say which slot is looked at, and how closely.
type ExamineOptions struct {
	FS  vfs.FS // default vfs.OS
	Dir string
	// Target is where the rows should belong, by which a damaged .target is known; "" if
	// that is not known.
	Target string
	// Deep has every frame read and checked; else segments are believed that a summary
	// vouches for.
	Deep bool
	// Alone says that nobody is working in the slot. Else what is found wanting counts
	// only if a second look finds it too.
	Alone bool
	// Inspect counts rows, as in Options.
	Inspect Inspector
}

// Examination is a slot as Open or OpenForeign would find it.
type Examination struct {
	// Foreign says by what another client's generation of the format was known; "" for
	// a slot that Open would open.
	Foreign string
	// Stats are those that the slot would have; Published is -1 without a frame.
	Stats Stats
	// FirstPending is the first frame that is not settled; -1 if all are.
	FirstPending FSN
	// Closed says that it was closed in order, and nothing has come since: then the
	// ledger is exact.
	Closed bool
	// Known says that .qsf-state was there to tell of ledger and progress.
	Known bool
	// Findings are what Open would mend or count as lost, and, if Deep, all else that is
	// not as it should be. The worst is the grade.
	Findings []Finding
	// Receipts are the files of incidents that were told before; Corrupt the files that
	// were set aside.
	Receipts, Corrupt []string
	CorruptBytes      int64
	FileBytes         int64 // of all segment files, spares included
	Kept              int   // files of acked segments that are kept
	KeptBytes         int64
	Frames, BytesRead int64 // that were checked, if Deep
	Target            string
	Failed            bool // somebody wrote down why it shall not be drained
	FailedWhy         string
	Unfinished        Unfinished

	o           Options
	deep, alone bool
	r           *recovery
	s           *Slot    // of ours, in which nobody works
	f           *Foreign // else
	unreadable  int64    // frames that are no message
}

const (
	examineTries = 5
	examinePause = 20 * time.Millisecond
)

// Examine looks at a slot. It takes no lock and changes nothing: the slot may be in
// use, by another process too. Files that come, grow and go meanwhile are no finding.
// Besides errors of the filesystem it fails with *ForeignError for a generation that is
// not known.
func Examine(o ExamineOptions) (*Examination, error) {
	if o.FS == nil {
		o.FS = vfs.OS
	}
	o.FS = vfs.ReadOnly(o.FS)
	var before *Examination
	for try := 1; ; try++ {
		e, err := o.once()
		switch {
		case err != nil && (o.Alone || try == examineTries):
			return nil, err
		case err != nil:
		case o.Alone || len(e.Findings) == 0:
			return e, nil
		case before != nil:
			e.keepCommon(before)
			return e, nil
		default:
			before = e
		}
		time.Sleep(examinePause)
	}
}

// keepCommon keeps the findings that an earlier look has too.
func (e *Examination) keepCommon(before *Examination) {
	e.Findings = slices.DeleteFunc(e.Findings, func(f Finding) bool {
		return !slices.ContainsFunc(before.Findings, f.same)
	})
}

// once looks at the slot. What .qsf-state says is read first: a frame that comes later
// is then one more that it does not know of, as after a crash.
func (o ExamineOptions) once() (*Examination, error) {
	e := &Examination{deep: o.Deep, alone: o.Alone, FirstPending: -1}
	e.o = Options{FS: o.FS, Dir: o.Dir, Target: o.Target, Inspect: o.Inspect}.withDefaults()
	st, err := o.stored()
	if err != nil {
		return nil, err
	}
	e.r = &recovery{o: e.counting(), stored: st, deep: o.Deep, beside: true}
	if e.Target, err = TargetOf(o.FS, o.Dir); err != nil && !errors.Is(err, vfs.ErrUntrusted) {
		return nil, err
	}
	if e.FailedWhy, e.Failed, err = Failed(o.FS, o.Dir); err != nil && !errors.Is(err, vfs.ErrUntrusted) {
		return nil, err
	}
	if err := e.weighFiles(); err != nil {
		return nil, err
	}
	err = e.r.list()
	var later *ForeignError
	switch {
	case errors.As(err, &later):
		e.Foreign = later.Generation
		err = e.foreign()
	case err == nil:
		err = e.ours()
	}
	if err != nil {
		return nil, err
	}
	return e, nil
}

// stored reads .qsf-state, which somebody may be writing: a record that is in the middle
// of that is looked at again.
func (o ExamineOptions) stored() (st stored, err error) {
	for try := 1; ; try++ {
		b, found, err := readState(o.FS, o.Dir)
		if err != nil {
			return st, err
		}
		st = stored{found: found}
		st.parse(b)
		if !found || o.Alone || !st.state.torn && len(st.heads) == 2 || try == stateTries {
			return st, nil
		}
		time.Sleep(statePause)
	}
}

// readState returns .qsf-state, with zeros where it is short.
func readState(fsys vfs.FS, dir string) (b []byte, found bool, err error) {
	b = make([]byte, stateTable)
	f, err := fsys.OpenFile(filepath.Join(dir, stateName), os.O_RDONLY, 0)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, vfs.ErrUntrusted) {
		return b, false, nil // what is no file is set aside
	}
	if err != nil {
		return nil, false, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return nil, false, err
	}
	b = make([]byte, max(stateTable, min(size, stateTable+maxEntries*summarySize)))
	if _, err := f.ReadAt(b, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, false, err
	}
	return b, true, nil
}

// counting are the options with an inspector that notes what is no message.
func (e *Examination) counting() Options {
	o := e.o
	inspect := o.Inspect
	o.Inspect = func(frame []byte) (rows int, low, high int64, ok bool, err error) {
		rows, low, high, ok, err = inspect(frame)
		e.BytesRead += int64(len(frame))
		if err != nil {
			e.unreadable++
		}
		return rows, low, high, ok, err
	}
	return o
}

// weighFiles notes what stands in the directory besides segments in use.
func (e *Examination) weighFiles() error {
	entries, err := e.o.FS.ReadDir(e.o.Dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		name := entry.Name()
		info, err := e.o.FS.Stat(filepath.Join(e.o.Dir, name))
		if err != nil || !entry.Type().IsRegular() {
			continue // gone, or nothing of ours
		}
		_, isKept := ackedAt(name)
		_, isReceipt := aboutOf(name)
		switch {
		case isKept:
			e.Kept++
			e.KeptBytes += info.Size()
		case isReceipt:
			e.Receipts = append(e.Receipts, name)
		case strings.Contains(name, corruptSuffix):
			e.Corrupt = append(e.Corrupt, name)
			e.CorruptBytes += info.Size()
		case strings.HasSuffix(name, segmentSuffix):
			e.FileBytes += info.Size()
		}
	}
	return nil
}

// ours has recovery look at a slot, with none of what it would change.
func (e *Examination) ours() error {
	r := e.r
	if err := r.build(); err != nil {
		return err
	}
	s := &Slot{o: r.o, cursors: map[*Cursor]struct{}{}}
	s.account = s.o.Budget.open(nil)
	defer s.account.close()
	defer s.closeFiles()
	if err := s.takeStock(r); err != nil {
		return err
	}
	for _, g := range r.chain {
		s.hold(g)
	}
	e.s = s
	e.Known = r.stored.valid
	e.Closed = r.stored.valid && r.stored.state.clean && r.stored.state.next == s.published+1
	if e.deep {
		e.Frames = wholeFrames(r.chain)
	}
	e.Stats = s.stats(s.published)
	if len(s.segs) > 0 {
		e.Stats = s.Stats()
	}
	if e.Stats.PendingFrames > 0 {
		e.FirstPending = s.behind(s.watermark + 1)
	}
	return e.findOurs()
}

// wholeFrames counts the frames that can be read, some of which are read more than once.
func wholeFrames(chain []*segment) (n int64) {
	for _, g := range chain {
		n += g.frames
		for i := range g.holes {
			n -= g.holes[i].frames
		}
	}
	return n
}

// foreign looks at the slot of another client.
func (e *Examination) foreign() error {
	d := discovery{o: e.r.o}
	err := d.run()
	if wound := (*DamageError)(nil); errors.As(err, &wound) {
		e.Findings = append(e.Findings, Finding{
			Grade: Wounded, What: wound.Reason, File: filepath.Base(wound.Path), Offset: wound.Offset,
			FirstFSN: wound.FSN, LastFSN: wound.FSN,
		})
		e.Stats.Published, e.Stats.Watermark = -1, -1
		return nil
	}
	if err != nil {
		return err
	}
	f := &Foreign{o: e.o, cursors: map[*Cursor]struct{}{}}
	f.take(&d)
	e.f, e.Known, e.Unfinished = f, d.stored.valid, f.Unfinished()
	e.Stats, e.Frames = f.Stats(), d.frames()
	for _, g := range d.layout.chain {
		e.BytesRead += g.end
	}
	if e.Stats.PendingFrames > 0 {
		e.FirstPending = f.behind(f.watermark + 1)
	}
	if d.torn > 0 {
		e.add(Torn, "", "%d bytes behind the last frame were not written to their end, as a crash leaves them", d.torn)
	}
	if d.reset {
		e.add(Torn, stateName, "what is noted of progress is about other frames: all that is here is sent again")
	}
	return nil
}

// Grade is that of the worst finding.
func (e *Examination) Grade() Grade {
	worst := Clean
	for _, f := range e.Findings {
		worst = max(worst, f.Grade)
	}
	return worst
}
