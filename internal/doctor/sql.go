// SPDX-License-Identifier: MIT

package doctor

import (
	"context"
	"fmt"
	"strconv"
	"strings"

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
		if s.params[p] == "false" && (p == autoColumns || s.Create == tables.Server) {
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
