// SPDX-License-Identifier: MIT

package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/deadletter"
	"github.com/questdb-sf/questdb_sf/internal/vfs"
)

func deadLetterCommand() command {
	return command{
		name: "dead-letter", verbs: []string{"list", "show", "replay"}, store: true,
		summary: "list, show or replay the rows that were not taken",
		about: `list   counts the dead letters by file and by reason.
show   writes the rows as line protocol, each behind a comment that says why it was not
       taken; -table, -reason, -class and -limit choose.
replay sends the refused rows again, whether the server has come to take them or not;
       what it refuses again is a dead letter again. A running agent does that by
       itself as soon as the server takes one of them, so replay is for when none runs.
Rows of the class final can never be stored as they are. After an edit they can be
replayed as input of the plugin (see the last example); remove their file then.
list and show change nothing and can be used beside a running agent.`,
		examples: []string{
			"questdb_sf dead-letter list -config /etc/telegraf/telegraf.conf",
			"questdb_sf dead-letter show -sf-dir /var/lib/telegraf/questdb_sf -table cpu -limit 10",
			"questdb_sf dead-letter replay -config /etc/telegraf/telegraf.conf",
			"questdb_sf dead-letter show -class final -config c.conf > rows.lp; vi rows.lp; questdb_sf -config c.conf < rows.lp",
		},
		prepare: func(f *flag.FlagSet) func(context.Context, *call) error {
			var w wish
			f.StringVar(&w.table, "table", "", "show: only rows of this `table`")
			f.StringVar(&w.reason, "reason", "", "show: only rows whose reason has this `text` in it")
			f.StringVar(&w.class, "class", "", "show: only final or refused rows")
			f.IntVar(&w.limit, "limit", 0, "show: so many `rows` at most, the oldest; 0 for all")
			f.DurationVar(&w.timeout, "timeout", time.Minute, "replay: wait so long for the server")
			return func(ctx context.Context, k *call) error { return deadLetter(ctx, k, w) }
		},
	}
}

// wish says which letters are wanted.
type wish struct {
	table, reason, class string
	limit                int
	timeout              time.Duration
}

func (w *wish) wants(class deadletter.Class, l *deadletter.Found) bool {
	return (w.table == "" || l.Group().Table == w.table) && strings.Contains(l.Reason, w.reason) &&
		(w.class == "" || class.String() == w.class)
}

func deadLetter(ctx context.Context, k *call, w wish) error {
	switch {
	case len(k.args) > 0:
		return misuse("%q: only flags are taken behind %s", k.args[0], k.verb)
	case w.limit < 0 || w.timeout < 0:
		return misuse("-limit and -timeout are 0 or more")
	case w.class != "" && w.class != deadletter.Final.String() && w.class != deadletter.Refused.String():
		return misuse("-class %q: use final or refused%s", w.class, suggestion(w.class, []string{"final", "refused"}))
	case k.verb == "replay":
		return replay(ctx, k, w)
	}
	s, err := k.sight()
	if err != nil {
		return err
	}
	fsys := vfs.ReadOnly(vfs.OS)
	shelves, err := deadletter.Shelves(fsys, s.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return noStore(s.Dir)
	} else if err != nil {
		return fmt.Errorf("look at sf_dir %s: %w", s.Dir, err)
	}
	if k.verb == "show" {
		return k.showLetters(ctx, fsys, shelves, w)
	}
	return k.listLetters(ctx, fsys, shelves, time.Now())
}

// letterFile is one file of letters.
type letterFile struct {
	File    string    `json:"file"`
	Sender  string    `json:"sender_id"`
	Class   string    `json:"class"`
	Rows    int64     `json:"rows"`
	Bytes   int64     `json:"bytes"`
	Damaged int       `json:"damaged"` // letters that cannot be read
	Oldest  time.Time `json:"oldest,omitzero"`
	Newest  time.Time `json:"newest,omitzero"`
}

func (f *letterFile) add(l *deadletter.Found) {
	f.Rows++
	if f.Oldest.IsZero() || l.Time.Before(f.Oldest) {
		f.Oldest = l.Time
	}
	if l.Time.After(f.Newest) {
		f.Newest = l.Time
	}
}

// letterReason is why rows are dead letters.
type letterReason struct {
	Class  string `json:"class"`
	Table  string `json:"table"`
	Column string `json:"column,omitempty"`
	Type   string `json:"type,omitempty"`
	Host   string `json:"host,omitempty"`
	Rows   int64  `json:"rows"`
	Reason string `json:"reason"` // of the last of them
}

// tally collects what list tells.
type tally struct {
	Files   []letterFile   `json:"files"`
	Reasons []letterReason `json:"reasons"` // the most rows first
	Rows    int64          `json:"rows"`
}

func (k *call) listLetters(ctx context.Context, fsys vfs.FS, shelves []deadletter.Shelf, now time.Time) error {
	t := tally{Files: []letterFile{}, Reasons: []letterReason{}}
	reasons := map[string]*letterReason{}
	for i := range shelves {
		s := &shelves[i]
		f := letterFile{File: s.Path, Sender: s.SenderID, Class: s.Class.String()}
		var err error
		f.Bytes, f.Damaged, err = s.Read(fsys, func(l *deadletter.Found) bool {
			f.add(l)
			count(reasons, s.Class, l)
			return ctx.Err() == nil
		})
		if err := errors.Join(err, ctx.Err()); err != nil {
			return err
		}
		t.Files = append(t.Files, f)
		t.Rows += f.Rows
	}
	for _, r := range slices.SortedFunc(maps.Values(reasons), func(a, b *letterReason) int {
		return cmp.Or(cmp.Compare(b.Rows, a.Rows), strings.Compare(a.Table, b.Table), strings.Compare(a.Reason, b.Reason))
	}) {
		t.Reasons = append(t.Reasons, *r)
	}
	if k.json {
		return k.writeJSON(t)
	}
	return k.printLetters(&t, now)
}

// count adds a letter to those of its reason: a final one has no column and no type,
// so its words tell it from others.
func count(reasons map[string]*letterReason, class deadletter.Class, l *deadletter.Found) {
	g := l.Group()
	key := fmt.Sprintf("%d %q %q %d %q", class, g.Table, g.Column, g.Type, g.Host)
	if class == deadletter.Final {
		key += l.Reason
	}
	r := reasons[key]
	if r == nil {
		r = &letterReason{Class: class.String(), Table: g.Table, Column: g.Column, Host: g.Host}
		if g.Type != 0 {
			r.Type = g.Type.String()
		}
		reasons[key] = r
	}
	r.Rows++
	r.Reason = l.Reason
}

func (k *call) printLetters(t *tally, now time.Time) error {
	if len(t.Files) == 0 {
		fmt.Fprintln(k.stdout, "there are no dead letters")
		return nil
	}
	w := tabwriter.NewWriter(k.stdout, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "FILE\tCLASS\tROWS\tBYTES\tOLDEST\tNEWEST\tDAMAGED")
	for _, f := range t.Files {
		fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%s\t%s\t%d\n", filepath.Base(f.File), f.Class, f.Rows, f.Bytes, ago(f.Oldest, now), ago(f.Newest, now), f.Damaged)
	}
	fmt.Fprintln(w, "\t\t\t\t\t\t\nROWS\tCLASS\tTABLE\tCOLUMN\tTYPE\tREASON\t")
	for _, r := range t.Reasons {
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\t%s\t\n", r.Rows, r.Class, r.Table, orDash(r.Column), orDash(r.Type), r.Reason)
	}
	return w.Flush()
}

func ago(at, now time.Time) string {
	if at.IsZero() {
		return "-"
	}
	return now.Sub(at).Round(time.Second).String() + " ago"
}
