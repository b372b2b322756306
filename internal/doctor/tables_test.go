// SPDX-License-Identifier: MIT

package doctor_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/doctor"
	"github.com/questdb-sf/questdb_sf/internal/rowid"
	"github.com/questdb-sf/questdb_sf/testutil/qwpserver"
)

// answer writes rows of cells, in JSON, as QuestDB does.
func answer(columns int, rows ...string) (int, string) {
	head := make([]string, columns)
	for i := range head {
		head[i] = fmt.Sprintf(`{"name":"c%d","type":"VARCHAR"}`, i)
	}
	return 200, fmt.Sprintf(`{"columns":[%s],"dataset":[%s]}`, strings.Join(head, ","), strings.Join(rows, ","))
}

// town has 150 tables with the row id as a key, one of them suspended, and a view.
func town(asked *atomic.Int64) func(sql string) (int, string) {
	return func(sql string) (int, string) {
		switch {
		case strings.Contains(sql, "now()"):
			return answer(1, fmt.Sprintf("[%q]", time.Now().UTC().Format(time.RFC3339Nano)))
		case strings.Contains(sql, "table_columns("):
			asked.Add(1)
			return answer(3, `["timestamp",true,true]`, `["`+rowid.Column+`",false,true]`)
		case strings.Contains(sql, "FROM tables()"):
			rows := []string{`["aview",0,"HOUR",true,"V",false,"DAY"]`}
			for i := range 150 {
				rows = append(rows, fmt.Sprintf(`["t%03d",0,"HOUR",true,"T",%t,"DAY"]`, i, i == 7))
			}
			return answer(7, rows...)
		case strings.Contains(sql, "information_schema"):
			var rows []string
			for i := range 150 {
				rows = append(rows, fmt.Sprintf(`["t%03d"]`, i))
			}
			return answer(1, rows...)
		}
		return 400, `{"error":"no such thing","position":0}`
	}
}

func TestAServerOfOthersIsNotAskedWithoutEnd(t *testing.T) {
	var asked atomic.Int64
	srv := serve(t, qwpserver.Options{Exec: town(&asked)})
	r := examine(t, talkingTo(healthy(t), srv.URL()))
	if n := asked.Load(); n != 100 {
		t.Errorf("the keys of %d tables were asked for", n)
	}
	want(t, r, "dedup keys", srv.URL(), doctor.Warning, "100 tables were looked at, and there are more")
	want(t, r, "table", "t007", doctor.Warning, "suspended") // nobody knows that rows go there
	for _, f := range r.Findings {
		if strings.Contains(f.Subject, "aview") {
			t.Errorf("a view of others is told of: %+v", f)
		}
	}
	p := talkingTo(healthy(t), srv.URL())
	p.Tables = []string{"T007", "aview"}
	r = examine(t, p)
	want(t, r, "table", "t007", doctor.Failure, "suspended")
	want(t, r, "table", "aview", doctor.Failure, "it is a view")
}
