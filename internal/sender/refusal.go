// SPDX-License-Identifier: MIT

package sender

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/link"
	"github.com/questdb-sf/questdb_sf/internal/qwp"
	"github.com/questdb-sf/questdb_sf/internal/slot"
	"github.com/questdb-sf/questdb_sf/internal/verdict"
)

const (
	// maxProbes is how many refusals may go into one frame before it has to wait.
	maxProbes = 64
	// probePause is how long it waits then.
	probePause = 10 * time.Minute
	// defaultRejections is max_frame_rejections.
	defaultRejections = 4
)

// inquest is what is looked into of a frame that the server refused.
type inquest struct {
	complaint *complaint // the refusal that was not looked into yet
	alone     bool       // its pieces go out one by one
	probes    int        // refusals since the last pause
	until     time.Time  // the end of that pause
	passed    int        // the Sender.epoch in which others go before it
	known     bool       // the first refusal was noted
	mark      int64      // Mark of the Book then
}

// complaint is a refusal with what it is about.
type complaint struct {
	*link.Refusal
	part  qwp.Part
	row   int    // in the part, as the request had it; -1: not known
	probe *probe // that it answers, if it was one
}

// fault is why a single row is set aside. It becomes a dead letter when the server
// has taken other rows since: one that refuses everything blames nobody.
type fault struct {
	*link.Refusal
	column string // which the server names, or the only one there is
	kind   qwp.Type
	mark   int64 // Mark of the Book then
	spell  int   // Sender.spells then
}

// strikes counts how often the same frame was refused without a word on whose fault
// it is.
type strikes struct {
	fsn slot.FSN
	n   int
}

// errLookInto ends a connection that a refusal has used up, and which is looked into on
// the next one.
var errLookInto = errors.New("the server refused rows; whose fault it is is looked into")

// refused says what follows from a refusal: another try as it was, or a closer look. An
// error ends the connection.
func (f *flight) refused(o link.Outcome) error {
	s, r := f.s, o.Refusal
	s.countRefusal()
	f.void = true // unless it goes on below: no later ack may cover what was refused
	units := f.unitsOf(o.Seq)
	if !s.concernsRows(r, units) {
		return r
	}
	l := f.complain(r, units)
	if s.streak == 0 {
		s.began = s.cfg.Book.Mark()
	}
	s.streak++
	if s.streak > s.cfg.rejections() && !s.cfg.Book.AcceptedSince(f.conn.Host(), "", s.began) {
		if s.passFrame(l, r) {
			return r
		}
	}
	if f.conn.Transport() == link.QWP {
		return errLookInto
	}
	// Nothing of the request was stored, and the connection stays good.
	f.fifo, f.units, f.sent, f.void = f.fifo[:0], f.units[:0], 0, false
	f.rewind()
	return nil
}

func (c *Config) rejections() int {
	if c.MaxRejections > 0 {
		return c.MaxRejections
	}
	return defaultRejections
}

// unitsOf returns what a request carried that is not answered; nil when there is none
// of that number.
func (f *flight) unitsOf(seq int64) []unit {
	at := 0
	for _, r := range f.fifo {
		if r.seq == seq {
			return f.units[at : at+r.units]
		}
		at += r.units
	}
	return nil
}

// concernsRows says whether to look for what is refused in a request. Trouble of the
// server as a whole passes by itself; trouble that may be of that kind is looked into
// when it does not.
func (s *Sender) concernsRows(r *link.Refusal, units []unit) bool {
	var stranger *link.NotQuestDBError
	switch {
	case len(units) == 0 || errors.As(r, &stranger) || wholeServer(r):
		return false
	case r.Line > 0, r.Class == link.RowFault, tooLarge(r), s.parking.isAlone(units[0].fsn):
		return true
	}
	if fsn := units[0].fsn; s.strikes.fsn != fsn || s.strikes.n == 0 {
		s.strikes = strikes{fsn: fsn}
	}
	s.strikes.n++
	return s.strikes.n >= s.cfg.rejections()
}

// wholeServer knows the refusals that no row and no table can be the reason of.
func wholeServer(r *link.Refusal) bool {
	switch r.HTTPStatus {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusMisdirectedRequest,
		http.StatusTooManyRequests, http.StatusUnsupportedMediaType, http.StatusServiceUnavailable:
		return true
	}
	return r.HTTPStatus == 0 && (r.Status == qwp.StatusNotWritable || r.Status == qwp.StatusDictionaryGap)
}

// ofServer says that no row is to blame, as far as a refusal tells.
func ofServer(r *link.Refusal) bool { return r.Class != link.RowFault && r.Class != link.Unclear }

// tooLarge says that a smaller request may be taken.
func tooLarge(r *link.Refusal) bool { return r.HTTPStatus == http.StatusRequestEntityTooLarge }

// complain notes a refusal where the next walk meets it: at the frame of the row that
// is named, or at all frames of the request, which then go out alone. It returns the
// first of them.
func (f *flight) complain(r *link.Refusal, units []unit) *lot {
	mark := f.s.cfg.Book.Mark()
	note := func(u unit, c *complaint) {
		l := f.s.parking.lot(u.fsn)
		f.s.loose = max(f.s.loose, u.fsn+1) // else a row that waits holds up its group, and all behind it
		if !l.known {
			l.known, l.mark = true, mark
		}
		l.complaint = c
	}
	if r.Line > 0 {
		row := r.Line - 1
		for _, u := range units {
			if row < u.n {
				note(u, &complaint{r, u.part, row, u.probe})
				return f.s.parking.lot(u.fsn)
			}
			row -= u.n
		}
	}
	for _, u := range units {
		f.s.parking.lot(u.fsn).alone = true
		if len(units) == 1 {
			note(u, &complaint{r, u.part, -1, u.probe})
		}
	}
	return f.s.parking.lot(units[0].fsn)
}

// passFrame lets others go before a frame of which so much was refused, to see whether
// the server takes those. If it does not, so much was refused that it says nothing about
// rows: the tries go on with pauses (paused), a frame at a time, and what is learned is
// in doubt.
func (s *Sender) passFrame(l *lot, r *link.Refusal) (paused bool) {
	l.passed, s.over = s.epoch, r
	if s.overs++; !s.doubts && s.overs <= s.cfg.rejections() {
		return false
	}
	s.everythingRefused()
	return true
}

// everythingRefused is told that nothing is taken any more.
func (s *Sender) everythingRefused() {
	if !s.doubts {
		s.doubts = true
		s.spells++
	}
}

// tookRows is told that the server took something.
func (s *Sender) tookRows(host string) {
	if s.doubts {
		s.cfg.Book.Doubt(host, s.began)
		s.doubts = false
		s.spells++
	}
	s.streak, s.overs, s.over = 0, 0, nil
	s.epoch++
	for table, r := range s.passed {
		s.bar(host, table, r)
	}
	clear(s.passed)
}

// suspect has it noted when rows of a table are taken, also where its frame has others.
func (s *Sender) suspect(table string) {
	if s.suspects == nil || len(s.suspects) >= maxReplies {
		s.suspects = map[string]struct{}{}
	}
	s.suspects[table] = struct{}{}
}

// passOver goes on with other tables, to see whether the server takes those. If so, this
// one is barred; if not, or if there are no others, it is no trouble of the table.
func (f *flight) passOver(table string, r *link.Refusal) {
	if f.s.passed == nil {
		f.s.passed = map[string]*link.Refusal{}
	}
	f.s.passed[table] = r
	f.s.suspect(table)
}

// nothingElse returns why tables or frames were passed over if there is nothing more to send: then
// the server is in trouble as a whole.
func (s *Sender) nothingElse() error {
	for _, r := range s.passed {
		clear(s.passed)
		return r
	}
	if r := s.over; r != nil {
		s.over = nil
		s.epoch++
		s.everythingRefused()
		return r
	}
	return nil
}

// countRefusal counts an answer that was no ack.
func (s *Sender) countRefusal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state.Refusals++
}

// isAlone says whether a frame is looked into.
func (p *parking) isAlone(fsn slot.FSN) bool {
	l := p.lots[fsn]
	return l != nil && l.alone
}

// lookInto finds out more about a refusal of the frame in view.
func (f *flight) lookInto(ctx context.Context, l *lot) error {
	c := l.complaint
	l.complaint = nil
	f.lot()        // now it is known what is in it
	if c.row < 0 { // a row that is named costs two requests, however many there are
		l.probes++
	}
	if l.probes >= maxProbes {
		l.probes, l.until = 0, time.Now().Add(probePause)
	}
	for i := range f.view.Tables() {
		f.rename(&f.view.Tables()[i])
	}
	if c.probe != nil {
		f.probing = verdict.Key{}
		f.renew(c)
		return nil
	}
	if c.row < 0 {
		return f.narrow(ctx, l, c)
	}
	at := rowAt(f.view.Tables(), c.part, c.row)
	t := &f.view.Tables()[at.Table]
	column := named(t, c.Column)
	switch {
	case column != nil && ofServer(c.Refusal):
		f.await(t, column, c.Refusal)
	case ofServer(c.Refusal) && c.HTTPStatus < http.StatusInternalServerError:
		f.s.bar(f.conn.Host(), t.Name, c.Refusal)
	case column != nil && isConflict(c.Message):
		if f.dated() {
			return f.renewed()
		}
		return f.learn(ctx, t, column, c.Refusal)
	default: // of trouble with a row, too, it is seen whether others are taken
		f.setAside(l, at, c.Refusal, c.Column)
	}
	return nil
}

// errDated ends a connection to know what has become of tables. QuestDB goes by what a
// table was when the connection last wrote to it: a column that was altered since is
// refused what it would take.
var errDated = errors.New("the connection is older than what is to be known of tables")

// dated says whether a refusal over this connection may be out of date.
func (f *flight) dated() bool { return !f.anew && time.Since(f.made) >= replyTime }

// renewed ends this connection for a new one.
func (f *flight) renewed() error {
	f.s.renew = true
	return errDated
}

// rowAt returns the part that is one row of a part, counted as line protocol has it.
func rowAt(tables []qwp.Table, part qwp.Part, row int) qwp.Part {
	if part.Table >= 0 {
		return qwp.Part{Table: part.Table, First: part.First + row, Last: part.First + row + 1}
	}
	block := 0
	for row >= tables[block].Rows {
		row -= tables[block].Rows
		block++
	}
	return qwp.Part{Table: block, First: row, Last: row + 1}
}
