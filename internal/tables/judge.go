// SPDX-License-Identifier: MIT

package tables

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/qwp"
	"github.com/questdb-sf/questdb_sf/internal/rowid"
	"github.com/questdb-sf/questdb_sf/internal/sqlhttp"
)

// verdict is what is known of a table on a host. The zero value is no knowledge.
type verdict struct {
	at    time.Time     // before the server was asked
	fresh time.Duration // how long it counts
	rowID bool
	hold  string // why the rows wait; empty: they go
	err   error  // what the server said, if that is why
	note  string // what is to be said although the rows go
}

// maxLooks is how often a table is looked at before what is done about it is given
// up: others may create, alter and drop it at the same time.
const maxLooks = 3

// find looks at a table, does what the configuration wants done about it, and looks
// again. An error means that the server cannot be asked.
func (k *Keeper) find(ctx context.Context, host, table string) (verdict, error) {
	var tried task
	var refused error
	for range maxLooks {
		s, err := k.look(ctx, host, table)
		if err != nil {
			return verdict{}, err
		}
		v, todo := k.judge(table, s)
		if len(todo.statements) == 0 {
			return v, nil
		}
		switch again := tried.done == todo.done; {
		case again && refused != nil:
			return k.undone(todo, refused), nil
		case again && todo.ordered:
			return verdict{rowID: true, fresh: minute}, nil
		}
		tried = todo
		if refused, err = k.run(ctx, host, table, todo); err != nil {
			return verdict{}, err
		}
	}
	return verdict{hold: "it is changed by somebody else again and again", fresh: pause}, nil
}

// task is what shall be done about a table, and how that is called.
type task struct {
	done       string
	statements []string
	// ordered: the server applies the statements in one order with the rows, from the
	// log of the table, and so they hold for every row that is sent from now on. That
	// they are not applied yet is no reason to wait, or to run them again.
	ordered bool
}

// judge is what the configuration says to the shape of a table.
func (k *Keeper) judge(table string, s shape) (verdict, task) {
	switch {
	case s.missing:
		return k.judgeMissing(table)
	case s.timestamp == "":
		return held("it has no designated timestamp, so that no row can be sent to it: create it anew with one, or drop it"), task{}
	case s.rowID && s.rowIDType != "LONG":
		return held(fmt.Sprintf("its column %s is %s, but the row id is a LONG", rowid.Column, s.rowIDType)), task{}
	case s.rowID:
		return verdict{rowID: true, fresh: minute}, task{}
	case !k.cfg.ExactlyOnce:
		return verdict{fresh: minute}, task{}
	case s.keyed:
		return verdict{fresh: minute, note: "the table has DEDUP keys of its own without " + rowid.Column + ": they decide what is sent twice, exactly_once does not"}, task{}
	}
	return k.judgeLost(table, s)
}

func (k *Keeper) judgeMissing(table string) (verdict, task) {
	switch {
	case qwp.CheckTableName(table) != nil:
		// There is no such table, and there cannot be: the server says so of its rows.
		return verdict{fresh: minute}, task{}
	case k.cfg.Create == Server:
		// Soon there is one, perhaps with keys that somebody gave it.
		return verdict{fresh: pause}, task{}
	case k.cfg.Create == Never:
		return held("there is no such table, and table_create is never: run " + k.plan.create(table)), task{}
	}
	return verdict{}, task{done: "table created", statements: []string{k.plan.create(table)}}
}

// judgeLost is for a table without keys that shall have some.
func (k *Keeper) judgeLost(table string, s shape) (verdict, task) {
	statements := restore(table, s.timestamp)
	if k.cfg.DedupLost == Restore {
		return verdict{}, task{done: "DEDUP keys restored", statements: statements, ordered: true}
	}
	return held(`it has no DEDUP keys, which exactly_once needs: run ` + strings.Join(statements, "; ") +
		`; or set dedup_lost = "restore"`), task{}
}

func held(why string) verdict { return verdict{hold: why, fresh: pause} }

// run runs the statements of a task. What the server has against them is refused:
// others may have been faster, which the next look shows.
func (k *Keeper) run(ctx context.Context, host, table string, t task) (refused, err error) {
	for _, sql := range t.statements {
		_, err := k.cfg.SQL.Exec(ctx, host, sql)
		var said *sqlhttp.Error
		if errors.As(err, &said) && (said.QuestDB || said.Definite()) {
			return err, nil
		}
		if err != nil {
			return nil, err
		}
	}
	k.voice.say(infoLevel, t.done, "table", table, "host", host, "sql", strings.Join(t.statements, "; "))
	return nil, nil
}

// undone is the verdict on a table about which nothing could be done. Where SQL is
// not for this user the server creates the table, in its own way.
func (k *Keeper) undone(t task, refused error) verdict {
	why := fmt.Sprintf("%v; tried %s", refused, strings.Join(t.statements, "; "))
	var said *sqlhttp.Error
	if !k.cfg.ExactlyOnce && errors.As(refused, &said) && said.Definite() {
		return verdict{fresh: pause, note: "table_create is sql, but the server creates the table in its own way: " + why}
	}
	return verdict{hold: why, err: refused, fresh: pause}
}
