// SPDX-License-Identifier: MIT

package sender

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/link"
	"github.com/questdb-sf/questdb_sf/internal/qwp"
	"github.com/questdb-sf/questdb_sf/internal/rowid"
	"github.com/questdb-sf/questdb_sf/internal/tables"
)

// Tables says what a server wants of the rows of a table: *tables.Keeper.
type Tables interface {
	// Ready tells whether rows of a table may go to host, and what they need
	// (DESIGN.md 17). What it says was learned after since: rows that may have been
	// sent before go by a younger answer than then.
	//
	// With a *tables.HoldError the rows of this table wait while others go on. Any
	// other error is an outage.
	Ready(ctx context.Context, host, table string, since time.Time) (tables.Answer, error)
}

// HeldError says that all that is pending in a slot waits for its tables. It is
// no outage.
type HeldError struct {
	Pending int64  // rows in the slot, those of the frames that are done in part included
	For     string // what one of the tables waits for
}

func (e *HeldError) Error() string {
	return fmt.Sprintf("%d rows wait for their tables: %s", e.Pending, e.For)
}

// holds tells a table that must wait from a server that could not be asked.
func holds(err error) bool {
	var hold *tables.HoldError
	return errors.As(err, &hold)
}

const (
	// replyTime is how long a table may be written to without another question,
	// which Tables may answer from its own memory.
	replyTime = 10 * time.Second
	// maxReplies bounds the tables that are remembered: their names have no end.
	maxReplies = 4096
)

// reply is what was said of a table.
type reply struct {
	tables.Answer
	hold  error // nil: rows may go out
	asked time.Time
}

// replies is what was heard of tables over one connection.
type replies struct {
	tables Tables // nil: rows of any table go out as they are
	host   string
	avoid  func() // is told that the host gives no answers
	since  time.Time
	known  map[string]reply
}

// of returns the verdict on a table. One that makes it wait stands until again.
func (v *replies) of(ctx context.Context, table string, now time.Time) (reply, error) {
	if v.tables == nil {
		return reply{}, nil
	}
	k, ok := v.known[table]
	if ok && (k.hold != nil || now.Sub(k.asked) < replyTime) {
		return k, nil
	}
	return v.ask(ctx, table, v.since)
}

func (v *replies) ask(ctx context.Context, table string, since time.Time) (reply, error) {
	k := reply{asked: time.Now()}
	k.Answer, k.hold = v.tables.Ready(ctx, v.host, table, since)
	if k.hold != nil && !holds(k.hold) {
		if ctx.Err() == nil && v.avoid != nil {
			v.avoid()
		}
		return reply{}, k.hold
	}
	v.known[table] = k
	return k, nil
}

// again asks about tables that wait, and tells whether one of them need not any
// more. If the server takes its time, the turn of some comes with a later try: the
// rows of other tables do not wait for all the answers.
func (v *replies) again(ctx context.Context, waiting map[string]struct{}) (ready bool, err error) {
	began := time.Now()
	for table := range waiting {
		if time.Since(began) >= replyTime {
			break
		}
		k, err := v.ask(ctx, table, v.since)
		if err != nil {
			return false, err
		}
		ready = ready || k.hold == nil
	}
	return ready, nil
}

// trim bounds the memory, between two frames.
func (v *replies) trim() {
	if len(v.known) > maxReplies {
		clear(v.known)
	}
}

// errGroupWaits ends a connection on which a group was begun that has to wait:
// the server forgets what it was sent of it.
var errGroupWaits = errors.New("a group of frames waits for its tables")

// suit makes a block what its table needs.
func (f *flight) suit(t *qwp.Table, v reply) {
	f.ids = f.ids || v.RowID
	if v.Missing && !v.RowID {
		f.unmade[t.Name] = struct{}{}
	}
	for i := range t.Columns {
		c := &t.Columns[i]
		if v.Timestamp == "" || !strings.EqualFold(c.Name, v.Timestamp) {
			continue
		}
		was := c.Name
		c.Name = unused(t, was+"_")
		f.s.cfg.Voice.renamed(t.Name, was, c.Name)
	}
}

// unused returns a name that no column of a block has (DESIGN.md 19).
func unused(t *qwp.Table, name string) string {
	taken := func(c qwp.Column) bool { return strings.EqualFold(c.Name, name) }
	for slices.ContainsFunc(t.Columns, taken) {
		name += "_"
	}
	return name
}

// errKeysCame ends a connection on which rows went without row ids to a table that
// wants them: somebody else created it in the same moment.
var errKeysCame = errors.New("a table that was missing has DEDUP keys now")

// confirm asks again about the tables that were missing when their first rows went
// out, before these are settled. Rows without ids would be one in a table that has
// come to want them; they are sent again. Where there is no answer, too many of
// these would be sent twice to save the few that meet such a moment; but few are on
// their way when the sender is stopped. last says that nothing else is.
func (f *flight) confirm(ctx context.Context, last bool) error {
	if f.keysCame {
		return errKeysCame
	}
	since := time.Now() // for all: a server that does not answer is asked once
	for table := range f.unmade {
		k, err := f.replies.ask(ctx, table, since)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err == nil && k.RowID {
			f.keysCame = true
			f.s.cfg.Log.Warn("a table got DEDUP keys while its first rows were sent without row ids; they are sent again",
				"table", table, "slot", f.s.name())
			return errKeysCame
		}
		if last || !k.Missing {
			delete(f.unmade, table)
		}
	}
	return nil
}

// park sets aside what of the frame in view waits. A group is not to be committed
// by half for a table that is not ready, so it waits whole, and all behind it. What is
// refused may wait for ever: for that its frames are committed one by one.
func (f *flight) park(held heldBlock) error {
	why := held.why.Error()
	if f.conn.Transport() == link.QWP && (f.fsn != f.group || f.view.DeferCommit()) {
		if !held.notReady {
			f.s.loose = f.fsn + looseAhead
			return errLookInto
		}
		f.s.parking.close(f.group, held.table, held.rows, why)
		f.block()
		if f.fsn != f.group {
			return errGroupWaits
		}
		return nil
	}
	if f.s.parking.park(f.fsn, held.rows, why) {
		f.lot()
		return nil
	}
	f.block()
	if !f.s.parking.full {
		f.s.parking.full = true
		f.s.cfg.Log.Warn("so many frames wait for their tables that those behind them wait, too; rows stay in the store",
			"slot", f.s.name(), "frames", maxLots, "reason", why)
	}
	return nil
}

// looseAhead is how many frames are committed one by one from one that holds refused
// rows on: each time costs a connection.
const looseAhead = 64

// block ends the walk before the frame in view.
func (f *flight) block() {
	f.parts, f.blocked = f.parts[:0], true
	f.s.parking.arm()
}

// enter notes where a group begins, and stops before one that still waits.
func (f *flight) enter(ctx context.Context) error {
	if !f.open {
		f.group = f.fsn
	}
	f.open = f.view.DeferCommit()
	f.lanes.group = f.open
	g := f.s.parking.gate
	if !g.closed || f.fsn < g.from {
		return nil
	}
	v, err := f.replies.of(ctx, g.table, time.Now())
	if err != nil {
		return err
	}
	if v.hold != nil && f.fsn == g.from && f.conn.Transport() == link.QWP {
		f.s.parking.await(g.table)
		f.block()
		return nil
	}
	f.s.parking.gate = gate{}
	return nil
}

// retry looks whether what waits need not any more.
func (f *flight) retry(ctx context.Context) error {
	f.again = false
	f.s.parking.forget(f.s.cfg.Slot.Stats().Watermark)
	ready, err := f.replies.again(ctx, f.s.parking.tables)
	switch {
	case err != nil:
		return err
	case ready, f.s.parking.revisit, f.blocked && len(f.s.parking.lots) < maxLots:
		f.rewind()
	case f.blocked, f.s.parking.rows() > 0:
		f.s.parking.arm()
	}
	return nil
}

// rewind begins another walk. Nothing is on its way.
func (f *flight) rewind() {
	f.lanes.rewind()
	f.parts, f.begun, f.blocked, f.open = nil, false, false, false
	f.lanes.group = false
	f.s.parking.begin(f.s.cfg.Slot.Stats().Watermark)
}

// prepare tries again what waits, if that is due, and asks again for a frame whose
// replies have grown old while it, or the rest of it, waited for the window. One of
// which a part is on its way goes on as it began.
func (f *flight) prepare(ctx context.Context) error {
	if f.begun && len(f.units) > 0 {
		return nil
	}
	if f.again && !f.begun {
		if err := f.retry(ctx); err != nil {
			return err
		}
	}
	if f.replies.tables == nil || len(f.parts) == 0 || time.Since(f.planned) < replyTime {
		return nil
	}
	return f.plan(ctx)
}

// rowIDs is a qwp.AddLong: the ids of the tables that need them. Rows that bring
// their own keep it. A row that is sent again has the same id also where a column of it
// goes by another name now.
func (f *flight) rowIDs(t *qwp.Table, first, last int) (string, []int64) {
	if !f.replies.known[t.Name].RowID || rowid.Has(t) {
		return "", nil
	}
	if len(f.names) == 0 {
		return rowid.Column, f.hasher.Rows(t, first, last)
	}
	var ids []int64
	f.asStored(t, func() { ids = f.hasher.Rows(t, first, last) })
	return rowid.Column, ids
}
