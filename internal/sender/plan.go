// SPDX-License-Identifier: MIT

package sender

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/link"
	"github.com/questdb-sf/questdb_sf/internal/qwp"
	"github.com/questdb-sf/questdb_sf/internal/slot"
	"github.com/questdb-sf/questdb_sf/internal/verdict"
)

// parcel is a part of the frame in view that goes out now.
type parcel struct {
	qwp.Part
	alone bool   // in a request of its own, with no other behind it
	last  bool   // its request ends with it
	table string // of its rows; empty if they are of several
	probe *probe // nil for rows that are likely to be taken
}

// probe is one row that is offered to see whether the server has come to take it.
type probe struct {
	bar    bool // the table was refused, or else a column
	key    verdict.Key
	column int    // goes under its own name
	name   string // which is this
}

// Letter is a row that is at fault itself, on its way to the dead letters. Data and
// Frame, the row as a message of its own, are good until the call returns.
type Letter struct {
	FSN        slot.FSN
	CRC        uint32 // CRC-32C of its frame
	Block, Row int
	Data       *qwp.Row
	Frame      []byte
	Host       string
	Column     string // which the server refuses; empty for the row as a whole
	Type       qwp.Type
	Words      string // the server's
}

// Letters keeps dead letters.
type Letters interface {
	// Keep returns when the letters are safe: all of them or, with an error, none that
	// will not be given again.
	Keep(slot string, letters []Letter) error
}

// heldBlock is what of the frame in view waits: the rows of all blocks that do, and
// why one of them does.
type heldBlock struct {
	table string
	why   error
	rows  int
	// notReady: a table of it waits by the word of Tables.
	notReady bool
}

func (h *heldBlock) add(table string, why error, rows int) {
	h.table, h.why, h.rows = table, why, h.rows+rows
}

// plan picks the parts of the frame in view that go out now; there may be none.
func (f *flight) plan(ctx context.Context) error {
	now := time.Now()
	f.parts, f.ids, f.begun, f.planned = f.buf[:0], false, false, now
	f.held, f.behind, f.letters, f.special = heldBlock{}, qwp.Part{Table: -1}, f.letters[:0], false
	f.names, f.past = f.names[:0], f.past[:0]
	f.replies.trim()
	known := f.s.parking.meet(f.fsn)
	if known != nil && known.complaint != nil {
		if err := f.lookInto(ctx, known); err != nil {
			return err
		}
	}
	paused := known != nil && (now.Before(known.until) || known.passed == f.s.epoch)
	f.s.parking.unproven = f.s.parking.unproven || paused
	for todo := f.todo(known); len(todo) > 0; {
		n := 1
		for n < len(todo) && todo[n].Table == todo[0].Table {
			n++
		}
		if err := f.planBlock(ctx, todo[:n], paused, now); err != nil {
			return err
		}
		todo = todo[n:]
	}
	f.buf = f.parts
	return f.finish()
}

var errPaused = errors.New("the server refused the frame too often while it was looked into which of its rows are at fault; that goes on later")

// planBlock is plan for the pieces of one block.
func (f *flight) planBlock(ctx context.Context, todo []piece, paused bool, now time.Time) error {
	t := &f.view.Tables()[todo[0].Table]
	v, err := f.replies.of(ctx, t.Name, now)
	if err != nil {
		return err
	}
	waits := v.hold
	if waits != nil {
		f.s.parking.await(t.Name)
	} else if paused {
		waits = errPaused
	} else if r := f.s.passed[t.Name]; r != nil {
		waits = r
	}
	if waits != nil {
		f.held.notReady = f.held.notReady || v.hold != nil
		f.s.parking.revisit = f.s.parking.revisit || v.hold == nil
		f.holdAll(t, todo, waits)
		return nil
	}
	f.suit(t, v)
	f.expire(t, todo, v, now)
	if v.asked.Before(f.planned) {
		f.planned = v.asked
	}
	if f.s.cfg.Book.Busy() {
		if barred, err := f.barred(t, todo); barred || err != nil {
			return err
		}
	}
	return f.dispatch(t, todo)
}

func (f *flight) holdAll(t *qwp.Table, todo []piece, why error) {
	for _, p := range todo {
		f.held.add(t.Name, why, p.rows())
	}
}

// barred has the rows of a table wait that the server takes none of, but for one that
// is offered now and then.
func (f *flight) barred(t *qwp.Table, todo []piece) (bool, error) {
	host := f.conn.Host()
	words, barred, due := f.s.cfg.Book.Barred(host, t.Name)
	switch {
	case !barred:
		return false, nil
	case due && f.dated():
		return true, f.renewed()
	}
	f.s.parking.revisit = true
	f.holdAll(t, todo, fmt.Errorf("the server takes no rows of table %q: %s", t.Name, words))
	for _, p := range todo {
		if !due || p.fault != nil {
			continue
		}
		at := f.s.cfg.Book.Offer(host, t.Name, p.rows())
		if at < 0 {
			continue
		}
		f.rename(t)
		one := qwp.Part{Table: p.Table, First: p.First + at, Last: p.First + at + 1}
		f.special = true
		f.held.rows--
		f.parts = append(f.parts, parcel{Part: one, alone: true, table: t.Name,
			probe: &probe{bar: true, key: verdict.Key{Host: host, Table: t.Name}, column: -1}})
		break
	}
	return true, nil
}

// dispatch sends the pieces of a block: as they are where nothing is known against
// them.
func (f *flight) dispatch(t *qwp.Table, todo []piece) error {
	fixes := f.rename(t)
	if f.dated() && f.anyDue(fixes) {
		return f.renewed()
	}
	l := f.s.parking.lots[f.fsn]
	alone := l != nil && l.alone
	for _, p := range todo {
		switch {
		case p.fault != nil:
			f.doubted(l, t, p)
		case len(fixes) == 0:
			f.parts = append(f.parts, parcel{Part: p.Part, alone: alone, last: f.isBefore(p.Part), table: t.Name})
		default:
			f.sift(t, p.Part, fixes, alone)
		}
	}
	return nil
}

// anyDue says whether it is time to try one of the verdicts again.
func (f *flight) anyDue(fixes []fixed) bool {
	for i := range fixes {
		if f.s.cfg.Book.Due(fixes[i].Key) {
			return true
		}
	}
	return false
}

// isBefore says whether a part stands right before the row that was set aside last.
func (f *flight) isBefore(p qwp.Part) bool {
	return p.Table == f.behind.Table && p.Last == f.behind.First
}

// doubted sees to a row that was set aside. It is a dead letter if the server has taken
// others since. It is offered once more if there was a time when the server took nothing
// at all, and several times where the server does not say that the row is to blame.
func (f *flight) doubted(l *lot, t *qwp.Table, p piece) {
	host, table := f.conn.Host(), ""
	if ofServer(p.fault.Refusal) {
		table = t.Name // others prove nothing about it
	}
	proven := f.s.cfg.Book.AcceptedSince(host, table, p.fault.mark)
	unclear := p.fault.Class != link.RowFault && p.alone < f.s.cfg.rejections()
	switch {
	case proven && (unclear || p.fault.spell != f.s.spells && p.again == 0):
		l.alone = true
		l.todo = replaced(l.todo, p.Part, piece{Part: p.Part, alone: p.alone, again: p.again + 1})
		f.parts = append(f.parts, parcel{Part: p.Part, alone: true, table: t.Name})
	case proven:
		delete(f.s.suspects, t.Name)
		f.condemn(t, p.Part, p.fault.column, p.fault.kind, p.fault.Message)
	case f.offers():
		f.parts = append(f.parts, parcel{Part: p.Part, alone: true, table: t.Name})
	default:
		f.waitForProof(t, p.Part, p.fault.Message)
	}
}

// offers says, once after each pause, that a row which waits for the server to take
// others is sent all the same: there may be no others.
func (f *flight) offers() (now bool) {
	now, f.s.offer = f.s.offer, false
	return now
}

// finish settles what of the frame are dead letters, sets aside what waits, and leaves
// the rest in parts.
func (f *flight) finish() error {
	f.keepLetters()
	if f.special || f.suspected() {
		f.lot()
	}
	l := f.s.parking.lots[f.fsn]
	if l != nil && l.rows > 0 && len(l.todo) == 0 {
		f.s.note([]slot.Done{{FSN: f.fsn, Bytes: len(f.bytes), Shares: l.shares()}})
		f.s.wakeWaiters()
		f.s.parking.drop(f.fsn)
		return nil
	}
	if f.held.rows > 0 {
		return f.park(f.held)
	}
	if l != nil {
		f.s.parking.hold(l, 0)
	}
	// A frame without rows is a commit, and has no other part than the whole.
	if l == nil || l.rows == 0 {
		whole := parcel{Part: qwp.WholeMessage, alone: l != nil && l.alone}
		if len(f.parts) == 1 {
			whole.table = f.parts[0].table
		}
		f.parts = append(f.parts[:0], whole)
	}
	return nil
}

// suspected says whether the parts of the frame go out by themselves, though together,
// because it is to be seen which tables are taken.
func (f *flight) suspected() bool {
	if len(f.s.suspects) == 0 || len(f.parts) < 2 {
		return false
	}
	for i := range f.parts {
		if _, yes := f.s.suspects[f.parts[i].table]; yes {
			return true
		}
	}
	return false
}

// keepLetters writes the dead letters of the frame. Where that fails the rows stay in
// the slot and are tried again.
func (f *flight) keepLetters() {
	if len(f.letters) == 0 {
		return
	}
	err := errNoLetters
	if keep := f.s.cfg.Letters; keep != nil {
		crc := crc32.Checksum(f.bytes, castagnoli)
		for i := range f.letters {
			f.letters[i].CRC = crc
		}
		err = keep.Keep(f.s.name(), f.letters)
	}
	f.s.cfg.Voice.condemned(f.s.name(), f.letters, err)
	l := f.lot()
	if err != nil {
		f.s.parking.revisit = true
		f.held.add(f.letters[0].Data.Table, fmt.Errorf("dead letters cannot be written: %w", err), len(f.letters))
	} else {
		l.lose(f.letters)
	}
	clear(f.letters)
}

var (
	errNoLetters = errors.New("there is no place for them")
	castagnoli   = crc32.MakeTable(crc32.Castagnoli)
)
