// SPDX-License-Identifier: MIT

package tables

import (
	"log/slog"
	"strings"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/rowid"
	"github.com/questdb-sf/questdb_sf/internal/sqlhttp"
)

// maxTables bounds what is remembered of a host: names without end exist.
const maxTables = 1 << 14

// host is what is known of one host. Keeper.mu guards it.
type host struct {
	tables  map[string]*entry
	mute    verdict   // the host does not answer; hold is not used
	trouble time.Time // since when; zero: it answers
	said    silence   // what was said of that
	status  int       // HTTP status of the refusal of SQL that was said; 0: none
	survey  survey    // of its tables
	crowded bool      // which are too many for one
	creates creates
}

// silence is what was said of a host that does not answer.
type silence uint8

const (
	saidNothing silence = iota
	saidWaiting
	saidGoing
)

// entry is what is known of one table on one host.
type entry struct {
	known   verdict
	trouble time.Time     // since when there is no answer; zero: there is
	column  time.Time     // since when there is a column for the row id; zero: there is none
	asking  chan struct{} // closed when the question on its way is answered; nil: none
	said    string        // what was said of it last: why its rows wait, or a note
	saidAt  time.Time
	waits   bool      // what was said is that its rows wait
	survey  survey    // of it alone, where there are many
	stopped time.Time // when it was said last that it is suspended; zero: it is not
}

// line is what is to be logged once no lock is held.
type line struct {
	level slog.Level
	text  string
	args  []any
}

func (k *Keeper) host(name string) *host {
	h := k.hosts[name]
	if h == nil {
		h = &host{tables: make(map[string]*entry)}
		k.hosts[name] = h
	}
	return h
}

func (h *host) entry(table string) *entry {
	e := h.tables[table]
	if e == nil {
		if len(h.tables) >= maxTables {
			h.forget()
		}
		e = new(entry)
		h.tables[table] = e
	}
	return e
}

// forget makes room. What is in trouble, or wants the row id, is worth most: it is
// what counts while the host does not answer.
func (h *host) forget() {
	h.drop(func(e *entry) bool { return e.trouble.IsZero() && !e.known.RowID })
	if len(h.tables) >= maxTables {
		h.drop(func(*entry) bool { return true })
	}
}

// drop forgets a quarter of the tables, as far as there are any that may go.
func (h *host) drop(may func(*entry) bool) {
	left := maxTables / 4
	for name, e := range h.tables {
		if left > 0 && e.asking == nil && may(e) {
			delete(h.tables, name)
			left--
		}
	}
}

// columnSince returns since when a table has a column for the row id, if it has.
func (k *Keeper) columnSince(host, table string, has bool) time.Time {
	k.mu.Lock()
	defer k.mu.Unlock()
	e := k.host(host).entry(table)
	switch {
	case !has:
		e.column = time.Time{}
	case e.column.IsZero():
		e.column = time.Now()
	}
	return e.column
}

// lasting is what of a verdict is used when there is no new one.
func (v *verdict) lasting() Answer { return Answer{RowID: v.RowID, Timestamp: v.Timestamp, TTL: v.TTL} }

// troubled notes since when there is no answer.
func (e *entry) troubled(at time.Time) {
	if e.trouble.IsZero() {
		e.trouble = at
	}
}

// news is what changed for the rows of a table. Another reason for the same is worth a
// line a minute.
func (e *entry) news(host, table string) []line {
	v, before, waited := &e.known, e.said, e.waits
	text := v.hold + v.note
	gist := v.gist(text)
	if gist == before || gist != "" && before != "" && time.Since(e.saidAt) < minute {
		return nil
	}
	e.said, e.saidAt, e.waits = gist, time.Now(), v.hold != ""
	switch {
	case v.hold != "":
		return []line{{warnLevel, "rows of a table wait; they stay in the store", []any{"table", table, "host", host, "reason", text}}}
	case v.note != "":
		return []line{{warnLevel, text, []any{"table", table, "host", host}}}
	case waited:
		return []line{{infoLevel, "the table takes rows again", []any{"table", table, "host", host}}}
	}
	return nil
}

// gist is a text without the words of the server, which may have numbers that
// change from answer to answer.
func (v *verdict) gist(text string) string {
	if v.err == nil {
		return text
	}
	return strings.ReplaceAll(text, v.err.Error(), "")
}

// silent notes that the host did not answer. It is left alone for a while.
func (h *host) silent(at time.Time, err error) {
	if h.trouble.IsZero() {
		h.trouble = at
	}
	h.mute = verdict{at: at, fresh: time.Since(at) + pause, err: err}
}

// heard notes that the host answers, and tells if it was said to be silent.
func (h *host) heard(name string) []line {
	said := h.said
	h.trouble, h.mute, h.said = time.Time{}, verdict{}, saidNothing
	if said == saidNothing {
		return nil
	}
	return []line{{infoLevel, "SQL is answered again", []any{"host", name}}}
}

// mutter tells of a host that does not answer: that rows wait, and that they do no
// longer.
func (h *host) mutter(name, table string, wait bool) []line {
	now, text := saidWaiting, "SQL is not answered; rows of tables whose DEDUP keys are not known wait in the store"
	if !wait {
		now, text = saidGoing, "SQL is not answered; rows go on, with row ids only where they were wanted before"
	}
	if h.said >= now || time.Since(h.trouble) < sayAfter {
		return nil
	}
	h.said = now
	return []line{{warnLevel, text, []any{"host", name, "table", table, "error", h.mute.err}}}
}

// noSQL tells of a host that offers no SQL, or not to this user. Where nobody asked
// for SQL that is no trouble.
func (h *host) noSQL(name, table string, wanted, wait bool, err *sqlhttp.Error) []line {
	if h.status == err.Status {
		return nil
	}
	h.status = err.Status
	level := infoLevel
	if wanted {
		level = warnLevel
	}
	text := "DEDUP keys cannot be read; rows are sent without row ids, which a table with " + rowid.Column + " among its keys needs"
	if wait {
		text = "DEDUP keys cannot be read, which exactly_once needs; rows stay in the store: give the user the right to SQL"
	}
	return []line{{level, text, []any{"host", name, "table", table, "error", err}}}
}
