// SPDX-License-Identifier: MIT

package sender

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/link"
	"github.com/questdb-sf/questdb_sf/internal/qwp"
	"github.com/questdb-sf/questdb_sf/internal/rowid"
	"github.com/questdb-sf/questdb_sf/internal/slot"
	"github.com/questdb-sf/questdb_sf/internal/verdict"
)

// unit is what one request carries one or more of: a part of a frame. Of a frame that
// is more than one, parking knows what is left.
type unit struct {
	fsn   slot.FSN
	part  qwp.Part
	n     int    // rows of the part
	bytes int    // of the frame
	last  bool   // it is the whole frame
	table string // of its rows; empty if they are of several
	past  int    // rows of it that are older than the TTL of their table
	probe *probe // what its ack proves; nil for nothing
}

// request is one message or HTTP request that waits for its answer. One that is
// deferred is answered together with the one that commits its group.
type request struct {
	seq      int64
	units    int
	deferred bool
	old      bool // of a backlog
	rows     int
	at       time.Time
}

// flight is one connection with what is on its way over it.
type flight struct {
	s     *Sender
	conn  link.Conn
	lanes *lanes
	turn  turn // of which others have theirs later; nil where the connection is not shared

	replies replies
	hasher  rowid.Hasher
	more    qwp.AddLong // rowIDs

	view    qwp.View
	fsn     slot.FSN // of the frame in view
	bytes   []byte   // which it is
	parts   []parcel // of that frame, not yet added, in order
	buf     []parcel // memory of parts
	spare   []qwp.Part
	fresh   []piece
	row     qwp.Row
	fixes   []fixed
	names   []stored     // of columns that go out under others
	past    []horizon    // blocks with rows that are older than a TTL
	one     *qwp.Builder // of single rows
	held    heldBlock
	letters []Letter
	behind  qwp.Part            // the row that was set aside last
	special bool                // more is to be known of the frame than what waits
	probing verdict.Key         // asked for by a row on its way; what others do waits for it
	ids     bool                // a table of the frame needs row ids
	unmade  map[string]struct{} // tables that were missing when rows went to them
	planned time.Time           // since when what is known of its tables counts
	group   slot.FSN            // the first frame of its group
	open    bool                // which goes on behind it

	fifo   []request // sent, in order, unanswered
	units  []unit    // of those, in order, and of the request that is being built
	sent   int       // how many of the units are of fifo
	done   []slot.Done
	shares []slot.Share // of done

	answers  chan answer
	acked    int64
	filled   bool   // the request that is being built carries something
	solo     bool   // nothing goes out behind it before it is answered
	deferred bool   // its last frame waits for a later one
	begun    bool   // a part of the frame in view was added, and not all
	single   []byte // a frame of a group that is sent as if it were none
	recycle  <-chan struct{}
	idle     *time.Timer // runs while nothing is on its way
	ready    *time.Timer // runs while the backlog has to wait
	made     time.Time
	began    time.Time // of the turn
	rested   time.Time // since when nothing is on its way
	answered time.Time // the last answer
	usedUp   bool      // the connection takes no more
	weight   float64   // bytes of frames in the request that is being built
	yields   bool      // the connection is handed on
	cut      bool      // the request ends here, and more follows
	paused   bool      // only a backlog is left, and has to wait
	old      bool      // the request that is being built is of a backlog
	day      int64     // of its rows then
	anew     bool      // it was made to know what has become of tables, and has not come to that
	again    bool      // another walk is due, once all is answered
	blocked  bool      // nothing behind this point goes out in this walk
	leaving  bool      // the connection takes no frame behind this one
	keysCame bool      // to a table whose rows went without ids: nothing more is settled
	retiring bool      // it takes no more; it ends with its last answer
	void     bool      // something was refused: the answers that follow count no more
}

func newFlight(s *Sender, conn link.Conn, lanes *lanes, recycle <-chan struct{}) *flight {
	now := time.Now()
	f := &flight{
		s: s, conn: conn, lanes: lanes, recycle: recycle, made: now, began: now, anew: s.renew,
		unmade: map[string]struct{}{}, answers: make(chan answer, conn.Window()+1),
	}
	s.renew = false
	f.replies = replies{tables: s.cfg.Tables, host: conn.Host(), since: s.since, known: map[string]reply{}}
	if s.since.IsZero() {
		f.replies.since = time.Now()
	}
	if l, ok := s.cfg.Link.(interface{ Avoid(host string) }); ok {
		f.replies.avoid = func() { l.Avoid(conn.Host()) }
	}
	f.more = f.rowIDs
	f.share()
	return f
}

func (f *flight) serveSafely(ctx context.Context) (err error) {
	defer caught(&err)
	go f.receive(ctx)
	return f.serve(ctx)
}

// serve sends and settles until the connection ends. The error says why; it is
// never nil.
func (f *flight) serve(ctx context.Context) error {
	f.again = f.s.walked // nothing but what waits is behind the cursor
	if !f.s.walked {
		f.s.parking.begin(f.s.cfg.Slot.Stats().Watermark)
	}
	for {
		changed := f.s.cfg.Slot.Changed()
		f.heedRecycle()
		f.heedOthers()
		if err := f.fill(ctx); err != nil {
			return f.linger(ctx, err)
		}
		f.s.showHeld()
		if len(f.units) == 0 {
			if err := f.rest(changed); err != nil {
				return err
			}
		}
		select {
		case a, ok := <-f.answers:
			if !ok {
				return errors.New("receiver ended")
			}
			if err := f.take(ctx, a); err != nil {
				return err
			}
		case <-changed:
		case <-f.s.parking.due():
			f.s.parking.heard()
			f.again, f.s.offer = true, true
		case w := <-f.s.wishes:
			if err := f.hear(w); err != nil {
				return err
			}
		case <-f.recycle: // heeded above, whatever else there is to do
		case <-f.wanted():
		case <-f.backlogReady():
		case <-f.unused():
			return errTurnOver
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// rest is told that nothing is on its way.
func (f *flight) rest(changed <-chan struct{}) error {
	if f.rested.IsZero() {
		f.rested = time.Now()
	}
	if !f.paused {
		if err := f.s.nothingElse(); err != nil {
			return err
		}
		f.s.atRest(changed, f.blocked)
	}
	if f.isWanted() {
		f.yields = true
		return errTurnOver
	}
	return nil
}

func (f *flight) heedRecycle() {
	select {
	case <-f.recycle:
		f.leaving, f.recycle = true, nil
	default:
	}
}

// fill sends requests while there are frames and the window has room. It never
// stops inside a group that is finished in the slot.
func (f *flight) fill(ctx context.Context) error {
	f.paused = false
	for f.room() {
		f.retiring = f.retiring || f.leaving && !f.begun
		if f.retiring || f.again && !f.begun && len(f.units) > 0 {
			break
		}
		f.s.resting, f.s.walked = false, false
		more, err := f.build(ctx)
		if len(f.units) > f.sent {
			if err := f.send(ctx); err != nil {
				return err
			}
		}
		if err != nil {
			return err // what stands before the trouble is on its way
		}
		if !more {
			break
		}
	}
	if f.retiring && !f.due() {
		return link.ErrReconnect
	}
	return nil
}

// room says whether one more request may go out. A group is not answered before
// it is whole, however many requests that takes.
func (f *flight) room() bool {
	if f.solo && len(f.fifo) > 0 {
		return false
	}
	f.solo = false
	if f.holdsUp() {
		return false
	}
	return len(f.fifo) < f.conn.Window() || f.inGroup()
}

// inGroup says whether the last request waits for one that commits it.
func (f *flight) inGroup() bool { return len(f.fifo) > 0 && f.fifo[len(f.fifo)-1].deferred }

// due says whether an answer is to be expected.
func (f *flight) due() bool {
	return slices.ContainsFunc(f.fifo, func(r request) bool { return !r.deferred })
}

// build adds units to a request until it is full (more) or nothing is pending. On
// a connection that is left, or before another walk, the last one ends with the
// frame.
func (f *flight) build(ctx context.Context) (more bool, err error) {
	if f.paused = f.giveWay(); f.paused {
		return false, nil
	}
	if err := f.prepare(ctx); err != nil {
		return false, err
	}
	for {
		if len(f.parts) == 0 {
			if f.leaving || f.again {
				return true, nil
			}
			if err := f.load(ctx); err != nil || len(f.parts) == 0 {
				return f.cut, err
			}
		}
		if f.filled && (f.parts[0].alone || f.otherDay()) {
			return true, nil // after what stands before it
		}
		switch err := f.add(); {
		case err == nil:
			if f.added() {
				return true, nil
			}
		case errors.Is(err, link.ErrRequestFull):
			return true, nil
		case isUnsupported(err), isTooLarge(err):
			if err := f.part(ctx, err); err != nil {
				return false, err
			}
		case errors.Is(err, link.ErrReconnect):
			f.retiring, f.usedUp = true, true // what was added goes out first
			return false, nil
		default:
			return false, err
		}
	}
}

// add puts the first part of the frame into the request. A frame without rows is
// only a commit, which line protocol neither has nor needs.
func (f *flight) add() error {
	if f.view.Info().Rows == 0 && f.conn.Transport() == link.ILP {
		return nil
	}
	var more qwp.AddLong
	if f.ids {
		more = f.more
	}
	p := f.parts[0]
	if x := p.probe; x != nil && x.column >= 0 {
		c := &f.view.Tables()[p.Table].Columns[x.column]
		defer func(name string) { c.Name = name }(c.Name)
		c.Name = x.name
	}
	err := f.conn.AddWith(&f.view, p.Part, more)
	if err == nil {
		f.belong()
		f.filled, f.deferred = true, f.view.DeferCommit() && f.conn.Transport() == link.QWP
	}
	return err
}

func isTooLarge(err error) bool {
	var tooLarge *link.TooLargeError
	return errors.As(err, &tooLarge)
}

func isUnsupported(err error) bool {
	var unsupported *link.UnsupportedError
	return errors.As(err, &unsupported)
}

// added moves the first part of the frame into the request, and says whether the
// request ends with it.
func (f *flight) added() (full bool) {
	p := f.parts[0]
	f.begun = len(f.parts) > 1
	if all := f.view.Info().Rows; all > 0 {
		f.weight += float64(len(f.bytes)) * float64(f.view.PartRows(p.Part)) / float64(all)
	}
	f.units = append(f.units, unit{
		fsn: f.fsn, part: p.Part, n: f.view.PartRows(p.Part), bytes: len(f.bytes), last: p.Table < 0, table: p.table, past: f.pastTTL(p.Part), probe: p.probe,
	})
	f.parts = f.parts[1:]
	f.solo = f.solo || p.alone
	return p.alone || p.last
}

func (f *flight) send(ctx context.Context) error {
	r, filled := request{units: len(f.units) - f.sent, deferred: f.deferred, old: f.old, at: time.Now()}, f.filled
	for i := range f.units[f.sent:] {
		r.rows += f.units[f.sent+i].n
	}
	f.filled, f.deferred = false, false
	f.lanes.count(r.rows)
	if !filled { // nothing goes out, and behind nothing: the window of ILP is one request
		f.settle(r.units)
		return nil
	}
	f.sent, f.rested = len(f.units), time.Time{}
	if r.old {
		f.s.cfg.Replay.sent(int(f.weight))
	}
	f.weight = 0
	seq, err := f.conn.Send(ctx)
	if err != nil {
		return err
	}
	r.seq = seq
	f.fifo = append(f.fifo, r)
	return nil
}
