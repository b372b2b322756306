// SPDX-License-Identifier: MIT

package doctor_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/doctor"
	"github.com/questdb-sf/questdb_sf/internal/link"
	"github.com/questdb-sf/questdb_sf/testutil/questdb"
)

// What the real server says of itself and of its tables, without a byte written to it.
func TestTheRealQuestDBIsExamined(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	srv, err := questdb.Start(ctx, questdb.Options{Settings: map[string]string{
		"dev.mode.enabled": "true", "http.user": "joe", "http.password": "right", "http.net.connection.limit": "20",
		"line.auto.create.new.columns": "false",
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = srv.Stop() })
	for _, sql := range []string{
		`CREATE TABLE once (at TIMESTAMP, sf_row_id LONG) TIMESTAMP(at) PARTITION BY DAY WAL DEDUP UPSERT KEYS(at, sf_row_id)`,
		`CREATE TABLE lost (at TIMESTAMP, sf_row_id LONG) TIMESTAMP(at) PARTITION BY DAY TTL 1 DAY WAL`,
		`CREATE TABLE fine (at TIMESTAMP, v LONG) TIMESTAMP(at) PARTITION BY DAY WAL`,
		`CREATE TABLE stopped (at TIMESTAMP, v LONG) TIMESTAMP(at) PARTITION BY DAY WAL`,
		`CREATE TABLE still (at TIMESTAMP, v LONG) TIMESTAMP(at) PARTITION BY DAY BYPASS WAL`,
		`ALTER TABLE stopped SUSPEND WAL WITH 28, 'no space left on device'`,
	} {
		if _, err := srv.Query(ctx, sql); err != nil {
			t.Fatal(err)
		}
	}
	srv.CloseIdle()
	p := talkingTo(healthy(t), srv.HTTP())
	p.ExactlyOnce, p.Tables = true, []string{"once", "lost", "fine", "stopped", "still"}
	p.Link.Auth = func() (link.Auth, error) { return link.Auth{Username: "joe", Password: "right"}, nil }
	r := examine(t, p)
	for _, check := range []string{"reachable", "credentials", "sql", "clock"} {
		want(t, r, check, srv.HTTP(), doctor.OK, "")
	}
	want(t, r, "version", srv.HTTP(), doctor.OK, "9.3.4")
	want(t, r, "protocol", srv.HTTP(), doctor.OK, "ILP")
	want(t, r, "gzip", srv.HTTP(), doctor.OK, "offered")
	want(t, r, "auto-create", srv.HTTP(), doctor.Warning, "line.auto.create.new.columns is off")
	want(t, r, "connections", srv.HTTP(), doctor.Warning, "takes 20 in all")
	want(t, r, "table", "stopped", doctor.Failure, "no space left on device")
	want(t, r, "table", "still", doctor.Failure, "SET TYPE WAL")
	want(t, r, "ttl", "lost", doctor.Warning, "1 DAY")
	want(t, r, "dedup keys", "lost", doctor.Failure, `UPSERT KEYS("at", "sf_row_id")`)
	if says := advised(r, "exactly_once"); !strings.HasPrefix(says, "true 1 tables") {
		t.Error(says)
	}
	p.Link.Auth = func() (link.Auth, error) { return link.Auth{Username: "joe", Password: "wrong"}, nil }
	want(t, examine(t, p), "credentials", srv.HTTP(), doctor.Failure, "401")
	unchanged(ctx, t, srv)
}

// unchanged fails the test if there are other tables, or any rows.
func unchanged(ctx context.Context, t *testing.T, srv *questdb.Server) {
	t.Helper()
	r, err := srv.Query(ctx, "SELECT table_name, table_row_count FROM tables() WHERE table_name NOT LIKE 'telemetry%' AND table_name NOT LIKE 'sys.%'")
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range r.Rows {
		if row[1] != nil && row[1].(interface{ String() string }).String() != "0" {
			t.Errorf("there are rows now: %v", row)
		}
	}
	if len(r.Rows) != 5 {
		t.Errorf("%d tables", len(r.Rows))
	}
}
