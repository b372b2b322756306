// SPDX-License-Identifier: MIT

package tables

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/sqlhttp"
)

const (
	// fresh is how long an answer counts. With the 10 s for which a sender keeps it that
	// is the minute of DESIGN.md 17.
	fresh = 50 * time.Second
	// minute is how long the log is spared another line.
	minute = time.Minute
	// pause is how long nothing is asked about a table that has to wait, or of a host
	// that did not answer.
	pause = 10 * time.Second
	// askTimeout bounds the questions about one table: they hold up the others.
	askTimeout = 5 * time.Second
	// patience is how long rows wait for an answer that is not needed by exactly_once.
	patience = 2 * time.Minute
	// sayAfter is how long a host must not answer before that is said: short trouble
	// is that of the connection, which others tell of.
	sayAfter = 15 * time.Second
)

// HoldError says that the rows of a table have to wait.
type HoldError struct {
	Host, Table string
	Reason      string    // for the operator, with the statement to run if one helps
	Again       time.Time // before that, Ready says the same on the same connection
	Err         error     // what the server or the network said; may be nil
}

func (e *HoldError) Error() string {
	return fmt.Sprintf("rows of table %q wait on %s: %s", e.Table, e.Host, e.Reason)
}

// Unwrap returns what the server or the network said, if that is why.
func (e *HoldError) Unwrap() error { return e.Err }

// Keeper remembers what each host said of each table. It is safe for concurrent use.
type Keeper struct {
	cfg   Config
	plan  plan
	voice voice

	// mu guards what follows. Nothing that can block runs while it is held.
	mu    sync.Mutex
	hosts map[string]*host
}

// New returns a Keeper. It does no I/O.
func New(c Config) (*Keeper, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	p, err := c.plan()
	if err != nil {
		return nil, err
	}
	c.setDefaults()
	return &Keeper{cfg: c, plan: p, voice: voice{log: c.Log}, hosts: make(map[string]*host)}, nil
}

// Answer is what a host wants of the rows of a table.
type Answer struct {
	RowID bool // they need the row id
	// Timestamp is the name of the designated timestamp, which no other column of a
	// row may have, in whatever case: QuestDB 9.3.4 answers 500 to it for ever. Empty:
	// not known.
	Timestamp string
	// TTL is how long the table keeps rows; zero: for ever, or not known. Older ones are
	// acked and vanish.
	TTL TTL
	// Missing says that there was no such table, and that the first rows create it.
	// Somebody else may be faster and want the row id: ask again once they are taken.
	Missing bool
}

// Ready tells whether rows of a table may go to host, and what they need. It asks the host, and does what Config wants done about the table, unless it
// knows an answer that is younger than a minute and than since. Nothing was sent
// since then that may have to be sent again: what is, goes by an answer that is
// younger than its first sending, which makes sending it again safe.
//
// A *HoldError says that the rows of this table have to wait, however long. Any other
// error is that nobody answers SQL there, or somebody who is not QuestDB: without
// exactly_once that is an error for two minutes, and then the rows go. If ctx ends, its
// cause is returned. A question takes 5 s at most.
func (k *Keeper) Ready(ctx context.Context, host, table string, since time.Time) (Answer, error) {
	if now := time.Now(); since.After(now) {
		since = now
	}
	for {
		if ctx.Err() != nil {
			return Answer{}, context.Cause(ctx)
		}
		v, asked := k.known(host, table, since)
		switch {
		case asked == nil:
			return v.answer(host, table)
		case asked.mine:
			k.ask(ctx, host, table, asked)
			continue
		}
		select {
		case <-asked.done:
		case <-ctx.Done():
		}
	}
}

// answer is a verdict in the form of Ready.
func (v *verdict) answer(host, table string) (Answer, error) {
	if v.hold == "" {
		return v.Answer, nil
	}
	if v.away {
		return Answer{}, v.err
	}
	return Answer{}, &HoldError{Host: host, Table: table, Reason: v.hold, Again: v.at.Add(v.fresh), Err: v.err}
}

// inquiry is a question on its way. Whoever finds none begins one: it is mine for
// that caller alone.
type inquiry struct {
	done chan struct{}
	mine bool
}

// known returns what is known for rows of a connection, or the question to wait for.
func (k *Keeper) known(host, table string, since time.Time) (verdict, *inquiry) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := time.Now()
	h := k.host(host)
	e := h.entry(table)
	switch {
	case e.known.counts(now, since):
		return e.known, nil
	case e.asking != nil:
		return verdict{}, &inquiry{done: e.asking}
	case h.mute.counts(now, since):
		return k.unheard(h, e, now), nil
	}
	e.asking = make(chan struct{})
	return verdict{}, &inquiry{done: e.asking, mine: true}
}

// counts says whether a verdict still counts on a connection made at since.
func (v *verdict) counts(now, since time.Time) bool {
	return !v.at.IsZero() && !v.at.Before(since) && now.Sub(v.at) < v.fresh
}

// ask asks a host about a table and keeps the answer.
func (k *Keeper) ask(ctx context.Context, host, table string, i *inquiry) {
	defer func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.host(host).entry(table).asking = nil
		close(i.done)
	}()
	at := time.Now()
	limited, cancel := context.WithTimeoutCause(ctx, askTimeout, errSlow)
	defer cancel()
	v, err := k.find(limited, host, table)
	if ctx.Err() != nil {
		return // the caller gave up: that is no answer
	}
	v.at = at
	for _, l := range k.learn(host, table, v, err) {
		k.voice.say(l.level, l.text, l.args...)
	}
}

var errSlow = errors.New("no answer within 5 s")

// learn keeps an answer, and returns what is worth saying about it.
func (k *Keeper) learn(host, table string, v verdict, err error) []line {
	k.mu.Lock()
	defer k.mu.Unlock()
	h := k.host(host)
	e := h.entry(table)
	if err != nil {
		return k.learnTrouble(h, e, host, table, v.at, err)
	}
	lines := h.heard(host)
	e.trouble = time.Time{}
	e.known = v
	return append(lines, e.news(host, table)...)
}

// learnTrouble keeps why a host said nothing of a table.
func (k *Keeper) learnTrouble(h *host, e *entry, host, table string, at time.Time, err error) []line {
	var said *sqlhttp.Error
	switch {
	case errors.As(err, &said) && said.Definite():
		e.trouble = time.Time{}
		e.known = k.refused(e, at, err)
		return append(h.heard(host), h.noSQL(host, table, k.cfg.Create != Server, e.known.hold != "", said)...)
	case errors.As(err, &said) && said.QuestDB:
		// The host answers; what it cannot say, it cannot say of this table.
		e.troubled(at)
		e.known = k.unanswered(e, at, e.trouble, err)
		return append(h.heard(host), e.news(host, table)...)
	}
	h.silent(at, err)
	return h.mutter(host, table, k.unheard(h, e, at).hold != "")
}

// refused is the verdict where SQL is not offered: without exactly_once nothing is
// held, and a row id that was wanted before is still sent.
func (k *Keeper) refused(e *entry, at time.Time, err error) verdict {
	v := verdict{at: at, fresh: fresh, Answer: e.known.lasting()}
	if k.cfg.ExactlyOnce {
		v.hold, v.err, v.fresh = fmt.Sprintf("exactly_once needs to read its DEDUP keys: %v", err), err, pause
	}
	return v
}

// unheard is the verdict where a host does not answer. Patience with it is one for all
// its tables: they are asked about one after the other.
func (k *Keeper) unheard(h *host, e *entry, now time.Time) verdict {
	v := k.unanswered(e, now, h.trouble, h.mute.err)
	v.at, v.fresh, v.away = h.mute.at, h.mute.fresh, true
	return v
}

// unanswered is the verdict where there is no answer about a table since some time: its
// rows wait, but without exactly_once not for ever. A row id that was wanted before is
// still sent.
func (k *Keeper) unanswered(e *entry, now, since time.Time, err error) verdict {
	v := verdict{at: now, fresh: pause, Answer: e.known.lasting()}
	if k.cfg.ExactlyOnce || now.Sub(since) < patience {
		v.hold, v.err = fmt.Sprintf("its DEDUP keys cannot be read: %v", err), err
	}
	return v
}
