// SPDX-License-Identifier: MIT

package doctor_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/doctor"
	"github.com/questdb-sf/questdb_sf/internal/link"
	"github.com/questdb-sf/questdb_sf/internal/tables"
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
	create(ctx, t, srv)
	srv.CloseIdle()
	p := talkingTo(healthy(t), srv.HTTP())
	p.ExactlyOnce, p.Tables = true, []string{"once", "lost", "fine", "stopped", "STILL", "weekly", "merged", "coming"}
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
	want(t, r, "table", srv.HTTP(), doctor.OK, "made for the first row: coming")
	want(t, r, "ttl", "lost", doctor.Warning, "1 DAY")
	want(t, r, "ttl", "weekly", doctor.OK, "1 WEEK")
	want(t, r, "dedup keys", "lost", doctor.Failure, `UPSERT KEYS("at", "sf_row_id")`)
	want(t, r, "dedup keys", "fine", doctor.Failure, `ADD COLUMN IF NOT EXISTS "sf_row_id" LONG`)
	want(t, r, "dedup keys", "weekly", doctor.OK, "at, h")
	want(t, r, "dedup keys", "merged", doctor.Warning, "at is its only key")
	if b, _ := json.Marshal(r); strings.Contains(string(b), "elsewhere") {
		t.Errorf("a table that nobody spoke of is told of: %s", b)
	}
	if says := advised(r, "exactly_once"); says != "" {
		t.Error("that is so already:", says)
	}
	p.ExactlyOnce = false
	if says := advised(examine(t, p), "exactly_once"); !strings.HasPrefix(says, "true 1 tables") {
		t.Error(says)
	}
	missing(t, p, srv.HTTP())
	mended(ctx, t, p, srv)
	p.Link.Auth = func() (link.Auth, error) { return link.Auth{Username: "joe", Password: "wrong"}, nil }
	want(t, examine(t, p), "credentials", srv.HTTP(), doctor.Failure, "401")
	unchanged(ctx, t, srv)
}

// create makes tables with something the matter, and without.
func create(ctx context.Context, t *testing.T, srv *questdb.Server) {
	t.Helper()
	for _, sql := range []string{
		`CREATE TABLE once (at TIMESTAMP, sf_row_id LONG) TIMESTAMP(at) PARTITION BY DAY WAL DEDUP UPSERT KEYS(at, sf_row_id)`,
		`CREATE TABLE lost (at TIMESTAMP, sf_row_id LONG) TIMESTAMP(at) PARTITION BY DAY TTL 1 DAY WAL`,
		`CREATE TABLE fine (at TIMESTAMP, v LONG) TIMESTAMP(at) PARTITION BY DAY WAL`,
		`CREATE TABLE weekly (at TIMESTAMP, h SYMBOL) TIMESTAMP(at) PARTITION BY WEEK TTL 1 WEEK WAL DEDUP UPSERT KEYS(at, h)`,
		`CREATE TABLE merged (at TIMESTAMP, v LONG) TIMESTAMP(at) PARTITION BY DAY WAL DEDUP UPSERT KEYS(at)`,
		`CREATE TABLE elsewhere (at TIMESTAMP, v LONG) TIMESTAMP(at) PARTITION BY DAY BYPASS WAL`,
		`CREATE TABLE stopped (at TIMESTAMP, v LONG) TIMESTAMP(at) PARTITION BY DAY WAL`,
		`CREATE TABLE still (at TIMESTAMP, v LONG) TIMESTAMP(at) PARTITION BY DAY BYPASS WAL`,
		`ALTER TABLE stopped SUSPEND WAL WITH 28, 'no space left on device'`,
	} {
		if _, err := srv.Query(ctx, sql); err != nil {
			t.Fatal(err)
		}
	}
}

// missing looks at tables that nobody will create.
func missing(t *testing.T, p doctor.Patient, at string) {
	t.Helper()
	p.Create, p.TimestampColumn = tables.Never, "at"
	want(t, examine(t, p), "table", at, doctor.Failure, `CREATE TABLE "coming" ("at" TIMESTAMP)`)
}

// mended runs the statements that are printed for a TTL, with partitions of each kind,
// and looks again.
func mended(ctx context.Context, t *testing.T, p doctor.Patient, srv *questdb.Server) {
	t.Helper()
	p.Outage = 400 * 24 * time.Hour
	for subject, statement := range map[string]string{"lost": `ALTER TABLE "lost" SET TTL 401 DAYS`, "weekly": `ALTER TABLE "weekly" SET TTL 58 WEEKS`} {
		want(t, examine(t, p), "ttl", subject, doctor.Warning, "run "+statement)
		if _, err := srv.Query(ctx, statement); err != nil {
			t.Fatal(err)
		}
		for applied := false; !applied; { // WaitApplied does not wait beside a table that is suspended
			r, err := srv.Query(ctx, "SELECT writerTxn = sequencerTxn FROM wal_tables() WHERE name = '"+subject+"'")
			if err != nil {
				t.Fatal(err)
			}
			applied = r.Rows[0][0] == true
		}
		want(t, examine(t, p), "ttl", subject, doctor.OK, "")
	}
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
	if len(r.Rows) != 8 {
		t.Errorf("%d tables", len(r.Rows))
	}
}
