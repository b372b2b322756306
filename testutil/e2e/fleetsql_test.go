// SPDX-License-Identifier: MIT

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	about "github.com/questdb-sf/questdb_sf/internal/fleet"
	"github.com/questdb-sf/questdb_sf/testutil/execd"
	"github.com/questdb-sf/questdb_sf/testutil/gen"
	"github.com/questdb-sf/questdb_sf/testutil/questdb"
)

// finds are the made-up boxes that the statements of docs/fleet.md must find, by
// section; nothing else, and not the real box. Late and long have every trouble, and
// nothing newer has come from them for three days and for nine.
var finds = map[string][]string{
	"Boxes silent too long":    {"silent", "away", "gone", "jumped", "late", "long"},
	"Backlog not shrinking":    {"stuck", "away", "rare", "late", "long"},
	"Any loss":                 {"damaged", "losing", "lost", "late", "long"},
	"Loss in an outage":        {"outage"},
	"Full in less than a day":  {"filling", "full", "blocked", "away", "late", "long"},
	"Clock off":                {"behind", "ahead", "future", "jumped", "late", "long"},
	"Certificate expiring":     {"cert", "lapsed", "late", "long"},
	"Outages of the last week": {"outage", "patient", about.Box()},
}

// columns of the made-up rows; what a row does not say is that of a box in health.
var columns = map[string]string{
	"sender_id": "'default'", "timestamp": "now()", "started": time.Now().AddDate(0, 0, -30).UTC().Format("'2006-01-02T15:04:05.000000Z'::timestamp"), "every_s": "60L", "pending_rows": "3L",
	"pending_bytes": "300L", "oldest_age_s": "9L", "in_bytes_s": "10.0", "out_bytes_s": "10.0", "lost": "7L", "incidents": "1L",
	"store_bytes": "500L", "store_max_bytes": "1000L", "time_to_full_s": "-1L", "clock_ahead_s": "0L", "cert_not_after": "'9999-12-31T00:00:00.000000Z'::timestamp",
}

// inTrouble is what a box says that has a backlog, and everything else.
const inTrouble = "pending_rows=4000L oldest_age_s=7200L out_bytes_s=5.0 time_to_full_s=80000L clock_ahead_s=400L cert_not_after=dateadd('d',3,now())"

// made are the made-up rows of questdb_sf_status: box, and what is special of it.
var made = []struct{ box, what string }{
	{"well", "clock_ahead_s=-2L cert_not_after=dateadd('d',90,now()) time_to_full_s=3600L"},
	{"well", "sender_id='second' pending_bytes=200L"},
	{"well2", "out_bytes_s=5.0 time_to_full_s=3600L"}, // a small store, and nothing is amiss
	{"old", "timestamp=dateadd('h',-2,now())"}, {"old", ""},
	{"silent", "timestamp=dateadd('m',-9,now())"},
	{"quiet", "timestamp=dateadd('m',-7,now())"},                 // three of its minutes, and not five more
	{"seldom", "timestamp=dateadd('m',-90,now()) every_s=3600L"}, // not three of its hours
	{"stuck", "timestamp=dateadd('m',-50,now()) pending_rows=40L oldest_age_s=3000L"},
	{"stuck", "timestamp=dateadd('m',-20,now()) pending_rows=60L oldest_age_s=5000L"},
	{"stuck", "pending_rows=50L oldest_age_s=6000L"},
	{"shrinking", "timestamp=dateadd('m',-50,now()) pending_rows=40L oldest_age_s=3000L"},
	{"shrinking", "pending_rows=20L oldest_age_s=600L"},
	{"busy", "timestamp=dateadd('m',-50,now()) pending_rows=40L oldest_age_s=3000L"}, // it had nothing in between
	{"busy", "timestamp=dateadd('m',-20,now()) pending_rows=0L oldest_age_s=0L"}, {"busy", "pending_rows=90L oldest_age_s=900L"},
	{"fresh", "timestamp=dateadd('m',-50,now()) pending_rows=40L"}, {"fresh", "pending_rows=50L oldest_age_s=200L"}, // others all the time
	{"rare", "timestamp=dateadd('m',-220,now()) every_s=3600L pending_rows=40L oldest_age_s=3000L"},
	{"rare", "timestamp=dateadd('m',-40,now()) every_s=3600L pending_rows=60L oldest_age_s=9000L"},
	{"rarely", "timestamp=dateadd('m',-220,now()) every_s=3600L pending_rows=40L oldest_age_s=3000L"}, // it shrinks
	{"rarely", "timestamp=dateadd('m',-40,now()) every_s=3600L pending_rows=20L oldest_age_s=9000L"},
	{"young", "timestamp=dateadd('m',-20,now()) pending_rows=40L"}, {"young", "pending_rows=50L oldest_age_s=1200L"},
	{"lost", "timestamp=dateadd('h',-4,now())"}, {"lost", "lost=8L"},
	{"earlier", "timestamp=dateadd('d',-8,now()) lost=0L incidents=0L"}, {"earlier", ""}, // before the last week
	{"losing", "started=dateadd('h',-4,now()) incidents=0L"},
	{"restarted", "started=dateadd('h',-4,now()) lost=0L incidents=0L"},
	{"damaged", "timestamp=dateadd('h',-4,now())"}, {"damaged", "incidents=2L"},
	{"filling", "oldest_age_s=600L out_bytes_s=5.0 time_to_full_s=80000L"},
	{"away", "timestamp=dateadd('h',-26,now()) oldest_age_s=600L out_bytes_s=5.0 time_to_full_s=80000L"},
	{"emptying", "oldest_age_s=600L out_bytes_s=50.0 time_to_full_s=80000L"},
	{"unknown", "oldest_age_s=600L out_bytes_s=5.0"},
	{"far", "oldest_age_s=600L out_bytes_s=5.0 time_to_full_s=90000L"},
	// A backlog that does not grow has a time to full in one version, and none in another.
	{"steady", "oldest_age_s=600L time_to_full_s=80000L"}, {"steady2", "oldest_age_s=600L"},
	{"full", "oldest_age_s=600L out_bytes_s=0.0 pending_bytes=950L store_bytes=1000L"}, // it drops its oldest
	{"blocked", "oldest_age_s=600L in_bytes_s=0.0 out_bytes_s=0.0 pending_bytes=950L store_bytes=1000L"},
	{"relieved", "oldest_age_s=600L out_bytes_s=50.0 pending_bytes=950L store_bytes=1000L"},
	{"idle", "in_bytes_s=0.0 out_bytes_s=0.0 pending_bytes=0L pending_rows=0L oldest_age_s=0L store_bytes=1000L"}, // of empty files
	{"gone", "timestamp=dateadd('d',-9,now())"},                                                                   // and nothing was amiss with it
	{"jumped", "timestamp=dateadd('m',-9,now())"}, {"jumped", "timestamp=dateadd('d',20,now())"},                  // its clock was wrong for a while
	{"late", "timestamp=dateadd('h',-80,now())"}, {"late", "timestamp=dateadd('h',-72,now()) lost=8L " + inTrouble},
	{"long", "timestamp=dateadd('d',-9,now()) " + inTrouble},
	{"nearly", "clock_ahead_s=29L"}, {"soon", "timestamp=dateadd('s',30,now())"},
	{"behind", "clock_ahead_s=-31L"}, {"ahead", "clock_ahead_s=400L"}, {"future", "timestamp=dateadd('m',20,now())"},
	{"cert", "cert_not_after=dateadd('d',3,now())"}, {"lapsed", "cert_not_after=dateadd('d',-1,now())"},
	{"later", "cert_not_after=dateadd('d',15,now())"},
}

// insert makes a box up.
func insert(ctx context.Context, t testing.TB, srv *questdb.Server, box, what string) {
	t.Helper()
	names, values := []string{"box"}, []string{"'" + box + "'"}
	for name, value := range columns {
		if _, own, ok := strings.Cut(" "+what, " "+name+"="); ok {
			value, _, _ = strings.Cut(own, " ")
		}
		names, values = append(names, name), append(values, value)
	}
	exec(ctx, t, srv, "INSERT INTO questdb_sf_status ("+strings.Join(names, ", ")+") SELECT "+strings.Join(values, ", "))
}

// questions are the statements of docs/fleet.md by section.
func questions(t testing.TB) map[string][]string {
	t.Helper()
	text := string(must(os.ReadFile("../../docs/fleet.md"))(t))
	all := map[string][]string{}
	for _, section := range strings.Split(text, "\n## ")[1:] {
		title, body, _ := strings.Cut(section, "\n")
		for _, m := range regexp.MustCompile("(?ms)^```sql\n(.*?)^```").FindAllStringSubmatch(body, -1) {
			all[title] = append(all[title], strings.TrimSpace(m[1]))
		}
	}
	return all
}

// cutOff is a real box that was cut off for more than 10 s, and the server that it
// found then. It writes no row of status before it has told of the outage.
func cutOff(ctx context.Context, t testing.TB) *questdb.Server {
	t.Helper()
	ln := must(net.Listen("tcp", "127.0.0.1:0"))(t)
	port := ln.Addr().(*net.TCPAddr).Port
	check(t, ln.Close())
	box := must(execd.Start(config(fmt.Sprintf("http://127.0.0.1:%d", port), t.TempDir(), `status_rows = "1s"`)))(t)
	t.Cleanup(box.Close)
	_, err := box.Stdin.Write(gen.Set{Seed: 81}.Lines(0, 100))
	check(t, err)
	check(t, box.WaitLog(ctx, "no connection")) // with which the outage begins
	time.Sleep(about.Blip)
	srv := startQuestDB(ctx, t, questdb.Options{HTTPPort: port})
	for _, table := range []string{about.EventsTable, about.StatusTable} {
		waitFor(ctx, t, srv, "SELECT count() FROM "+table+"")
	}
	return srv
}

// waitFor waits until a count is not 0; a table that is missing counts as such.
func waitFor(ctx context.Context, t testing.TB, srv *questdb.Server, sql string) {
	t.Helper()
	for {
		if res, err := srv.Query(ctx, sql); err == nil && fmt.Sprint(res.Rows[0][0]) != "0" {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s: %v", sql, ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func TestEveryStatementForTheFleetFindsExactlyTheBadBox(t *testing.T) {
	t.Parallel() // it waits for an outage, and for a server of its own
	ctx := realParts(t)
	srv := cutOff(ctx, t)
	outageIsRight(ctx, t, srv)
	for _, m := range made {
		insert(ctx, t, srv, m.box, m.what)
	}
	for box, what := range map[string]string{"outage": "now(), 7L", "patient": "now(), 0L", "past": "dateadd('d', -8, now()), 7L"} {
		exec(ctx, t, srv, `INSERT INTO questdb_sf_events (box, sender_id, "from", "to", rows, bytes, cause, timestamp, lost)
			SELECT '`+box+`', 'default', dateadd('h', -1, now()), now(), 5L, 6L, 'store: full', `+what)
	}
	check(t, srv.WaitApplied(ctx))
	all := questions(t)
	for title, want := range finds {
		if len(all[title]) != 1 {
			t.Fatalf("%d statements under %q", len(all[title]), title)
		}
		res, err := srv.Query(ctx, all[title][0])
		if err != nil {
			t.Errorf("%s: %v", title, err)
			continue
		}
		boxes := boxesOf(res)
		slices.Sort(want)
		if !slices.Equal(boxes, want) {
			t.Errorf("%s finds %v, want %v: %v", title, boxes, want, res.Maps())
		}
	}
	others(ctx, t, srv, all)
}

func boxesOf(res *questdb.Result) (boxes []string) {
	for _, row := range res.Maps() {
		boxes = append(boxes, fmt.Sprint(row["box"]))
	}
	slices.Sort(boxes)
	return slices.Compact(boxes)
}

// outageIsRight looks at what the real box tells.
func outageIsRight(ctx context.Context, t testing.TB, srv *questdb.Server) {
	t.Helper()
	check(t, srv.WaitApplied(ctx))
	res := must(srv.Query(ctx, `SELECT box, sender_id, rows, bytes, lost, cause, datediff('s', "from", "to") AS lasted, timestamp = "to" AS at_end FROM questdb_sf_events`))(t)
	t.Logf("%v", res.Maps())
	if len(res.Rows) != 1 {
		t.Fatalf("%d rows on outages", len(res.Rows))
	}
	row := res.Maps()[0]
	waited := must(row["rows"].(json.Number).Int64())(t) // the metrics, and rows of status
	lasted := must(row["lasted"].(json.Number).Int64())(t)
	if row["box"] != about.Box() || row["sender_id"] != "default" || waited < 100 || waited > 100+lasted+1 || lasted < 10 ||
		fmt.Sprint(row["lost"]) != "0" || row["at_end"] != true || !strings.HasPrefix(fmt.Sprint(row["cause"]), "server: connect to 127.0.0.1") {
		t.Errorf("%v", row)
	}
	status := must(srv.Query(ctx, "SELECT * FROM questdb_sf_status ORDER BY timestamp DESC LIMIT 1"))(t).Maps()[0]
	ahead := must(status["clock_ahead_s"].(json.Number).Int64())(t)
	if max(ahead, -ahead) > 10 || fmt.Sprint(status["lost"]) != "0" || fmt.Sprint(status["every_s"]) != "1" {
		t.Errorf("%v", status)
	}
}

// others runs what finds no boxes: that the tables made by hand are those made by
// themselves, and the rest of the page and of the dashboard.
func others(ctx context.Context, t testing.TB, srv *questdb.Server, all map[string][]string) {
	t.Helper()
	for _, create := range all["Creating the tables yourself"] {
		exec(ctx, t, srv, create)
		table := regexp.MustCompile(`EXISTS (\w+)`).FindStringSubmatch(create)[1]
		for _, row := range must(srv.Query(ctx, fmt.Sprintf(`SELECT "column", type FROM table_columns('%s')`, table)))(t).Rows {
			if !regexp.MustCompile(fmt.Sprintf(`(?s)[ "(]%s"? %s[,\s]`, row[0], row[1])).MatchString(create) {
				t.Errorf("%s has %v %v, which is not in docs/fleet.md", table, row[0], row[1])
			}
		}
	}
	exec(ctx, t, srv, all["How long they are kept"][0])
	for title, sql := range dashboard(t) {
		res, err := srv.Query(ctx, sql)
		if err != nil || len(res.Rows) == 0 {
			t.Errorf("the panel %s shows nothing: %v\n%s", title, err, sql)
		} else if title == "Backlog" {
			seriesAreRight(t, res)
		}
	}
}

// seriesAreRight fails the test unless the backlogs of two stores of a box are told
// apart, and times do not go back, which Grafana does not take.
func seriesAreRight(t testing.TB, res *questdb.Result) {
	t.Helper()
	most, last := map[string]string{}, ""
	for _, row := range res.Maps() {
		at := fmt.Sprint(row["time"])
		if at < last {
			t.Fatalf("%s is behind %s", at, last)
		}
		last = at
		most[fmt.Sprint(row["metric"])] = fmt.Sprint(row["pending_bytes"])
	}
	if most["well/default"] != "300" || most["well/second"] != "200" {
		t.Errorf("%v", most)
	}
}

// dashboard returns the statements of docs/grafana/questdb_sf.json by panel, as the data
// source for Grafana sends them for the last day.
func dashboard(t testing.TB) map[string]string {
	t.Helper()
	var d struct {
		Panels []struct {
			Title   string
			Targets []struct{ RawSQL string }
		}
	}
	check(t, json.Unmarshal(must(os.ReadFile("../../docs/grafana/questdb_sf.json"))(t), &d))
	now := time.Now()
	macros := strings.NewReplacer("$__sampleByInterval", "60s", "$__timeFilter(timestamp)",
		fmt.Sprintf("timestamp >= cast(%d as timestamp) AND timestamp <= cast(%d as timestamp)", now.AddDate(0, 0, -1).UnixMicro(), now.UnixMicro()))
	all := map[string]string{}
	for _, p := range d.Panels {
		for _, target := range p.Targets {
			all[p.Title] = macros.Replace(target.RawSQL)
		}
	}
	if len(all) < len(finds) {
		t.Fatalf("%d statements in the dashboard", len(all))
	}
	return all
}
