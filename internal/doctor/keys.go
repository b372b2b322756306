// SPDX-License-Identifier: MIT

package doctor

import (
	"context"
	"slices"
	"strings"

	"github.com/questdb-sf/questdb_sf/internal/rowid"
	"github.com/questdb-sf/questdb_sf/internal/sqlhttp"
)

// askedKeys bounds the tables whose keys are asked for, one by one.
const askedKeys = 100

// examineKeys looks whether the tables have the row id, and it is a key.
func (s *server) examineKeys(ctx context.Context, list []target) {
	rows, err := s.ask(ctx, 1, "SELECT table_name FROM information_schema.columns() WHERE column_name = '"+rowid.Column+"'")
	if err != nil {
		return // of a version that has no such thing
	}
	told, asked := len(s.Findings), 0
	for _, t := range list {
		if len(s.Findings)-told >= manyTables {
			break
		}
		if asked == askedKeys {
			s.say("dedup keys", Warning, "name those that matter with -tables", "the keys of %d tables were looked at, and there are more", asked)
			break
		}
		has := slices.ContainsFunc(rows, func(row []any) bool { return text(row[0]) == t.name })
		if t.kind == "T" && t.wal && (has || t.certain) {
			s.examineKeysOf(ctx, t, has)
			asked++
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

// examineKeysOf looks at the keys of a table, which has the row id or has not.
func (s *server) examineKeysOf(ctx context.Context, t target, has bool) {
	rows, err := s.ask(ctx, 3, `SELECT "column", designated, upsertKey FROM table_columns(`+sqlhttp.Literal(t.name)+
		`) WHERE designated OR upsertKey OR "column" = '`+rowid.Column+"'")
	if err != nil {
		return
	}
	var timestamp string
	var keys []string
	for _, row := range rows {
		if row[1] == true {
			timestamp = text(row[0])
		}
		if row[2] == true {
			keys = append(keys, text(row[0]))
		}
	}
	enable := "ALTER TABLE " + sqlhttp.Quote(t.name) + " DEDUP ENABLE UPSERT KEYS(" + sqlhttp.Quote(timestamp) + ", " + sqlhttp.Quote(rowid.Column) + ")"
	v, name := Warning, s.tableName(t)
	if s.ExactlyOnce {
		v = Failure
	}
	switch {
	case slices.Contains(keys, rowid.Column):
		s.keyed++
	case len(keys) == 1:
		s.add("dedup keys", name, Warning, "run ALTER TABLE "+sqlhttp.Quote(t.name)+" DEDUP DISABLE, unless that is wanted",
			"%s is its only key: of rows with the same time, those of other hosts too, one is left", timestamp)
	case len(keys) > 1:
		s.add("dedup keys", name, OK, "", "%s: of rows that are equal in these one is left, with exactly_once too", strings.Join(keys, ", "))
	case has:
		s.bare++
		s.add("dedup keys", name, v, "run "+enable+`, or set dedup_lost = "restore"`,
			"it has %s, which is no key: rows sent twice are stored twice, and with exactly_once they wait", rowid.Column)
	case s.ExactlyOnce:
		s.bare++
		s.add("dedup keys", name, v, "run ALTER TABLE "+sqlhttp.Quote(t.name)+" ADD COLUMN IF NOT EXISTS "+sqlhttp.Quote(rowid.Column)+
			` LONG, and two minutes later `+enable+`; or set dedup_lost = "restore"`,
			"it has no %s: with exactly_once its rows wait", rowid.Column)
	}
}
