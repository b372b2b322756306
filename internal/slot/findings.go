// SPDX-License-Identifier: MIT

package slot

import (
	"bytes"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"
)

// Grade says how much is wrong. Zero is none.
type Grade uint8

const (
	// Clean is as it should be.
	Clean Grade = iota + 1
	// Torn is what a crash leaves, or damage that costs no row: the next open mends it,
	// at worst by sending rows again.
	Torn
	// Wounded is damage of what was stored.
	Wounded
)

// String returns the word that commands print.
func (g Grade) String() string {
	switch g {
	case Clean:
		return "clean"
	case Torn:
		return "torn"
	case Wounded:
		return "wounded"
	}
	return fmt.Sprintf("grade %d", uint8(g))
}

// MarshalText writes the word.
func (g Grade) MarshalText() ([]byte, error) { return []byte(g.String()), nil }

// Finding is something that is not as it should be.
type Finding struct {
	Grade  Grade  `json:"grade"`
	What   string `json:"what"`
	File   string `json:"file,omitempty"`
	Offset int64  `json:"offset"` // in the file; -1 where there is none
	// FirstFSN to LastFSN are the frames concerned; LastFSN is below FirstFSN if there
	// are none.
	FirstFSN FSN `json:"first_fsn"`
	LastFSN  FSN `json:"last_fsn"`
	// Rows are lost with it, if RowsKnown.
	Rows      int64 `json:"rows"`
	RowsKnown bool  `json:"rows_known"`
	// Receipt is the incident in which it was told before; "" if it was not.
	Receipt string `json:"receipt,omitempty"`
}

// same says whether two looks have found the same. How many rows are lost with it moves
// with the ledger.
func (f Finding) same(o Finding) bool {
	f.Rows, f.RowsKnown = o.Rows, o.RowsKnown
	return f == o
}

func (e *Examination) add(g Grade, file, format string, args ...any) {
	e.Findings = append(e.Findings, Finding{
		Grade: g, File: file, What: fmt.Sprintf(format, args...), Offset: -1, FirstFSN: 0, LastFSN: -1,
	})
}

// findOurs notes all that recovery would mend or count as lost, and what it would not
// have looked at.
func (e *Examination) findOurs() error {
	e.findLosses()
	e.findHoles()
	e.findTails()
	e.findOdd()
	e.findTarget()
	for _, find := range []func() error{e.findState, e.findStrangers, e.findKept} {
		if err := find(); err != nil {
			return err
		}
	}
	e.findLedger()
	return nil
}

func (e *Examination) findLosses() {
	for _, l := range e.r.losses {
		i := l.Incident
		f := Finding{
			Grade: Wounded, What: i.What, File: i.File, Offset: i.Offset, FirstFSN: i.FirstFSN, LastFSN: i.LastFSN,
			Rows: i.Rows, RowsKnown: i.RowsKnown,
		}
		if i.File == "" {
			f.Offset = -1
		}
		if name := i.name(); slices.Contains(e.Receipts, name) {
			f.Receipt = name
		}
		e.Findings = append(e.Findings, f)
	}
}

// findHoles notes holes of which every frame was settled before.
func (e *Examination) findHoles() {
	for _, g := range e.r.chain {
		for _, h := range g.holes {
			is := func(f Finding) bool { return f.File == g.name && f.FirstFSN <= h.fsn && h.next()-1 <= f.LastFSN }
			if slices.ContainsFunc(e.Findings, is) {
				continue
			}
			f := Finding{
				Grade: Wounded, File: g.name, Offset: h.at, FirstFSN: h.fsn, LastFSN: h.next() - 1, Receipt: e.receipt(g.name),
				What: "frames that cannot be read; they are settled, no row is lost by it now", RowsKnown: true,
			}
			if f.Receipt != "" {
				f.What = "frames that cannot be read, as was told before"
				f.RowsKnown = false
			}
			e.Findings = append(e.Findings, f)
		}
	}
}

// receipt returns an incident about a file.
func (e *Examination) receipt(name string) string {
	i := slices.IndexFunc(e.Receipts, func(r string) bool { about, _ := aboutOf(r); return about == stem(name) })
	if i < 0 {
		return ""
	}
	return e.Receipts[i]
}

func (e *Examination) findTails() {
	for i, g := range e.r.chain {
		torn := int64(0)
		if v := e.r.views[g]; v != nil && len(g.holes) == 0 {
			torn = v.torn
		}
		if i == len(e.r.chain)-1 && len(g.holes) == 0 { // behind a hole nothing is cut
			torn = e.r.torn
		}
		if torn == 0 {
			continue
		}
		e.Findings = append(e.Findings, Finding{
			Grade: Torn, File: g.name, Offset: g.end, FirstFSN: g.next(), LastFSN: g.last(),
			What: fmt.Sprintf("%d bytes behind the last frame are none, and are cut", torn),
		})
	}
	if n := e.s.recovered.MissingFrames; n > 0 && e.alone && len(e.r.losses) == 0 {
		e.add(Torn, "", "%d frames are missing at the end that were not on the device yet, as a crash leaves it", n)
	}
	if e.s.recovered.WatermarkReset {
		e.add(Torn, stateName, "the watermark names a frame that is not the one it was: what is here is sent again")
	}
}

func (e *Examination) findOdd() {
	husk := func(name string) bool {
		return slices.ContainsFunc(e.r.husks, func(f found) bool { return f.name == name })
	}
	for _, name := range e.r.corrupt {
		if !husk(name) {
			e.add(Torn, name, "no whole frame is in it, and nothing says that there was one: it is set aside")
		}
	}
	for _, g := range e.r.cut {
		e.add(Torn, g.name, "its last frames stand in the next segment too, and are cut here")
	}
	for _, name := range e.r.odd {
		if name == stateName || name == ackName || name == targetName {
			e.add(Torn, name, "is no regular file: it is set aside")
		}
	}
}

// findTarget knows a damaged .target from one that was changed on purpose.
func (e *Examination) findTarget() {
	was, want := e.r.stored.state.target, e.o.Target
	if e.Target == "" {
		if was != 0 {
			e.add(Torn, targetName, "it is gone, or empty: it is written anew, with the destination of who opens the slot next")
		}
		return
	}
	if damaged, _ := damagedTarget(e.Target, want, was); damaged && e.Target != want {
		e.add(Wounded, targetName, "it is not what it was when .qsf-state was written (checksum %08x, was %08x)", targetCRC(e.Target), was)
	}
}

// findState checks what .qsf-state and .ack-watermark say that recovery can do without.
func (e *Examination) findState() error {
	b, found, err := readState(e.o.FS, e.o.Dir)
	if err != nil || !found || !e.alone {
		return err // who is working in the slot may be writing them
	}
	for at := 0; at < stateTable; at += stateRecord {
		if _, ok := parseState(b[at:]); !ok && len(bytes.Trim(b[at:at+stateRecord], "\x00")) > 0 {
			e.addAt(Torn, stateName, int64(at), "a record does not match its checksum: the other one counts, or all is sent again")
		}
	}
	if e.r.stored.state.torn {
		e.addAt(Torn, stateName, e.r.stored.place+stateCore, "the settled intervals do not match their checksum: those frames may be sent again")
	}
	for at := stateTable; at+summarySize <= len(b); at += summarySize {
		if _, ok := parseSummary(b[at:]); !ok && len(bytes.Trim(b[at:at+summarySize], "\x00")) > 0 {
			e.addAt(Torn, stateName, int64(at), "a summary does not match its checksum: its segment is read instead")
		}
	}
	ack, err := readSmall(e.o.FS, filepath.Join(e.o.Dir, ackName), ackSize)
	if err == nil && len(bytes.Trim(ack, "\x00")) > 0 && parseAck(ack) < 0 {
		e.add(Torn, ackName, "it says nothing; it is written anew for other clients")
	}
	return nil
}

func (e *Examination) addAt(g Grade, file string, at int64, what string) {
	e.add(g, file, "%s", what)
	e.Findings[len(e.Findings)-1].Offset = at
}

// findStrangers looks for frames that are whole but no message, and for summaries that
// do not say what is in their segment.
func (e *Examination) findStrangers() error {
	if !e.deep {
		return nil
	}
	for _, g := range e.r.chain {
		for _, sum := range e.r.stored.summaries[g.base] {
			if sum.created == g.created && len(g.holes) == 0 && sum.next() == g.next() && sum.size == g.size &&
				(sum.rows != g.rows || sum.end != g.end || sum.span != g.span) {
				e.add(Wounded, g.name, "its summary says %d rows up to %d, and it holds %d up to %d", sum.rows, sum.end, g.rows, g.end)
			}
		}
		if e.unreadable == 0 {
			continue
		}
		if err := e.r.unlessGone(g.name, e.findUnreadable(g)); err != nil {
			return err
		}
	}
	return nil
}

// findUnreadable notes the frames of a segment that are no message.
func (e *Examination) findUnreadable(g *segment) error {
	_, err := e.walkOwn(g, 0, maxFSN, func(f *Framed, off int64) error {
		if _, _, _, _, err := e.o.Inspect(f.Bytes); err != nil {
			e.Findings = append(e.Findings, Finding{
				Grade: Wounded, What: "a frame that is whole but no message: " + err.Error(), File: g.name, Offset: off,
				FirstFSN: f.FSN, LastFSN: f.FSN,
			})
		}
		return nil
	})
	return err
}

// findKept checks what is kept of acked segments.
func (e *Examination) findKept() error {
	if !e.deep || e.Kept == 0 {
		return nil
	}
	entries, err := e.o.FS.ReadDir(e.o.Dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if _, is := ackedAt(entry.Name()); !is || !entry.Type().IsRegular() {
			continue
		}
		if err := e.r.unlessGone(entry.Name(), e.checkKept(entry.Name())); err != nil {
			return err
		}
	}
	return nil
}

func (e *Examination) checkKept(name string) error {
	v, err := surveyOf(e.counting(), name, everyByte)
	if err != nil {
		return err
	}
	head, err := readSmall(e.o.FS, filepath.Join(e.o.Dir, name), headerSize)
	if err != nil {
		return err
	}
	fault, _ := headerFault(head)
	if lost := v.lost(); lost > 0 || fault != "" {
		e.add(Wounded, name, "%s %d bytes of this kept segment are no frames: a rewind lacks them", strings.TrimSpace(fault), lost)
	}
	return nil
}

const everyByte = int64(math.MaxInt64)

// findLedger compares the ledger of a clean close with the rows that are there. After
// anything else it may lag behind.
func (e *Examination) findLedger() {
	if moved := e.s.recovered.LedgerMoved; e.Closed && moved != 0 && len(e.Findings) == 0 {
		e.add(Wounded, stateName, "the ledger of a slot that was closed in order does not agree with its segments: off by %d rows", moved)
	}
}
