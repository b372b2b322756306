// SPDX-License-Identifier: MIT

package doctor

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/questdb-sf/questdb_sf/internal/link"
	"github.com/questdb-sf/questdb_sf/internal/rowid"
	"github.com/questdb-sf/questdb_sf/internal/sqlhttp"
	"github.com/questdb-sf/questdb_sf/internal/tables"
)

// The properties that matter.
const (
	autoTables  = "line.auto.create.new.tables"
	autoColumns = "line.auto.create.new.columns"
	limitHTTP   = "http.net.connection.limit"
	limitILP    = "http.ilp.connection.limit"
)

// ask runs a statement and returns its rows, each with as many values as are wanted.
func (s *server) ask(ctx context.Context, columns int, sql string) ([][]any, error) {
	r, err := s.sql.Exec(ctx, s.host, sql)
	if err == nil && len(r.Columns) != columns {
		err = fmt.Errorf("%s answers with %d columns where %d were asked for", s.host, len(r.Columns), columns)
	}
	if err != nil {
		return nil, err
	}
	return r.Rows, nil
}

// examineParameters asks how the server is set up, where this user may know.
func (s *server) examineParameters(ctx context.Context) {
	rows, err := s.ask(ctx, 2, "SELECT property_path, value FROM (SHOW PARAMETERS) WHERE property_path IN ('"+
		strings.Join([]string{autoTables, autoColumns, limitHTTP, limitILP}, "', '")+"')")
	if err != nil {
		s.say("parameters", OK, "", "not shown to this user: auto-create and connection limits are not known")
		return
	}
	s.params = map[string]string{}
	for _, row := range rows {
		s.params[text(row[0])] = text(row[1])
	}
	s.examineAutoCreate()
	s.examineLimits()
}

func (s *server) examineAutoCreate() {
	var off []string
	for _, p := range []string{autoTables, autoColumns} {
		if s.params[p] == "false" && (p == autoColumns || !s.CreatesTables) {
			off = append(off, p)
		}
	}
	if len(off) > 0 {
		s.say("auto-create", Warning, "switch it on at the server, or create tables and columns yourself: rows of those that are missing wait",
			"%s is off", strings.Join(off, " and "))
		return
	}
	s.say("auto-create", OK, "", "on")
}

// fewConnections is a limit that a handful of boxes use up.
const fewConnections = 32

func (s *server) examineLimits() {
	limit, which := 0, ""
	for _, p := range []string{limitHTTP, limitILP} {
		if n, err := strconv.Atoi(s.params[p]); err == nil && n > 0 && (which == "" || n < limit) {
			limit, which = n, p
		}
	}
	switch {
	case which == "":
		s.say("connections", OK, "", "no limit is known")
	case limit < fewConnections:
		s.say("connections", Warning, "raise "+which+" where many boxes write: each has max_connections of them",
			"the server takes %d in all (%s)", limit, which)
	default:
		s.say("connections", OK, "", "the server takes %d in all (%s)", limit, which)
	}
}

// target is a table that rows may go to, as the server has it.
type target struct {
	name           string
	ttl            tables.TTL
	wal, suspended bool
	kind           string // T, V or M
}

// manyTables is how many are told of one by one.
const manyTables = 20

// examineTables looks at the tables that rows go to, as far as is known which: those
// that are named, have the prefix, or all.
func (s *server) examineTables(ctx context.Context) {
	list, err := s.targets(ctx)
	if err != nil {
		s.say("tables", Warning, "allow the user to read tables(), which QuestDB has from 9.3 on", "%v", err)
		return
	}
	told := len(s.Findings)
	for i, t := range list {
		if len(s.Findings)-told >= manyTables {
			s.say("tables", Warning, "name some with -tables", "and %d more were not looked at", len(list)-i)
			break
		}
		s.examineTable(ctx, t)
	}
	if len(s.Findings) == told {
		s.say("tables", OK, "", "%d looked at: none is suspended, a view, or without WAL", len(list))
	}
	s.examineKeys(ctx)
}

func (s *server) targets(ctx context.Context) (list []target, _ error) {
	rows, err := s.ask(ctx, 6, "SELECT table_name, ttlValue, ttlUnit, walEnabled, table_type, table_suspended FROM tables()")
	if err != nil {
		return nil, err
	}
	for _, row := range rows {
		t := target{name: text(row[0]), kind: text(row[4])}
		t.ttl, _ = tables.ParseTTL(fmt.Sprint(row[1], " ", text(row[2])))
		t.wal, _ = row[3].(bool)
		t.suspended, _ = row[5].(bool)
		if s.isOurs(t.name) {
			list = append(list, t)
		}
	}
	return list, nil
}

// named says whether the tables were named, so that they are ours for certain.
func (s *server) named() bool { return len(s.Tables) > 0 || s.TablePrefix != "" }

func (s *server) isOurs(table string) bool {
	if len(s.Tables) > 0 {
		return slices.ContainsFunc(s.Tables, func(name string) bool { return strings.EqualFold(name, table) })
	}
	system := strings.HasPrefix(table, "sys.") || strings.HasPrefix(table, "telemetry") || strings.HasPrefix(table, "_")
	return !system && strings.HasPrefix(table, s.TablePrefix)
}

// examineTable tells of a table that is out of the ordinary.
func (s *server) examineTable(ctx context.Context, t target) {
	name := s.name + " " + link.OneLine(t.name, 120)
	bad := Failure
	if !s.named() { // it may be somebody else's
		bad = Warning
	}
	quoted := sqlhttp.Quote(t.name)
	switch {
	case t.suspended:
		s.add("table", name, bad, "mend the reason, then run ALTER TABLE "+quoted+" RESUME WAL",
			"suspended: its rows are taken, and nobody sees them: %s", s.whySuspended(ctx, t.name))
	case t.kind == "V" || t.kind == "M":
		if s.named() {
			s.add("table", name, bad, "have the rows go to another name, or drop the view", "it is a view: rows cannot go there")
		}
	case !t.wal:
		s.add("table", name, bad, "run ALTER TABLE "+quoted+" SET TYPE WAL and restart QuestDB", "it is without WAL: rows cannot go there over the network")
	}
	if oldest := t.ttl.Before(s.Now()); !oldest.IsZero() {
		v := OK
		if s.Now().Sub(oldest) < s.Outage {
			v = Warning
		}
		s.add("ttl", name, v, "raise its TTL: rows that waited longer than that in the store are gone as soon as they arrive", "%s", t.ttl)
	}
}

// whySuspended asks for the words of the server.
func (s *server) whySuspended(ctx context.Context, table string) string {
	rows, err := s.ask(ctx, 3, "SELECT errorTag, errorMessage, sequencerTxn - writerTxn FROM wal_tables() WHERE name = "+sqlhttp.Literal(table))
	if err != nil || len(rows) == 0 {
		return "the server does not say why"
	}
	behind, _ := rows[0][2].(json.Number)
	why := strings.Trim(text(rows[0][0])+": "+text(rows[0][1]), ": ")
	if why == "" {
		why = "the server does not say why"
	}
	return fmt.Sprintf("%s (%s transactions behind)", link.OneLine(why, 200), behind)
}

// examineKeys looks whether tables with the row id have it as a key.
func (s *server) examineKeys(ctx context.Context) {
	rows, err := s.ask(ctx, 1, "SELECT table_name FROM information_schema.columns() WHERE column_name = '"+rowid.Column+"' LIMIT 200")
	if err != nil {
		return // of a version that has no such thing
	}
	for _, row := range rows {
		if name := text(row[0]); s.isOurs(name) {
			s.examineKeysOf(ctx, name)
		}
	}
	switch {
	case s.bare > 0:
	case s.keyed > 0:
		s.say("dedup keys", OK, "", "%d tables have them with %s: rows sent twice are stored once", s.keyed, rowid.Column)
	case s.ExactlyOnce:
		s.say("dedup keys", OK, "", "no table has %s yet: those that exactly_once creates will", rowid.Column)
	}
}

func (s *server) examineKeysOf(ctx context.Context, table string) {
	rows, err := s.ask(ctx, 2, `SELECT "column", upsertKey FROM table_columns(`+sqlhttp.Literal(table)+
		`) WHERE "column" = '`+rowid.Column+`' OR designated ORDER BY "column" = '`+rowid.Column+"'")
	if err != nil || len(rows) != 2 {
		return
	}
	if rows[1][1] == true {
		s.keyed++
		return
	}
	s.bare++
	v := Warning
	if s.ExactlyOnce {
		v = Failure
	}
	s.add("dedup keys", s.name+" "+link.OneLine(table, 120), v,
		"run ALTER TABLE "+sqlhttp.Quote(table)+" DEDUP ENABLE UPSERT KEYS("+sqlhttp.Quote(text(rows[0][0]))+", "+sqlhttp.Quote(rowid.Column)+`), or set dedup_lost = "restore"`,
		"it has %s, which is no key: rows sent twice are stored twice, and with exactly_once they wait", rowid.Column)
}
