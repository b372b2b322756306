// SPDX-License-Identifier: MIT

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/deadletter"
	"github.com/questdb-sf/questdb_sf/internal/vfs"
	"github.com/questdb-sf/questdb_sf/sfpool"
)

// letterRow is one row for machines.
type letterRow struct {
	Class  string    `json:"class"`
	Time   time.Time `json:"time"` // when it became a dead letter
	Table  string    `json:"table"`
	Column string    `json:"column,omitempty"`
	Host   string    `json:"host,omitempty"`
	Reason string    `json:"reason"`
	Slot   string    `json:"slot,omitempty"`
	Line   string    `json:"line"` // "" where line protocol cannot say all of it
}

// showLetters writes rows until there are as many as wanted.
func (k *call) showLetters(ctx context.Context, fsys vfs.FS, shelves []deadletter.Shelf, w wish) error {
	out := bufio.NewWriter(k.stdout)
	rows, list, damaged := 0, []letterRow{}, 0
	var buf []byte
	var failed error
	for i := range shelves {
		s := &shelves[i]
		_, bad, err := s.Read(fsys, func(l *deadletter.Found) bool {
			if !w.wants(s.Class, l) {
				return ctx.Err() == nil
			}
			rows++
			if k.json {
				list = append(list, rowOf(s.Class, l))
			} else {
				buf = deadletter.AppendReadable(buf[:0], &l.Letter)
				_, failed = out.Write(buf)
			}
			return ctx.Err() == nil && failed == nil && (w.limit == 0 || rows < w.limit)
		})
		damaged += bad
		if err := errors.Join(err, failed, ctx.Err()); err != nil {
			return err
		}
		if w.limit > 0 && rows >= w.limit {
			break
		}
	}
	if damaged > 0 {
		fmt.Fprintf(k.stderr, "%d letters cannot be read and are not shown\n", damaged)
	}
	if k.json {
		return k.writeJSON(list)
	}
	return out.Flush()
}

func rowOf(class deadletter.Class, l *deadletter.Found) letterRow {
	g := l.Group()
	r := letterRow{Class: class.String(), Time: l.Time, Table: g.Table, Column: g.Column, Host: g.Host, Reason: l.Reason, Line: l.Line()}
	if l.Key != nil {
		r.Slot = l.Key.Slot
	}
	return r
}

// replayed is what replay tells.
type replayed struct {
	Rows    int    `json:"rows"`         // that were sent again
	Refused int64  `json:"rows_refused"` // dead letters again
	Waiting int64  `json:"rows_waiting"` // not sent yet: they are in the store now
	Final   int64  `json:"rows_final"`   // that replay does not touch
	Ended   string `json:"ended,omitempty"`
}

func replay(ctx context.Context, k *call, w wish) error {
	if w.table+w.reason+w.class != "" || w.limit > 0 {
		return misuse("replay takes all refused rows: -table, -reason, -class and -limit are for show")
	}
	cfg, err := k.sending()
	if err != nil {
		return err
	}
	s, _, err := k.store()
	if err != nil {
		return err
	}
	cfg = forOperator(cfg)
	cfg.DrainOrphans = false
	p, err := sfpool.Open(ctx, cfg)
	var locked *sfpool.LockedError
	if errors.As(err, &locked) {
		return fmt.Errorf("an agent has the store open (process %d): it feeds refused rows back by itself as soon as the server takes one of them, "+
			"and tries one of each reason every hour at the latest; stop it to have all tried now", locked.PID)
	}
	if err != nil {
		return err
	}
	r, err := feedAll(ctx, p, w)
	if err := errors.Join(err, p.Close(context.Background())); err != nil {
		return err
	}
	if r.Final, err = finalRows(s.FS, s.Dir, senderOf(cfg)); err != nil {
		return err
	}
	return k.tellReplay(r)
}

// finalRows counts what replay does not touch.
func finalRows(fsys vfs.FS, dir, sender string) (rows int64, _ error) {
	shelves, err := deadletter.Shelves(fsys, dir)
	for i := range shelves {
		if shelves[i].Class != deadletter.Final || shelves[i].SenderID != sender {
			continue
		}
		_, _, e := shelves[i].Read(fsys, func(*deadletter.Found) bool { rows++; return true })
		err = errors.Join(err, e)
	}
	return rows, err
}

func senderOf(cfg sfpool.Config) string {
	if cfg.SenderID == "" {
		return "default"
	}
	return cfg.SenderID
}

// feedAll stores the letters again, and waits for what the server says.
func feedAll(ctx context.Context, p *sfpool.Pool, w wish) (r replayed, err error) {
	if r.Rows, err = p.FeedBack(ctx, 0); err != nil {
		return r, err
	}
	inner, cancel := context.WithTimeout(ctx, w.timeout)
	defer cancel()
	if err := p.DrainAll(inner); err != nil {
		r.Ended = err.Error()
	}
	st := p.Stats()
	r.Refused, r.Waiting = st.Refused, st.Pending
	return r, nil
}

func (k *call) tellReplay(r replayed) error {
	var err error
	if r.Waiting > 0 {
		err = fmt.Errorf("%d rows were not sent in time; they wait in the store", r.Waiting)
	} else if r.Refused > 0 {
		err = fmt.Errorf("%d rows were refused and are dead letters: see questdb_sf dead-letter list", r.Refused)
	}
	if k.json {
		return errors.Join(k.writeJSON(r), err)
	}
	fmt.Fprintf(k.stdout, "%d refused rows were sent again\n", r.Rows)
	if r.Final > 0 {
		fmt.Fprintf(k.stdout, "%d rows of the class final were not: they have to be edited; see questdb_sf help dead-letter\n", r.Final)
	}
	return err
}
