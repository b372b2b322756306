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
	Answer
	hold string // why the rows wait; empty: they go
	err  error  // what the server said, if that is why
	away bool   // that is trouble of the host or the way to it, not of the table
	note string // what is to be said although the rows go
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
		s.columnSince = k.columnSince(host, table, s.rowIDType != "")
		if s.missing {
			s.creates = k.creation(ctx, host, table)
		} else {
			s.state = k.survey(ctx, host, table)
		}
		v, todo := k.judge(table, s)
		again := tried.done == todo.done
		if tried.done != "" && refused == nil && (!again || todo.unseen != nil) {
			k.voice.say(infoLevel, tried.done, "table", table, "host", host, "sql", strings.Join(tried.statements, "; "))
		}
		switch {
		case len(todo.statements) == 0:
			return v, nil
		case again && refused != nil:
			return k.undone(todo, refused), nil
		case again && todo.unseen != nil:
			return *todo.unseen, nil
		}
		tried = todo
		if refused, err = k.run(ctx, host, table, todo); err != nil {
			return verdict{}, err
		}
	}
	return givenUp(table, refused == nil && tried.done == created), nil
}

// givenUp is the verdict on a table of which nothing that was done is seen. One that
// comes about and is not there may be half lost: QuestDB 9.3.4 has its name, which
// satisfies IF NOT EXISTS, and not its files.
func givenUp(table string, unborn bool) verdict {
	if !unborn {
		return held("it is changed by somebody else again and again")
	}
	return held("CREATE TABLE succeeds, and yet the server knows no such table: somebody drops it at once, or the server has lost a part of it, in a crash perhaps. In the latter case run DROP TABLE " +
		sqlhttp.Quote(table) + "; then it is created anew, with nothing of what it held")
}

// created is what is called a task that creates a table.
const created = "table created"

// task is what shall be done about a table, and how that is called.
type task struct {
	done       string
	statements []string
	// unseen is the verdict while the server has taken the statements but not applied
	// them, which it does in one order with the rows, from the log of the table. Nil:
	// what is not seen was undone by somebody else.
	unseen *verdict
}

// judge is what the configuration says to the shape of a table.
func (k *Keeper) judge(table string, s shape) (verdict, task) {
	switch {
	case s.missing:
		return k.judgeMissing(table, s)
	case s.timestamp == "":
		return held("it has no designated timestamp, so that no row can be sent to it: create it anew with one, or drop it"), task{}
	case s.rowIDType != "" && s.rowIDType != rowIDType && (s.rowID || k.cfg.ExactlyOnce && !s.keyed):
		return held(fmt.Sprintf("its column %s is %s, but the row id is a LONG", rowid.Column, s.rowIDType)), task{}
	case s.rowID:
		return plainly(s), task{}
	case !k.cfg.ExactlyOnce:
		return plainly(s), task{}
	case s.keyed:
		v := plainly(s)
		v.note = "the table has DEDUP keys of its own without " + rowid.Column + ": they decide what is sent twice, exactly_once does not"
		return v, task{}
	}
	return k.judgeLost(table, s)
}

func (k *Keeper) judgeMissing(table string, s shape) (verdict, task) {
	switch {
	case qwp.CheckTableName(table) != nil:
		// There is no such table, and there cannot be: the server says so of its rows.
		return verdict{fresh: fresh}, task{}
	case k.cfg.Create == Server && s.none():
		return held(s.toCreate(k.plan.create(table))), task{}
	case k.cfg.Create == Server:
		// Soon there is one, perhaps with keys that somebody gave it.
		return k.first(), task{}
	case k.cfg.Create == Never:
		return held("there is no such table, and table_create is never: run " + k.plan.create(table)), task{}
	}
	return verdict{}, task{done: created, statements: []string{k.plan.create(table)}}
}

// judgeLost is for a table without keys that shall have some. Rows without the id
// would be merged as soon as it is a key, so the column comes first and the key when
// all who write to the table have had time to learn of it.
func (k *Keeper) judgeLost(table string, s shape) (verdict, task) {
	column, keys := addColumn(table), enable(table, s.timestamp)
	switch {
	case s.kind != "":
		return held(s.kind.why(table)), task{}
	case k.cfg.DedupLost == Hold && s.rowIDType != "":
		return held(`it has no DEDUP keys, which exactly_once needs: run ` + keys + `; or set dedup_lost = "restore"`), task{}
	case k.cfg.DedupLost == Hold:
		return held(`it has no DEDUP keys, which exactly_once needs: run ` + column +
			`; two minutes later, when all who write to it send row ids, run ` + keys + `; or set dedup_lost = "restore"`), task{}
	case s.rowIDType == "":
		soon := held("its column " + rowid.Column + " was added, but the server has not applied that yet")
		return verdict{}, task{done: "column for row ids added", statements: []string{column}, unseen: &soon}
	case time.Since(s.columnSince) < k.cfg.Notice:
		return held("its DEDUP keys are set when all who write to it know of its column " + rowid.Column), task{}
	}
	v := plainly(s)
	return verdict{}, task{done: "DEDUP keys restored", statements: []string{keys}, unseen: &v}
}

// plainly is the verdict on a table whose rows go. They have the id where there is a
// column for it, so that it can become a key without erasing any.
func plainly(s shape) verdict {
	return verdict{fresh: fresh, Answer: Answer{RowID: s.rowIDType == rowIDType, Timestamp: s.timestamp, TTL: s.ttl}}
}

// first is the verdict on a table that the server is to create.
func (k *Keeper) first() verdict {
	return verdict{fresh: pause, Answer: Answer{Missing: true, Timestamp: DefaultTimestampColumn}}
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
	k.surveySoon(host, table)
	return nil, nil
}

// undone is the verdict on a table about which nothing could be done. Where SQL is
// not for this user the server creates the table, in its own way.
func (k *Keeper) undone(t task, refused error) verdict {
	why := fmt.Sprintf("%v; tried %s", refused, strings.Join(t.statements, "; "))
	var said *sqlhttp.Error
	if !k.cfg.ExactlyOnce && errors.As(refused, &said) && said.Definite() {
		v := k.first()
		v.note = "table_create is sql, but the server creates the table in its own way: " + why
		return v
	}
	return verdict{hold: why, err: refused, fresh: pause}
}
