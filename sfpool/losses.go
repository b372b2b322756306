// SPDX-License-Identifier: MIT

package sfpool

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/slot"
)

// lossEvery is how often it is told at most that rows are dropped for one reason.
const lossEvery = time.Minute

// lossKind is why rows are dropped.
type lossKind uint8

const (
	lostOldest   lossKind = iota + 1 // FullDropOldest
	lostNewest                       // FullDropNewest
	lostTooLarge                     // no room would ever do
	lostAged                         // MaxAge
	lostOrphan                       // OrphansMaxBytes
)

// lossTexts say what was dropped, and what to do about it.
var lossTexts = [...]string{
	lostOldest:   "the store is full: its oldest rows were dropped for new ones; see that QuestDB takes rows, or raise the limit that is named",
	lostNewest:   "the store is full: new rows were dropped; see that QuestDB takes rows, or raise the limit that is named",
	lostTooLarge: "a batch can never fit into the store and was dropped; write less at a time, or raise the limit that is named",
	lostAged:     "rows are older than sf_max_age and were dropped; see that QuestDB takes rows, or raise sf_max_age",
	lostOrphan:   "orphans exceed orphans_max_bytes: their oldest rows were dropped; see that QuestDB takes rows, or raise orphans_max_bytes",
}

// losses tell of rows that are dropped: at once when that begins, then in sums, so
// that a store which is full for days does not fill the log as well.
type losses struct {
	log *slog.Logger

	total atomic.Int64 // rows

	mu   sync.Mutex // guards what follows; nothing is logged under it
	all  [lostOrphan + 1]loss
	last string // the limit of the last one
}

// loss is what was dropped for one reason and not told yet.
type loss struct {
	rows, bytes int64
	from, to    int64 // times of the rows, microseconds since 1970, if timed
	timed       bool
	limit       string
	told        time.Time // last
}

// note is told of rows that were dropped, and of the limit that made it necessary.
func (l *losses) note(kind lossKind, limit string, e slot.Eviction) {
	if e.Rows == 0 {
		return
	}
	l.total.Add(e.Rows)
	l.mu.Lock()
	one := &l.all[kind]
	one.add(e, limit)
	l.last = limit
	tell, now := l.due(kind)
	l.mu.Unlock()
	if now {
		l.tell(kind, tell)
	}
}

// lastLimit is what rows were dropped for last; "" before.
func (l *losses) lastLimit() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last
}

func (o *loss) add(e slot.Eviction, limit string) {
	o.rows, o.bytes, o.limit = o.rows+e.Rows, o.bytes+e.Bytes, limit
	switch {
	case !e.HasTime:
	case !o.timed:
		o.from, o.to, o.timed = e.MinTime, e.MaxTime, true
	default:
		o.from, o.to = min(o.from, e.MinTime), max(o.to, e.MaxTime)
	}
}

// due takes out what is to be told now. The caller holds mu.
func (l *losses) due(kind lossKind) (o loss, now bool) {
	one := &l.all[kind]
	if one.rows == 0 || !one.told.IsZero() && time.Since(one.told) < lossEvery {
		return loss{}, false
	}
	o = *one
	*one = loss{told: time.Now()}
	return o, true
}

// tellDue tells what has waited long enough; with all, everything.
func (l *losses) tellDue(all bool) {
	for kind := lostOldest; kind <= lostOrphan; kind++ {
		l.mu.Lock()
		if all {
			l.all[kind].told = time.Time{}
		}
		o, now := l.due(kind)
		l.mu.Unlock()
		if now {
			l.tell(kind, o)
		}
	}
}

// untold says whether there is anything to be told.
func (l *losses) untold() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.all {
		if l.all[i].rows > 0 {
			return true
		}
	}
	return false
}

func (l *losses) tell(kind lossKind, o loss) {
	args := []any{"rows", o.rows, "bytes", o.bytes}
	if o.timed {
		args = append(args, "from", inTimeOf(o.from), "to", inTimeOf(o.to))
	}
	if o.limit != "" {
		args = append(args, "limit", o.limit)
	}
	l.log.Warn(lossTexts[kind], args...)
}

func inTimeOf(micros int64) string { return time.UnixMicro(micros).UTC().Format(time.RFC3339Nano) }
