// SPDX-License-Identifier: MIT

package sender

import (
	"log/slog"
	"sync"
	"time"
)

// Voice tells of the troubles of several senders without repeating itself. An
// outage, which is everything that lies in the connection, is told as one for all
// of them: its start, another reason at most once a minute, the same one once an
// hour, and its end, which is when the first of them gets an ack. What keeps a
// single slot although it reaches the server is told for each slot, likewise at
// most once a minute, and the same words at most once a minute for all of them.
//
// An outage that begins within a minute of the last line about one is told when
// it lasts: a server that comes and goes does not fill the log.
type Voice struct {
	log *slog.Logger

	// mu guards what follows. Nothing is logged while it is held.
	mu      sync.Mutex
	began   time.Time          // of the outage; zero when there is none
	outage  remark             // on it
	stuck   map[string]*remark // on each slot that is kept by something else
	recent  map[string]time.Time
	columns map[string]struct{} // that were said to be sent by another name
	over    chan struct{}       // closed and replaced when an outage ends
	quota   quota               // of lines on rows of tables
	// expiring are tables whose rows were said to be older than their TTL, and when.
	expiring map[string]time.Time

	letters   int64 // dead letters since they were last said
	lettersAt time.Time
}

const (
	changedEvery = time.Minute
	sameEvery    = time.Hour
)

// NewVoice returns a Voice that speaks to log; nil is silence.
func NewVoice(log *slog.Logger) *Voice {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Voice{log: log, stuck: map[string]*remark{}, recent: map[string]time.Time{}, columns: map[string]struct{}{}, over: make(chan struct{})}
}

// remark is the last thing that was said of a trouble.
type remark struct {
	text  string
	at    time.Time
	told  bool // of the trouble that is on now
	aloud bool // so that its end is worth a line
}

// due tells whether text is to be said now, and takes it as said.
func (r *remark) due(text string, now time.Time) bool {
	quiet := now.Sub(r.at)
	switch {
	case r.at.IsZero(), quiet >= sameEvery:
	case quiet >= changedEvery && !(r.told && r.text == text):
	default:
		return false
	}
	r.text, r.at, r.told = text, now, true
	return true
}

// end forgets the trouble, but not when it was spoken of. It tells whether that
// was done aloud.
func (r *remark) end() bool {
	aloud := r.aloud
	r.told, r.aloud = false, false
	return aloud
}

// failed tells of the end of a connection or attempt, if that is news.
func (v *Voice) failed(slot string, err error, pending int64) {
	if v.isNews(slot, err, time.Now()) {
		v.log.Warn(inWords(err), "error", err, "slot", slot, "pending_rows", pending)
	}
}

func (v *Voice) isNews(slot string, err error, now time.Time) bool {
	text := gist(err)
	v.mu.Lock()
	defer v.mu.Unlock()
	if Stuck(err) {
		return v.stuckNews(slot, text, now)
	}
	if v.began.IsZero() {
		v.began = now
	}
	due := v.outage.due(text, now)
	v.outage.aloud = v.outage.aloud || due
	return due
}

// stuckNews leaves to one slot what several have to say. The caller holds mu.
func (v *Voice) stuckNews(slot, text string, now time.Time) bool {
	r := v.stuck[slot]
	if r == nil {
		r = &remark{}
		v.stuck[slot] = r
	}
	if !r.due(text, now) {
		return false
	}
	for t, at := range v.recent {
		if now.Sub(at) >= changedEvery {
			delete(v.recent, t)
		}
	}
	if _, said := v.recent[text]; said {
		return false
	}
	v.recent[text], r.aloud = now, true
	return true
}

// recovered tells that a slot is served again, if anybody was told that it was
// not. since is when its own trouble began, or zero.
func (v *Voice) recovered(words, slot string, since time.Time, st State, pending int64) {
	since, news := v.ended(slot, since)
	if news {
		v.log.Info(words, "slot", slot, "host", st.Host, "transport", st.Transport.String(),
			"outage", time.Since(since).Round(time.Millisecond).String(), "pending_rows", pending)
	}
}

func (v *Voice) ended(slot string, own time.Time) (since time.Time, news bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	since = own
	if r := v.stuck[slot]; r != nil {
		news = r.end()
	}
	if v.began.IsZero() {
		return since, news && !since.IsZero()
	}
	since, v.began = v.began, time.Time{}
	close(v.over)
	v.over = make(chan struct{})
	return since, v.outage.end() || news
}

// outageOver returns a channel that closes when the next outage ends, or the present
// one.
func (v *Voice) outageOver() <-chan struct{} {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.over
}

// maxColumns is of how many columns another name is said.
const maxColumns = 100

// renamed tells once of a column that has the name of the designated timestamp.
func (v *Voice) renamed(table, column, name string) {
	if v.isNewName(table + "\x00" + column) {
		v.log.Warn("a column has the name of the table's designated timestamp; it is sent by another name",
			"table", table, "column", column, "name", name)
	}
}

func (v *Voice) isNewName(key string) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if _, said := v.columns[key]; said || len(v.columns) >= maxColumns {
		return false
	}
	v.columns[key] = struct{}{}
	return true
}

// forget is told that a slot has no sender any more.
func (v *Voice) forget(slot string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.stuck, slot)
}
