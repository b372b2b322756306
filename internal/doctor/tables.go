// SPDX-License-Identifier: MIT

package doctor

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/link"
	"github.com/questdb-sf/questdb_sf/internal/sqlhttp"
	"github.com/questdb-sf/questdb_sf/internal/tables"
)

// target is a table that rows may go to, as the server has it.
type target struct {
	name           string
	partition      string // HOUR, DAY, …
	ttl            tables.TTL
	wal, suspended bool
	kind           string // T, V or M
	certain        bool   // rows go there
}

// manyTables is how many are told of one by one.
const manyTables = 20

// examineTables looks at the tables that rows go to, as far as is known which: those
// that are certain, those that have the prefix; or all.
func (s *server) examineTables(ctx context.Context) {
	list, err := s.targets(ctx)
	if err != nil {
		s.say("tables", Warning, "allow the user to read tables(), which QuestDB has from 9.3 on", "%v", err)
		return
	}
	s.examineMissing(list)
	told, bad := len(s.Findings), s.Count(Failure)+s.Count(Warning)
	for i, t := range list {
		if len(s.Findings)-told >= manyTables {
			s.say("tables", Warning, "mend what is told of, and look again", "and %d more were not looked at", len(list)-i)
			break
		}
		s.examineTable(ctx, t)
	}
	s.examineKeys(ctx, list)
	if s.Count(Failure)+s.Count(Warning) == bad {
		s.say("tables", OK, "", "%d looked at: none is suspended, a view, or without WAL", len(list))
	}
}

func (s *server) targets(ctx context.Context) (list []target, _ error) {
	rows, err := s.ask(ctx, 7, "SELECT table_name, ttlValue, ttlUnit, walEnabled, table_type, table_suspended, partitionBy FROM tables()")
	if err != nil {
		return nil, err
	}
	for _, row := range rows {
		t := target{name: text(row[0]), kind: text(row[4]), partition: text(row[6])}
		t.ttl, _ = tables.ParseTTL(fmt.Sprint(row[1], " ", text(row[2])))
		t.wal, _ = row[3].(bool)
		t.suspended, _ = row[5].(bool)
		t.certain = s.isCertain(t.name)
		isTable := t.kind != "V" && t.kind != "M"
		if t.certain || s.mayBeOurs(t.name) && (isTable || s.TablePrefix != "") { // views of others are no targets
			list = append(list, t)
		}
	}
	slices.SortStableFunc(list, func(a, b target) int { // those that matter first
		if a.certain == b.certain {
			return strings.Compare(a.name, b.name)
		}
		return map[bool]int{true: -1, false: 1}[a.certain]
	})
	return list, nil
}

func (s *server) isCertain(table string) bool {
	return slices.ContainsFunc(s.Tables, func(name string) bool { return strings.EqualFold(name, table) })
}

// mayBeOurs goes by the prefix. Without one, and with nothing certain, any table may.
func (s *server) mayBeOurs(table string) bool {
	if s.TablePrefix == "" && len(s.Tables) > 0 {
		return false
	}
	system := strings.HasPrefix(table, "sys.") || strings.HasPrefix(table, "telemetry") || strings.HasPrefix(table, "_")
	return !system && strings.HasPrefix(table, s.TablePrefix)
}

// examineMissing tells of tables that are still to be made, and by whom.
func (s *server) examineMissing(list []target) {
	var missing []string
	for _, name := range s.Tables {
		if !slices.ContainsFunc(list, func(t target) bool { return strings.EqualFold(t.name, name) }) {
			missing = append(missing, link.OneLine(name, 120))
		}
	}
	if len(missing) == 0 {
		return
	}
	names := strings.Join(missing[:min(len(missing), manyTables)], ", ")
	if len(missing) > manyTables {
		names += ", …"
	}
	switch {
	case s.Create == tables.Never || s.Create == tables.Server && s.params[autoTables] == "false":
		column := sqlhttp.Quote(s.TimestampColumn)
		s.say("table", Failure, "create each, for example by CREATE TABLE "+sqlhttp.Quote(missing[0])+" ("+column+" TIMESTAMP) TIMESTAMP("+column+
			") PARTITION BY DAY WAL, to which its columns are added with the first rows; until then its rows wait",
			"not there, and neither this box nor the server creates tables: %s", names)
	default:
		s.say("table", OK, "", "not there yet, made for the first row: %s", names)
	}
}

// examineTable tells of a table that is out of the ordinary.
func (s *server) examineTable(ctx context.Context, t target) {
	name := s.tableName(t)
	bad := Failure
	if !t.certain && s.TablePrefix == "" { // it may be somebody else's
		bad = Warning
	}
	quoted := sqlhttp.Quote(t.name)
	switch {
	case t.suspended:
		s.add("table", name, bad, "mend the reason, then run ALTER TABLE "+quoted+" RESUME WAL",
			"suspended: its rows are taken, and nobody sees them: %s", s.whySuspended(ctx, t.name))
	case t.kind == "V" || t.kind == "M":
		s.add("table", name, bad, "have the rows go to another name, or drop the view", "it is a view: rows cannot go there")
	case !t.wal:
		s.add("table", name, bad, "run ALTER TABLE "+quoted+" SET TYPE WAL and restart QuestDB", "it is without WAL: rows cannot go there over the network")
	}
	oldest := t.ttl.Before(s.Now())
	switch {
	case oldest.IsZero() || t.kind != "T":
	case s.Now().Sub(oldest) < s.Outage:
		s.add("ttl", name, Warning, "run "+tables.SetTTL(t.name, enough(t.partition, s.Outage)),
			"%s: rows that waited longer than that in the store are gone as soon as they arrive, and an outage may last %s", t.ttl, Span(s.Outage))
	default:
		s.add("ttl", name, OK, "", "%s", t.ttl)
	}
}

func (s *server) tableName(t target) string { return s.name + " " + link.OneLine(t.name, 120) }

// enough is a TTL longer than an outage, in a unit that goes with the partitions:
// QuestDB has no other.
func enough(partition string, outage time.Duration) tables.TTL {
	const day = 24 * time.Hour
	unit, long := "DAYS", day
	switch partition {
	case "WEEK":
		unit, long = "WEEKS", 7*day
	case "MONTH":
		unit, long = "MONTHS", 28*day
	case "YEAR":
		unit, long = "YEARS", 365*day
	}
	ttl, _ := tables.ParseTTL(fmt.Sprint(int64(outage/long)+1, " ", unit))
	return ttl
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
