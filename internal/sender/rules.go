// SPDX-License-Identifier: MIT

package sender

import (
	"context"
	"slices"
	"strings"

	"github.com/questdb-sf/questdb_sf/internal/link"
	"github.com/questdb-sf/questdb_sf/internal/qwp"
	"github.com/questdb-sf/questdb_sf/internal/verdict"
)

// Widener alters columns; *tables.Keeper is one.
type Widener interface {
	// Widen makes a column DOUBLE, or says why that cannot be.
	Widen(ctx context.Context, host, table, column string) error
}

// named returns a column of a block by its name in whatever case; nil for none.
func named(t *qwp.Table, name string) *qwp.Column {
	for i := range t.Columns {
		if c := &t.Columns[i]; name != "" && strings.EqualFold(c.Name, name) {
			return c
		}
	}
	return nil
}

// mentioned returns the one column of a block that words name behind "column".
func mentioned(t *qwp.Table, words string) *qwp.Column {
	lower := strings.ToLower(words)
	for at := 0; ; {
		i := strings.Index(lower[at:], "column")
		if i < 0 {
			return nil
		}
		at += i + len("column")
		rest := strings.TrimLeft(words[min(at, len(words)):], `:='"[ `)
		for i := range t.Columns {
			c := &t.Columns[i]
			if n := len(c.Name); n > 0 && len(rest) >= n && strings.EqualFold(rest[:n], c.Name) && endsWord(rest[n:]) {
				return c
			}
		}
	}
}

// endsWord says whether a name ends before the rest.
func endsWord(rest string) bool {
	return rest == "" || strings.ContainsRune(`,;:'"] .)=`, rune(rest[0]))
}

// isConflict knows the text by which a server refuses a type, not a value. Of strings
// that columns of some types parse it refuses those that it cannot.
func isConflict(words string) bool {
	_, cast, ok := strings.Cut(words, "cast error from protocol type: ")
	from, to, _ := strings.Cut(cast, " to column type: ")
	return ok && !(from == "STRING" && slices.Contains(parsed, to))
}

// parsed are the types of columns for which QuestDB 9.3.4 parses strings.
var parsed = []string{"UUID", "IPv4", "CHAR", "LONG256"}

// learn makes a verdict of a refusal: what the column takes is settled for all rows to
// come.
func (f *flight) learn(ctx context.Context, t *qwp.Table, c *qwp.Column, r *link.Refusal) error {
	v := verdict.Verdict{Key: f.key(t, c), Words: r.Message}
	if f.s.cfg.Conflict == verdict.Widen && f.widen(ctx, v) {
		return f.renewed()
	}
	if f.s.cfg.Conflict != verdict.DeadLetter {
		v.To = verdict.SuffixOf(c.Name, c.Type)
	}
	f.note(v)
	return nil
}

// note keeps a verdict. One that is news is worth its refusal: that says nothing of
// whether the server takes anything.
func (f *flight) note(v verdict.Verdict) {
	if f.s.cfg.Book.Learn(v) {
		f.s.cfg.Voice.learned(v)
		f.s.streak = max(0, f.s.streak-1)
	}
}

// await has rows wait that have a value in a column: somebody at the server has to see
// to that.
func (f *flight) await(t *qwp.Table, c *qwp.Column, r *link.Refusal) {
	f.note(verdict.Verdict{Key: f.key(t, c), Wait: true, Words: r.Message})
}

func (f *flight) key(t *qwp.Table, c *qwp.Column) verdict.Key {
	return verdict.Key{Host: f.conn.Host(), Table: t.Name, Column: c.Name, Type: c.Type}
}

// widen has a column take floating point values, once: one that refuses them then all
// the same is not tried again.
func (f *flight) widen(ctx context.Context, v verdict.Verdict) bool {
	s := f.s
	if s.cfg.Widener == nil || v.Type != qwp.TypeDouble || s.widened[v.Key] {
		return false
	}
	if s.widened == nil || len(s.widened) >= maxReplies {
		s.widened = map[verdict.Key]bool{}
	}
	s.widened[v.Key] = true
	err := s.cfg.Widener.Widen(ctx, v.Host, v.Table, v.Column)
	if ctx.Err() == nil {
		s.cfg.Voice.widened(v, err)
	}
	return err == nil
}

// fixed is a column of a block on which there is a verdict.
type fixed struct {
	column int
	was    string // its name before
	verdict.Verdict
}

// stored is the name of a column in the slot.
type stored struct {
	t      *qwp.Table
	column int
	name   string
}

// asStored runs f while a block has the names that it has in the slot.
func (f *flight) asStored(t *qwp.Table, run func()) {
	swap := func() {
		for i := range f.names {
			if n := &f.names[i]; n.t == t {
				c := &t.Columns[n.column]
				c.Name, n.name = n.name, c.Name
			}
		}
	}
	swap()
	run()
	swap()
}

// rename gives the columns of a block the names under which the server takes them, and
// returns those on which there is a verdict.
func (f *flight) rename(t *qwp.Table) []fixed {
	f.fixes = f.fixes[:0]
	if !f.s.cfg.Book.Busy() {
		return nil
	}
	for i := range t.Columns {
		c := &t.Columns[i]
		for c.Name != "" {
			v, ok := f.s.cfg.Book.Of(f.key(t, c))
			if !ok {
				break
			}
			f.fixes = append(f.fixes, fixed{i, c.Name, v})
			if v.To == "" {
				break
			}
			f.names = append(f.names, stored{t, i, c.Name})
			c.Name = ""
			c.Name = unused(t, v.To)
		}
	}
	return f.fixes
}

// lifted is told that a probe was taken.
func (f *flight) lifted(p *probe) {
	s := f.s
	f.anew = false
	switch {
	case p.bar:
		if s.cfg.Book.Unbar(p.key.Host, p.key.Table) {
			s.cfg.Voice.unbarred(p.key)
		}
	case s.cfg.Book.Lift(p.key):
		s.cfg.Voice.lifted(p.key)
		if s.cfg.Lifted != nil {
			s.cfg.Lifted(p.key)
		}
	}
	f.again, s.parking.revisit = true, true
}

// renew is told that a probe was refused: it comes later again.
func (f *flight) renew(c *complaint) {
	k, book := c.probe.key, f.s.cfg.Book
	f.anew = false
	if c.probe.bar {
		book.Bar(k.Host, k.Table, c.Message)
	} else if v, ok := book.Of(k); ok {
		book.Learn(v)
	}
}

// bar has the rows of a table wait until the server takes one of them.
func (s *Sender) bar(host, table string, r *link.Refusal) {
	if s.cfg.Book.Bar(host, table, r.Message) {
		s.cfg.Voice.barred(host, table, r.Message)
	}
}
