// SPDX-License-Identifier: MIT

package sender

import (
	"math"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/qwp"
	"github.com/questdb-sf/questdb_sf/internal/slot"
)

const (
	// maxLots bounds the frames that are done in part or wait. Behind them the
	// sender waits, and the rows stay on disk: as many frames of 32 KiB as a store of
	// 1 GiB has, which one table without keys fills in four days of a batch every 10 s.
	maxLots = 1 << 15
	// The tables of rows that wait are asked about again after firstRetry, for it
	// may have been a moment's trouble, and then ever more seldom, down to once in
	// lastRetry.
	firstRetry = 10 * time.Second
	lastRetry  = time.Minute
)

// parking remembers, from connection to connection, what of a frame that is not
// settled was acked already, and what of it waits for its table. It is in RAM
// alone: after a restart such a frame is sent whole, which at least once allows.
//
// The send loop goes over the pending frames in walks: one with each connection,
// and another when a table that had to wait may have been mended.
type parking struct {
	lots map[slot.FSN]*lot
	held int64 // rows of them that wait
	gate gate
	why  string // what one table waits for
	// tables wait. They are noted for one walk.
	tables map[string]struct{}

	walk  int  // number of the present one
	swept int  // the last one that came to the end
	ahead bool // the frame in view was read before pending ones below it
	timer *time.Timer
	armed bool // the timer runs, or has fired unheard
	// revisit says that rows wait which another walk may find to wait no more;
	// unproven, that they do until the server has taken others.
	revisit, unproven bool
	wait              time.Duration // of the timer; zero before its first run
	full              bool          // and that was said
}

// lot is a frame that is done in part, waits, or is looked into because the server
// refused it.
type lot struct {
	rows    int     // of the frame; 0 while todo was not filled
	todo    []piece // what is neither acked nor a dead letter, in order
	letters int     // rows that became dead letters
	held    int     // rows that wait
	walk    int     // that came over it last
	inquest
}

// gate is a group of frames that waits as a whole, because a table of it does.
type gate struct {
	closed bool
	from   slot.FSN // its first frame
	table  string
	rows   int // known to wait
}

// begin starts a walk. Frames up to the watermark have gone by other ways, too.
func (p *parking) begin(watermark slot.FSN) {
	p.walk++
	p.revisit, p.unproven = false, false
	clear(p.tables)
	p.disarm()
	p.forget(watermark)
}

// forget drops what is known of frames that are settled.
func (p *parking) forget(watermark slot.FSN) {
	for fsn := range p.lots {
		if fsn <= watermark {
			p.drop(fsn)
		}
	}
	if p.gate.closed && p.gate.from <= watermark {
		p.gate = gate{}
	}
}

// sweep drops what is known of the frames below end that this walk has not met.
func (p *parking) sweep(end slot.FSN) {
	for fsn, l := range p.lots {
		if fsn < end && l.walk != p.walk {
			p.drop(fsn)
		}
	}
}

// end is told that a walk came to the end of the slot.
func (p *parking) end() {
	if p.swept != p.walk {
		p.sweep(math.MaxInt64)
	}
	p.swept, p.full = p.walk, false
	if p.rows() == 0 {
		p.wait = 0
	}
}

// meet returns what is known of a frame of this walk; nil for nothing.
func (p *parking) meet(fsn slot.FSN) *lot {
	l := p.lots[fsn]
	if l != nil {
		l.walk = p.walk
	}
	return l
}

// lot returns what is known of a frame, for more to be noted.
func (p *parking) lot(fsn slot.FSN) *lot {
	if p.lots == nil {
		p.lots = make(map[slot.FSN]*lot)
	}
	l := p.lots[fsn]
	if l == nil {
		l = &lot{walk: p.walk}
		p.lots[fsn] = l
	}
	return l
}

// park notes that rows of a frame wait; false when there is no room for one more
// frame.
func (p *parking) park(fsn slot.FSN, rows int, why string) bool {
	if p.lots[fsn] == nil && len(p.lots) >= maxLots && !p.ahead {
		p.sweep(fsn)
	}
	p.arm()
	p.why = why
	if p.lots[fsn] == nil && len(p.lots) >= maxLots {
		return false
	}
	p.hold(p.lot(fsn), rows)
	return true
}

// await notes a table that waits.
func (p *parking) await(table string) {
	if p.tables == nil {
		p.tables = make(map[string]struct{})
	}
	p.tables[table] = struct{}{}
}

// hold sets how many rows of a frame wait.
func (p *parking) hold(l *lot, rows int) {
	p.held += int64(rows - l.held)
	l.held = rows
}

// took notes that a part of a frame is acked. done is the frame if nothing of it is
// left.
func (p *parking) took(fsn slot.FSN, part qwp.Part) (done *lot) {
	l := p.lots[fsn]
	if l == nil || l.rows == 0 {
		return nil // forgotten: it is sent again
	}
	l.todo = without(l.todo, part)
	if len(l.todo) > 0 {
		return nil
	}
	return l
}

// drop forgets a frame that is settled.
func (p *parking) drop(fsn slot.FSN) {
	if l := p.lots[fsn]; l != nil {
		p.hold(l, 0)
		delete(p.lots, fsn)
	}
}

// clear forgets everything: nothing is pending.
func (p *parking) clear() {
	p.disarm()
	clear(p.lots)
	clear(p.tables)
	p.held, p.gate, p.wait = 0, gate{}, 0
	p.revisit, p.unproven = false, false
}

// rows counts the rows that wait.
func (p *parking) rows() int64 { return p.held + int64(p.gate.rows) }

// close makes a group wait from its first frame on.
func (p *parking) close(from slot.FSN, table string, rows int, why string) {
	p.gate = gate{closed: true, from: from, table: table, rows: rows}
	p.why = why
}

// arm starts the time until the next try, unless it runs.
func (p *parking) arm() {
	if p.armed {
		return
	}
	p.armed, p.wait = true, max(p.wait, firstRetry)
	if p.timer == nil {
		p.timer = time.NewTimer(p.wait)
		return
	}
	p.timer.Reset(p.wait)
}

func (p *parking) disarm() {
	if p.armed {
		p.timer.Stop()
		p.armed = false
	}
}

// heard is told that it was time to try again.
func (p *parking) heard() {
	p.disarm()
	p.wait = min(2*p.wait, lastRetry)
}

// due is ready when it is time to try again; who receives calls heard.
func (p *parking) due() <-chan time.Time {
	if p.armed {
		return p.timer.C
	}
	return nil
}
