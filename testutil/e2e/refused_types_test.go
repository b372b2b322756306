// SPDX-License-Identifier: MIT

package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/questdb-sf/questdb_sf/sfpool"
	"github.com/questdb-sf/questdb_sf/testutil/questdb"
)

// kinds set a value of each type under a name.
var kinds = map[string]func(r *sfpool.RowBuilder, name string){
	"symbol":    func(r *sfpool.RowBuilder, name string) { r.Symbol(name, "abc") },
	"long":      func(r *sfpool.RowBuilder, name string) { r.Int64Column(name, 5) },
	"double":    func(r *sfpool.RowBuilder, name string) { r.Float64Column(name, 0.5) },
	"boolean":   func(r *sfpool.RowBuilder, name string) { r.BoolColumn(name, true) },
	"varchar":   func(r *sfpool.RowBuilder, name string) { r.StringColumn(name, "abc") },
	"timestamp": func(r *sfpool.RowBuilder, name string) { r.TimestampColumn(name, second(1)) },
}

// Every type of value meets every type of column, in rows that have a second conflict,
// in tables whose names differ in case, and in a column with as long a name as can be.
func TestEveryTypeOfValueIsStoredWhateverItsColumnIs(t *testing.T) {
	ctx := longer(t)
	srv := emptyQuestDB(ctx, t)
	long := strings.Repeat("n", 127)
	columns := []string{"SYMBOL", "LONG", "INT", "SHORT", "BYTE", "DOUBLE", "FLOAT", "BOOLEAN", "VARCHAR", "STRING", "TIMESTAMP", "DATE", "UUID", "CHAR", "IPV4", "LONG256"}
	for _, c := range columns {
		exec(ctx, t, srv, fmt.Sprintf(`CREATE TABLE t_%s (v %s, %s LONG, id LONG, timestamp TIMESTAMP) TIMESTAMP(timestamp) PARTITION BY DAY WAL`, c, c, long))
	}
	front := startToll(t, srv.HTTP())
	p, log := openRefused(ctx, t, front.URL, nil)
	rows := 0
	for range 20 {
		s := must(p.Borrow(ctx))(t)
		b := p.NewBatch()
		for _, c := range columns {
			for name, set := range kinds {
				table := "t_" + c
				if rows%2 == 0 {
					table = strings.ToLower(table)
				}
				r := b.Table(table)
				if name == "symbol" {
					r.Symbol("V", "abc").Symbol(long, "x")
				} else {
					set(r, "v")
					r.StringColumn(long, "x")
				}
				check(t, r.Int64Column("id", int64(rows)).At(second(rows)))
				rows++
			}
		}
		check(t, s.Flush(ctx, b))
		s.Return()
	}
	trickle(ctx, t, p)
	stored := 0
	for _, c := range columns {
		stored += number(ctx, t, srv, fmt.Sprintf(`SELECT count_distinct(id) FROM t_%s`, c))
	}
	requests, refused := front.paid()
	letters := int(p.Stats().Letters.Refused.Letters)
	reasons := strings.Count(log.String(), "a column refuses values")
	t.Logf("%d rows: %d stored, %d letters; %d requests, %d refused", rows, stored, letters, requests, refused)
	// Strings that UUID, CHAR, IPv4 and LONG256 cannot parse are letters.
	if stored+letters != rows || letters != 4*20 {
		t.Errorf("%d stored, %d letters of %d rows; %d reasons", stored, letters, rows, reasons)
	}
	if most := 16*6 + 2*16 + 2*letters + 10; refused > most {
		t.Errorf("%d refused, at most %d", refused, most)
	}
}

func TestWithExactlyOnceDriftingRowsAreStoredOnceHoweverOftenTheyAreSent(t *testing.T) {
	ctx := longer(t)
	srv := emptyQuestDB(ctx, t)
	relay := startRelay(t, srv.HTTP())
	relay.lose = 3
	p, _ := openRefused(ctx, t, relay.URL, func(c *sfpool.Config) { c.ExactlyOnce = true })
	storeBatches(ctx, t, p, 20_000, 500, drift)
	until(ctx, t, "rows", func() bool { return p.Stats().Pending == 0 })
	got := sums(ctx, t, srv, "SELECT count(), count(v), count(v__double), count_distinct(id) FROM drift")
	t.Logf("rows, v, v__double, ids: %v; %d answers were lost", got, relay.lost)
	if fmt.Sprint(got) != "[20000 10000 10000 20000]" || relay.lost == 0 {
		t.Errorf("%v, %d answers lost", got, relay.lost)
	}
}

func TestTenBoxesWidenTheSameColumnAtOnce(t *testing.T) {
	ctx := longer(t)
	srv := emptyQuestDB(ctx, t)
	front := startToll(t, srv.HTTP())
	var boxes sync.WaitGroup
	for box := range 10 {
		p, _ := openRefused(ctx, t, front.URL, func(c *sfpool.Config) { c.TypeConflict = sfpool.ConflictWiden })
		boxes.Go(func() {
			storeBatches(ctx, t, p, 2000, 100, func(b *sfpool.Batch, i int) error { return drift(b, 2000*box+i) })
			until(ctx, t, "rows", func() bool { return p.Stats().Pending == 0 })
		})
	}
	boxes.Wait()
	check(t, srv.WaitApplied(ctx))
	columns := must(srv.Query(ctx, `SELECT "column", "type" FROM table_columns('drift') ORDER BY 1`))(t).Rows
	got := sums(ctx, t, srv, "SELECT count(), count(v), count_distinct(id) FROM drift")
	requests, refused := front.paid()
	t.Logf("rows, v, ids: %v; columns %v; %d requests, %d refused", got, columns, requests, refused)
	if fmt.Sprint(got) != "[20000 20000 20000]" || len(columns) != 4 {
		t.Errorf("%v, %v", got, columns)
	}
}

// Telegraf reads a field that is a whole number in one line and none in the next.
func TestTelegrafLosesNoMetricOfAFieldThatChangesItsType(t *testing.T) {
	ctx := longer(t)
	srv := startQuestDB(ctx, t, questdb.Options{})
	front := startToll(t, srv.HTTP())
	a, conn := startTelegraf(ctx, t, config(front.URL, t.TempDir()))
	const rows = 20_000
	for i := 0; i < rows; i += 100 {
		var lines strings.Builder
		for n := i; n < i+100; n++ {
			value := fmt.Sprint(n, "i")
			if n%2 == 1 {
				value = fmt.Sprint(n, ".5")
			}
			fmt.Fprintf(&lines, "drift,host=h%d id=%di,v=%s %d\n", n%10, n, value, second(n).UnixNano())
		}
		_, err := conn.Write([]byte(lines.String()))
		check(t, err)
	}
	until(ctx, t, "rows", func() bool { return rowsOf(ctx, srv, "drift") >= rows })
	got := sums(ctx, t, srv, "SELECT count(), count(v), count(v__double), count_distinct(id) FROM drift")
	_, refused := front.paid()
	said := strings.Count(a.Log(), "a column refuses values of a type")
	t.Logf("rows, v, v__double, ids: %v; %d refused requests; said %d times:\n%s", got, refused, said, line(a.Log(), "a column refuses"))
	if fmt.Sprint(got) != "[20000 10000 10000 20000]" || refused > 40 || said != 1 {
		t.Errorf("%v, %d refused, said %d times", got, refused, said)
	}
	check(t, a.Term())
	check(t, a.Wait(ctx))
}

// line returns the first line of a text that contains some words.
func line(text, words string) string {
	for l := range strings.Lines(text) {
		if strings.Contains(l, words) {
			return strings.TrimSpace(l)
		}
	}
	return ""
}

// Seven metrics of ten thousand have a string where the column is LONG.
func TestTelegrafsPoisonMetricsBecomeDeadLettersAndAllOthersArrive(t *testing.T) {
	ctx := longer(t)
	srv := startQuestDB(ctx, t, questdb.Options{})
	exec(ctx, t, srv, `CREATE TABLE p (v LONG, timestamp TIMESTAMP) TIMESTAMP(timestamp) PARTITION BY DAY WAL`)
	dir := t.TempDir()
	a, conn := startTelegraf(ctx, t, config(srv.HTTP(), dir, `type_conflict = "dead_letter"`))
	for i := range 10_000 {
		value := fmt.Sprint(i, "i")
		if i%1500 == 700 {
			value = `"poison"`
		}
		_, err := fmt.Fprintf(conn, "p v=%s %d\n", value, second(i).UnixNano())
		check(t, err)
	}
	letters := func() int {
		text, _ := os.ReadFile(filepath.Join(dir, "default.refused.lp"))
		return strings.Count(string(text), `"poison"`)
	}
	until(ctx, t, "rows", func() bool { return rowsOf(ctx, srv, "p") == 9993 && letters() == 7 })
	said := strings.Count(a.Log(), "from now on their rows are dead letters")
	t.Logf("9993 rows stored, 7 letters; said %d times: %s", said, line(a.Log(), "from now on"))
	if said != 1 {
		t.Errorf("said %d times", said)
	}
	stop, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	check(t, a.Term())
	check(t, a.Wait(stop))
}
