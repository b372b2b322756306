// SPDX-License-Identifier: MIT

package e2e

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/link"
	"github.com/questdb-sf/questdb_sf/internal/qwp"
	"github.com/questdb-sf/questdb_sf/internal/rowid"
	"github.com/questdb-sf/questdb_sf/internal/sqlhttp"
	"github.com/questdb-sf/questdb_sf/internal/tables"
	"github.com/questdb-sf/questdb_sf/testutil/questdb"
)

// These tests drive a keeper and a connection by hand: they decide which rows are
// sent when and on which connection, which a pool does not let them.

// courier sends frames as a sender would: what the keeper lets go, with ids where it
// says so.
type courier struct {
	t    testing.TB
	ctx  context.Context
	link *link.Link
	k    *tables.Keeper
	host string
}

func newCourier(ctx context.Context, t testing.TB, url string, c tables.Config) *courier {
	t.Helper()
	l := must(link.New(link.Config{URLs: []string{url}, Transport: link.Auto, Compression: link.CompressionAuto}))(t)
	t.Cleanup(l.CloseIdle)
	c.SQL = sqlhttp.New(l)
	return &courier{t: t, ctx: ctx, link: l, k: must(tables.New(c))(t), host: hostOf(t, url)}
}

// send makes a connection and sends a frame over it. The error is why rows wait.
func (c *courier) send(frame []byte) error {
	c.t.Helper()
	since := time.Now()
	conn := must(c.link.Connect(c.ctx))(c.t)
	defer func() { _ = conn.Close() }()
	var v qwp.View
	check(c.t, v.Parse(frame, nil))
	ids := map[string]bool{}
	for i := range v.Tables() {
		name := v.Tables()[i].Name
		a, err := c.k.Ready(c.ctx, conn.Host(), name, since)
		if err != nil {
			return err
		}
		ids[name] = a.RowID
	}
	var hasher rowid.Hasher
	check(c.t, conn.AddWith(&v, qwp.WholeMessage, func(b *qwp.Table, first, last int) (string, []int64) {
		if !ids[b.Name] {
			return "", nil
		}
		return rowid.Column, hasher.Rows(b, first, last)
	}))
	must(conn.Send(c.ctx))(c.t)
	if o := must(conn.Recv(c.ctx))(c.t); o.Refusal != nil {
		return o.Refusal
	}
	return nil
}

// mustSend fails unless the rows are taken.
func (c *courier) mustSend(frame []byte) {
	c.t.Helper()
	if err := c.send(frame); err != nil {
		c.t.Fatal(err)
	}
}

// mustHold fails unless the rows wait, and returns why.
func (c *courier) mustHold(frame []byte) string {
	c.t.Helper()
	var hold *tables.HoldError
	if err := c.send(frame); !errors.As(err, &hold) {
		c.t.Fatalf("the rows do not wait: %v", err)
	}
	return hold.Reason
}

// restored sends a frame whose table gets its keys back, in two steps of which the
// first has to be applied before the second.
func (c *courier) restored(srv *questdb.Server, frame []byte) {
	c.t.Helper()
	if c.send(frame) != nil {
		check(c.t, srv.WaitApplied(c.ctx))
		c.mustSend(frame)
	}
}

// fleetTime is the one time of a fleet.
const fleetTime = 1_700_000_000_000_000

// fleet is a frame with a row of each of n hosts, all at one time.
func fleet(t testing.TB, table string, n int) []byte {
	t.Helper()
	b := qwp.NewBuilder(16 << 20)
	r := new(qwp.Row)
	for i := range n {
		r.Reset(table)
		r.Symbol("host", fmt.Sprintf("host-%03d", i))
		r.Double("load", 0.5)
		r.Bool("up", i%2 == 0)
		r.At(fleetTime)
		check(t, b.Add(r))
	}
	return b.AppendFrame(nil)
}

// count is how many rows a table has once all is applied.
func count(ctx context.Context, t testing.TB, srv *questdb.Server, table string) int {
	t.Helper()
	check(t, srv.WaitApplied(ctx))
	return number(ctx, t, srv, "SELECT count() FROM "+questdb.Quote(table))
}

// wantRows fails unless a table has n rows of n hosts.
func wantRows(ctx context.Context, t testing.TB, srv *questdb.Server, table string, n int) {
	t.Helper()
	rows := count(ctx, t, srv, table)
	hosts := number(ctx, t, srv, "SELECT count_distinct(host) FROM "+questdb.Quote(table))
	if rows != n || hosts != n {
		t.Errorf("table %s has %d rows of %d hosts, want %d", table, rows, hosts, n)
	}
}

// describe is what tables() and table_columns() say of a table, as a line.
func describe(ctx context.Context, t testing.TB, srv *questdb.Server, table string) string {
	t.Helper()
	name := sqlhttp.Literal(table)
	about := must(srv.Query(ctx, `SELECT designatedTimestamp, partitionBy, ttlValue, ttlUnit, walEnabled, dedup FROM tables() WHERE table_name = `+name))(t)
	if len(about.Rows) != 1 {
		return fmt.Sprintf("%d tables", len(about.Rows))
	}
	var keys []string
	for _, row := range must(srv.Query(ctx, `SELECT "column", "type" FROM table_columns(`+name+`) WHERE upsertKey OR designated`))(t).Rows {
		keys = append(keys, fmt.Sprint(row[0], " ", row[1]))
	}
	return strings.Trim(fmt.Sprint(about.Rows[0]), "[]") + " keys " + strings.Join(keys, ", ")
}

func TestTablesAreCreatedWithKeysTTLAndPartitionAsConfigured(t *testing.T) {
	ctx := realParts(t)
	srv := emptyQuestDB(ctx, t)
	for table, c := range map[string]struct {
		config tables.Config
		want   string
	}{
		"plain":         {tables.Config{Create: tables.SQL, TTL: "30 DAYS"}, "timestamp DAY 30 DAY true false keys timestamp TIMESTAMP"},
		"once":          {tables.Config{ExactlyOnce: true, PartitionBy: "hour", TTL: "3h"}, "timestamp HOUR 3 HOUR true true keys timestamp TIMESTAMP, sf_row_id LONG"},
		"nanos":         {tables.Config{ExactlyOnce: true, PartitionBy: "MONTH", TTL: "2 YEARS", Nanos: true, TimestampColumn: "ts"}, "ts MONTH 2 YEAR true true keys ts TIMESTAMP_NS, sf_row_id LONG"},
		"select from ✓": {tables.Config{ExactlyOnce: true, TimestampColumn: "group"}, "group DAY 0 HOUR true true keys group TIMESTAMP, sf_row_id LONG"},
	} {
		newCourier(ctx, t, srv.HTTP(), c.config).mustSend(fleet(t, table, 10))
		if got := describe(ctx, t, srv, table); got != c.want {
			t.Errorf("%s: %s\nwant %s", table, got, c.want)
		}
		wantRows(ctx, t, srv, table, 10)
	}
}

// TestPartitionsAndTTLsAreCheckedAsQuestDBDoes: what Validate lets pass is taken, what
// it refuses would be refused.
func TestPartitionsAndTTLsAreCheckedAsQuestDBDoes(t *testing.T) {
	ctx := realParts(t)
	srv := emptyQuestDB(ctx, t)
	for _, partition := range []string{"HOUR", "DAY", "WEEK", "MONTH", "YEAR", "NONE"} {
		for _, ttl := range []string{"1 HOUR", "25 HOURS", "48h", "168 HOURS", "1d", "14 DAYS", "365 DAYS", "3w", "1M", "18 MONTHS", "24 MONTHS", "2 YEARS", "89478485 DAYS", "89478486 DAYS"} {
			table := "t " + partition + ttl
			c := newCourierConfig(tables.Config{Create: tables.SQL, PartitionBy: partition, TTL: ttl})
			refused := c.Validate()
			_, err := srv.Query(ctx, fmt.Sprintf(`CREATE TABLE %s (ts TIMESTAMP) TIMESTAMP(ts) PARTITION BY %s TTL %s WAL`, questdb.Quote(table), partition, ttl))
			if (refused == nil) != (err == nil) {
				t.Errorf("PARTITION BY %s TTL %s: Validate says %v, QuestDB %v", partition, ttl, refused, err)
			}
		}
	}
}

// newCourierConfig is a configuration that is only looked at.
func newCourierConfig(c tables.Config) tables.Config {
	c.SQL = sqlhttp.New(nil)
	return c
}

func TestTwoHundredHostsAtOneTimeStayTwoHundredHoweverOftenTheyAreSent(t *testing.T) {
	ctx := realParts(t)
	srv := emptyQuestDB(ctx, t)
	with := newCourier(ctx, t, srv.HTTP(), tables.Config{ExactlyOnce: true})
	without := newCourier(ctx, t, srv.HTTP(), tables.Config{})
	frame := fleet(t, "cpu", 200)
	for range 3 {
		with.mustSend(frame)
		wantRows(ctx, t, srv, "cpu", 200)
	}
	for range 3 {
		without.mustSend(frame)
		wantRows(ctx, t, srv, "cpu", 200)
	}
	// What the id is for: the same rows without one.
	exec(ctx, t, srv, `CREATE TABLE "mem" (timestamp TIMESTAMP, sf_row_id LONG) TIMESTAMP(timestamp) PARTITION BY DAY WAL DEDUP UPSERT KEYS(timestamp, sf_row_id)`)
	conn := must(without.link.Connect(ctx))(t)
	defer func() { _ = conn.Close() }()
	var v qwp.View
	check(t, v.Parse(fleet(t, "mem", 200), nil))
	check(t, conn.Add(&v, qwp.WholeMessage))
	must(conn.Send(ctx))(t)
	must(conn.Recv(ctx))(t)
	if n := count(ctx, t, srv, "mem"); n != 1 {
		t.Errorf("without ids %d rows are left: the ids are not what keeps them apart", n)
	}
}

func TestRowsInPartsAndInOtherFramesAreTheSameRows(t *testing.T) {
	ctx := realParts(t)
	srv := emptyQuestDB(ctx, t)
	c := newCourier(ctx, t, srv.HTTP(), tables.Config{ExactlyOnce: true})
	frame := fleet(t, "cpu", 200)
	c.mustSend(frame)
	var v qwp.View
	check(t, v.Parse(frame, nil))
	for first := 0; first < 200; first += 50 {
		c.mustSend(v.AppendPart(nil, qwp.Part{Table: 0, First: first, Last: first + 50}))
	}
	wantRows(ctx, t, srv, "cpu", 200)
}

func TestATableDroppedAndCreatedAnewIsHeldOrRestored(t *testing.T) {
	ctx := realParts(t)
	srv := emptyQuestDB(ctx, t)
	frame := fleet(t, "cpu", 200)
	hold := newCourier(ctx, t, srv.HTTP(), tables.Config{ExactlyOnce: true})
	hold.mustSend(frame)
	exec(ctx, t, srv, `DROP TABLE cpu`)
	// Another client writes, and so the server creates it in its own way.
	exec(ctx, t, srv, `CREATE TABLE cpu (host SYMBOL, load DOUBLE, timestamp TIMESTAMP) TIMESTAMP(timestamp) PARTITION BY DAY WAL`)
	why := hold.mustHold(frame)
	if n := count(ctx, t, srv, "cpu"); n != 0 {
		t.Errorf("%d rows were sent to a table without keys", n)
	}
	for _, sql := range statements(why) {
		exec(ctx, t, srv, sql) // what the log says has to work
	}
	check(t, srv.WaitApplied(ctx))
	hold.mustSend(frame)
	hold.mustSend(frame)
	wantRows(ctx, t, srv, "cpu", 200)

	exec(ctx, t, srv, `DROP TABLE cpu`)
	exec(ctx, t, srv, `CREATE TABLE cpu (host SYMBOL, load DOUBLE, timestamp TIMESTAMP) TIMESTAMP(timestamp) PARTITION BY DAY WAL`)
	restore := newCourier(ctx, t, srv.HTTP(), tables.Config{ExactlyOnce: true, DedupLost: tables.Restore, Notice: 1})
	restore.restored(srv, frame)
	restore.mustSend(frame)
	wantRows(ctx, t, srv, "cpu", 200)
}

// TestRestoredKeysHoldForRowsThatAreSentBeforeTheyAreApplied is why rows need not wait
// for a server that lags behind with the log of a table.
func TestRestoredKeysHoldForRowsThatAreSentBeforeTheyAreApplied(t *testing.T) {
	ctx := realParts(t)
	srv := startQuestDB(ctx, t, questdb.Options{Settings: map[string]string{"dev.mode.enabled": "true"}})
	exec(ctx, t, srv, `CREATE TABLE cpu (host SYMBOL, load DOUBLE, timestamp TIMESTAMP) TIMESTAMP(timestamp) PARTITION BY DAY WAL`)
	exec(ctx, t, srv, `ALTER TABLE cpu ADD COLUMN sf_row_id LONG`)
	check(t, srv.WaitApplied(ctx))
	exec(ctx, t, srv, `ALTER TABLE cpu SUSPEND WAL`)
	frame := fleet(t, "cpu", 200)
	c := newCourier(ctx, t, srv.HTTP(), tables.Config{ExactlyOnce: true, DedupLost: tables.Restore, Notice: 1})
	for range 3 {
		c.mustSend(frame)
	}
	if n := number(ctx, t, srv, `SELECT count() FROM table_columns('cpu') WHERE upsertKey`); n != 0 {
		t.Errorf("%d keys: the table was not behind, and this proves nothing", n)
	}
	exec(ctx, t, srv, `ALTER TABLE cpu RESUME WAL`)
	wantRows(ctx, t, srv, "cpu", 200)
}

func TestRowsWaitWhileKeysCannotBeReadAndNoneIsErasedOrDoubled(t *testing.T) {
	ctx := realParts(t)
	srv := emptyQuestDB(ctx, t)
	via := startRelay(t, srv.HTTP())
	frame := fleet(t, "cpu", 200)
	for _, exactlyOnce := range []bool{true, false} { // the first makes the table
		courier := newCourier(ctx, t, via.URL, tables.Config{ExactlyOnce: exactlyOnce})
		via.refuseSQL(true)
		if err := courier.send(frame); err == nil || !strings.Contains(err.Error(), "503") {
			t.Errorf("exactly_once %t: %v", exactlyOnce, err)
		}
		via.refuseSQL(false)
		courier.mustSend(frame) // on a new connection it is asked at once
		wantRows(ctx, t, srv, "cpu", 200)
	}
}

func TestAnExistingTimestampOfAnotherNameIsUsed(t *testing.T) {
	ctx := realParts(t)
	srv := emptyQuestDB(ctx, t)
	exec(ctx, t, srv, `CREATE TABLE cpu ("when" TIMESTAMP) TIMESTAMP("when") PARTITION BY DAY WAL`)
	frame := fleet(t, "cpu", 200)
	newCourier(ctx, t, srv.HTTP(), tables.Config{ExactlyOnce: true}).mustHold(frame)
	c := newCourier(ctx, t, srv.HTTP(), tables.Config{ExactlyOnce: true, DedupLost: tables.Restore, Notice: 1})
	c.restored(srv, frame)
	c.mustSend(frame)
	wantRows(ctx, t, srv, "cpu", 200)
	if got := describe(ctx, t, srv, "cpu"); !strings.HasSuffix(got, "keys when TIMESTAMP, sf_row_id LONG") {
		t.Error(got)
	}
}

func TestTheUsersOwnKeysAreLeftAlone(t *testing.T) {
	ctx := realParts(t)
	srv := emptyQuestDB(ctx, t)
	exec(ctx, t, srv, `CREATE TABLE cpu (timestamp TIMESTAMP, host SYMBOL) TIMESTAMP(timestamp) PARTITION BY DAY WAL DEDUP UPSERT KEYS(timestamp, host)`)
	frame := fleet(t, "cpu", 200)
	for _, c := range []tables.Config{{}, {ExactlyOnce: true}, {ExactlyOnce: true, DedupLost: tables.Restore}} {
		newCourier(ctx, t, srv.HTTP(), c).mustSend(frame)
		wantRows(ctx, t, srv, "cpu", 200)
	}
	if got := describe(ctx, t, srv, "cpu"); got != "timestamp DAY 0 HOUR true true keys timestamp TIMESTAMP, host SYMBOL" {
		t.Error(got)
	}
}

func TestTargetsThatTakeNoRowsAreToldApart(t *testing.T) {
	ctx := realParts(t)
	srv := emptyQuestDB(ctx, t)
	exec(ctx, t, srv, `CREATE TABLE base (timestamp TIMESTAMP, v LONG) TIMESTAMP(timestamp) PARTITION BY DAY WAL`)
	exec(ctx, t, srv, `CREATE VIEW seen AS (SELECT * FROM base)`)
	exec(ctx, t, srv, `CREATE TABLE timeless (v LONG)`)
	exec(ctx, t, srv, `CREATE TABLE nowal (timestamp TIMESTAMP, v LONG) TIMESTAMP(timestamp) PARTITION BY DAY BYPASS WAL`)
	defer exec(ctx, t, srv, `DROP VIEW seen`) // the next test drops tables only
	for _, lost := range []tables.Lost{tables.Hold, tables.Restore} {
		c := newCourier(ctx, t, srv.HTTP(), tables.Config{ExactlyOnce: true, DedupLost: lost})
		for _, table := range []string{"seen", "timeless", "nowal"} {
			t.Logf("%v %s: %s", lost, table, c.mustHold(fleet(t, table, 1)))
		}
	}
	off := newCourier(ctx, t, srv.HTTP(), tables.Config{})
	off.mustHold(fleet(t, "timeless", 1))
	for _, table := range []string{"seen", "nowal"} { // the server says why itself
		var refused *link.Refusal
		if err := off.send(fleet(t, table, 1)); !errors.As(err, &refused) || refused.Class != link.ServerState {
			t.Errorf("%s: %v", table, err)
		}
	}
	newCourier(ctx, t, srv.HTTP(), tables.Config{Create: tables.Never}).mustHold(fleet(t, "nothing", 1))
}

func TestTwentyKeepersCreateTheSameTenTables(t *testing.T) {
	ctx := realParts(t)
	srv := emptyQuestDB(ctx, t)
	var wg sync.WaitGroup
	var fleet [20]*courier
	for i := range fleet {
		fleet[i] = newCourier(ctx, t, srv.HTTP(), tables.Config{ExactlyOnce: true, PartitionBy: "HOUR", TTL: "2 HOURS"})
	}
	began := time.Now()
	for _, c := range fleet {
		wg.Go(func() {
			for table := range 10 {
				a, err := c.k.Ready(ctx, c.host, fmt.Sprint("race", table), began)
				if err != nil || !a.RowID {
					t.Errorf("table %d: %+v, %v", table, a, err)
				}
			}
		})
	}
	wg.Wait()
	for table := range 10 {
		if got := describe(ctx, t, srv, fmt.Sprint("race", table)); got != "timestamp HOUR 2 HOUR true true keys timestamp TIMESTAMP, sf_row_id LONG" {
			t.Errorf("table %d: %s", table, got)
		}
	}
}
