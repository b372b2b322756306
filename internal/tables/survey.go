// SPDX-License-Identifier: MIT

package tables

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/sqlhttp"
)

const (
	// surveyEvery is how long what is known of tables beside their columns counts.
	surveyEvery = 5 * time.Minute
	// surveyTime bounds a question about it: nothing waits for it that need not.
	surveyTime = 2 * time.Second
	// maxRemarkable is how many tables of a host may be out of the ordinary before each is
	// asked about by itself: 30 KiB of an answer.
	maxRemarkable = 500
	// sameEvery is how often the same trouble is said again.
	sameEvery = time.Hour
)

// state is what a server says of a table beside its columns. Zero is an ordinary table,
// or one of which nothing is known.
type state struct {
	kind      kind
	ttl       TTL
	suspended bool
}

// kind is what a table is that takes no rows; empty is one that does.
type kind string

// The kinds.
const (
	viewKind    kind = "view"
	matViewKind kind = "materialized view"
	noWALKind   kind = "table without WAL"
)

// why says what that means for rows.
func (k kind) why(table string) string {
	if k == noWALKind {
		return "it is a table without WAL, which can neither take rows from the network nor have DEDUP keys: run ALTER TABLE " +
			sqlhttp.Quote(table) + " SET TYPE WAL and restart QuestDB"
	}
	return "it is a " + string(k) + ", and rows can go to tables only: have them go to another name, or drop the " + string(k)
}

// survey is what was said of tables at one time. Ordinary ones are not in it.
type survey struct {
	at     time.Time
	states map[string]state // by the name in small letters
}

// of returns the state of a table, and whether it is time to ask again. Of one that is in
// trouble the end of that is to be heard soon.
func (v *survey) of(table string, now time.Time) (s state, due bool) {
	s = v.states[strings.ToLower(table)]
	every := surveyEvery
	if s.kind != "" || s.suspended {
		every = pause
	}
	return s, v.at.IsZero() || now.Sub(v.at) >= every
}

// survey returns the state of a table, and tells if it is suspended. One question is for
// all tables of a host that are out of the ordinary: a box costs a server one in five
// minutes, however many tables it writes to. What cannot be asked is not known: versions
// before 9.3 have not all the columns.
func (k *Keeper) survey(ctx context.Context, host, table string) state {
	s, name, due := k.surveyed(host, table)
	if due {
		s = k.surveyAnew(ctx, host, table, name)
	}
	k.tellSuspended(ctx, host, table, s.suspended)
	return s
}

// surveyed returns what is known. name is the table if it is to be asked about alone.
func (k *Keeper) surveyed(host, table string) (s state, name string, due bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	h := k.host(host)
	v := h.surveyOf(table)
	if h.crowded {
		name = table
	}
	s, due = v.of(table, time.Now())
	return s, name, due
}

// surveyOf returns where what is known of a table is kept. The caller holds mu.
func (h *host) surveyOf(table string) *survey {
	if h.crowded {
		return &h.entry(table).survey
	}
	return &h.survey
}

// surveySoon forgets when the table was asked about: it was changed.
func (k *Keeper) surveySoon(host, table string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.host(host).surveyOf(table).at = time.Time{}
}

func (k *Keeper) surveyAnew(ctx context.Context, host, table, name string) state {
	at := time.Now()
	limited, cancel := context.WithTimeout(ctx, surveyTime)
	defer cancel()
	r, err := k.cfg.SQL.Exec(limited, host, surveyQuestion(name))
	crowded := err == nil && len(r.Rows) > maxRemarkable
	if crowded {
		r, err = k.cfg.SQL.Exec(limited, host, surveyQuestion(table))
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	h := k.host(host)
	if ctx.Err() != nil {
		s, _ := h.surveyOf(table).of(table, at)
		return s // the caller gave up: the next one asks
	}
	h.crowded = h.crowded || crowded
	v := h.surveyOf(table)
	if err == nil {
		v.states = readStates(r)
	}
	v.at = at // without an answer, what was known stays
	s, _ := v.of(table, at)
	return s
}

// surveyQuestion asks for the tables that are out of the ordinary, or for one.
func surveyQuestion(name string) string {
	q := `SELECT table_name, ttlValue, ttlUnit, walEnabled, table_type, table_suspended FROM tables() ` +
		`WHERE (ttlValue > 0 OR table_suspended OR NOT walEnabled OR table_type <> 'T')`
	if name != "" {
		return q + ` AND table_name = ` + sqlhttp.Literal(name)
	}
	return q + ` LIMIT ` + strconv.Itoa(maxRemarkable+1)
}

// readStates passes over what it does not understand: nothing depends on it.
func readStates(r *sqlhttp.Result) map[string]state {
	states := make(map[string]state, len(r.Rows))
	if len(r.Columns) != 6 {
		return states
	}
	for _, row := range r.Rows {
		name, _ := row[0].(string)
		unit, _ := row[2].(string)
		var s state
		s.suspended, _ = row[5].(bool)
		s.ttl, _ = ParseTTL(fmt.Sprint(row[1], " ", unit))
		s.kind = kindOf(row[4], row[3])
		states[strings.ToLower(name)] = s
	}
	return states
}

func kindOf(letter, wal any) kind {
	switch {
	case letter == "V":
		return viewKind
	case letter == "M":
		return matViewKind
	case letter == "T" && wal == false:
		return noWALKind
	}
	return ""
}

// tellSuspended says that a table is suspended, before rows go to it, then once an hour,
// and when it is not any more.
func (k *Keeper) tellSuspended(ctx context.Context, host, table string, suspended bool) {
	switch due, over := k.suspensionDue(host, table, suspended); {
	case over:
		k.voice.say(infoLevel, "a table is not suspended any more", "table", table, "host", host)
	case due:
		why, behind := k.whySuspended(ctx, host, table)
		k.voice.say(warnLevel, "a table is suspended: the server takes its rows and keeps them in the table's log, but nobody sees them before it is resumed",
			"table", table, "host", host, "reason", why, "transactions_behind", behind, "run", resume(table))
	}
}

func (k *Keeper) suspensionDue(host, table string, suspended bool) (due, over bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	e := k.host(host).entry(table)
	if !suspended {
		over, e.stopped = !e.stopped.IsZero(), time.Time{}
		return false, over
	}
	due = e.stopped.IsZero() || time.Since(e.stopped) >= sameEvery
	if due {
		e.stopped = time.Now()
	}
	return due, false
}

// whySuspended asks for the words of the server, as far as it has any.
func (k *Keeper) whySuspended(ctx context.Context, host, table string) (why, behind string) {
	limited, cancel := context.WithTimeout(ctx, surveyTime)
	defer cancel()
	r, err := k.cfg.SQL.Exec(limited, host, `SELECT errorTag, errorMessage, sequencerTxn - writerTxn FROM wal_tables() WHERE name = `+sqlhttp.Literal(table))
	if err != nil || len(r.Columns) != 3 || len(r.Rows) != 1 {
		return "the server does not say", "unknown"
	}
	tag, _ := r.Rows[0][0].(string)
	text, _ := r.Rows[0][1].(string)
	n, _ := r.Rows[0][2].(json.Number)
	if why = strings.Trim(tag+": "+text, ": "); why == "" {
		why = "the server does not say"
	}
	return why, n.String()
}

// resume returns the statement that has a table apply its log again.
func resume(table string) string { return "ALTER TABLE " + sqlhttp.Quote(table) + " RESUME WAL" }
