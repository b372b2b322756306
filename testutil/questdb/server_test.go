// SPDX-License-Identifier: MIT

package questdb_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/questdb-sf/questdb_sf/testutil/gen"
	"github.com/questdb-sf/questdb_sf/testutil/questdb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start skips where the real server is not wanted: under -short.
func start(t testing.TB) (context.Context, *questdb.Server) {
	t.Helper()
	if testing.Short() {
		t.Skip("starts the real server")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	s, err := questdb.Start(ctx, questdb.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	return ctx, s
}

func write(ctx context.Context, t testing.TB, s *questdb.Server, lines string) {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.HTTP()+"/write", strings.NewReader(lines))
	if err != nil {
		t.Fatal(err)
	}
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusNoContent {
		t.Fatalf("write answers %s", resp.Status)
	}
}

func TestRowsSurviveKillAndRestart(t *testing.T) {
	ctx, s := start(t)
	write(ctx, t, s, "kept,host=a v=1i,f=1.5,s=\"x\" 1700000000000000000\n")
	if err := s.WaitApplied(ctx); err != nil {
		t.Fatal(err)
	}
	before := s.HTTP()
	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Query(ctx, "select 1"); err == nil {
		t.Fatal("a killed server answers")
	}
	if err := s.Restart(ctx); err != nil {
		t.Fatal(err)
	}
	if s.HTTP() != before {
		t.Errorf("moved from %s to %s", before, s.HTTP())
	}
	write(ctx, t, s, "kept,host=b v=2i 1700000001000000000\n")
	if err := s.WaitApplied(ctx); err != nil {
		t.Fatal(err)
	}
	rows, err := s.Rows(ctx, "kept")
	if err != nil {
		t.Fatal(err)
	}
	got := rows.Maps()
	if len(got) != 2 || got[0]["host"] != "a" || got[0]["v"] != json.Number("1") ||
		got[1]["host"] != "b" || got[1]["f"] != nil {
		t.Fatalf("rows %v, columns %v", got, rows.Columns)
	}
	if got[0]["timestamp"] != "2023-11-14T22:13:20.000000Z" {
		t.Errorf("timestamp is %v", got[0]["timestamp"])
	}
}

func TestGeneratedRowsReadBackEqual(t *testing.T) {
	ctx, s := start(t)
	set := gen.Set{Seed: 1, Jitter: true}
	const n = 6000
	write(ctx, t, s, string(set.Lines(0, n)))
	if err := s.WaitApplied(ctx); err != nil {
		t.Fatal(err)
	}
	var rows []gen.Row
	for _, table := range gen.Tables() {
		r, err := s.Rows(ctx, table)
		if err != nil {
			t.Fatal(err)
		}
		list, err := gen.FromSQL(table, r.Maps())
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, list...)
	}
	if report := set.Check(rows, 0, n); !report.OK() {
		t.Error(report)
	}
	_, err := s.Query(ctx, "select * from nowhere")
	if err == nil || !strings.Contains(err.Error(), "nowhere") {
		t.Errorf("the error of a refused statement is %v", err)
	}
}

func TestStartThatFailsShowsTheLog(t *testing.T) {
	if testing.Short() {
		t.Skip("starts the real server")
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	_, err := questdb.Start(ctx, questdb.Options{Settings: map[string]string{"http.bind.to": "no address"}})
	if err == nil || !strings.Contains(err.Error(), "value=no address") {
		t.Errorf("error is %v", err)
	}
}
