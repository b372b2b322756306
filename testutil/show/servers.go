// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/questdb-sf/questdb_sf/testutil/questdb"
	"github.com/questdb-sf/questdb_sf/testutil/qwpserver"
)

// fake is testutil's QWP server, inside this process.
type fake struct{ *qwpserver.Server }

func startFake() (server, error) {
	s, err := qwpserver.Start(qwpserver.Options{})
	return fake{s}, err
}

func (f fake) Away() error { f.Stop(); return nil }

func (f fake) Back(context.Context) error { return f.Restart() }

func (fake) Hint() string { return "" }

func (f fake) Rows(context.Context) (map[string]int, error) {
	got := map[string]int{}
	for _, table := range f.Tables() {
		for _, row := range f.Server.Rows(table) {
			tags := map[string]string{}
			for name, v := range row.Values {
				if s, ok := v.(qwpserver.Symbol); ok {
					tags[name] = string(s)
				}
			}
			got[rowKey(table, tags, time.Unix(0, row.Time))]++
		}
	}
	return got, nil
}

// real is QuestDB 9.3.4, a process of its own.
type real struct{ *questdb.Server }

func startQuestDB(ctx context.Context) (server, error) {
	fmt.Println("starting QuestDB", questdb.Version)
	s, err := questdb.Start(ctx, questdb.Options{})
	return real{s}, err
}

func (r real) URL() string { return r.HTTP() }

func (r real) Away() error { return r.Kill() }

func (r real) Back(ctx context.Context) error { return r.Restart(ctx) }

func (r real) Close() { _ = r.Stop() }

const lookSQL = "SELECT timestamp, cpu, usage_user, usage_idle FROM cpu WHERE cpu = 'cpu-total' LIMIT -5"

func (r real) Hint() string {
	return fmt.Sprintf("curl -G %s/exp --data-urlencode \"query=%s\"", r.HTTP(), lookSQL)
}

func (r real) Rows(ctx context.Context) (map[string]int, error) {
	if err := r.WaitApplied(ctx); err != nil {
		return nil, err
	}
	tables, err := r.Query(ctx, "SELECT table_name FROM tables()")
	if err != nil {
		return nil, err
	}
	got := map[string]int{}
	for _, t := range tables.Maps() {
		if err := r.addRows(ctx, got, fmt.Sprint(t["table_name"])); err != nil {
			return nil, err
		}
	}
	return got, nil
}

func (r real) addRows(ctx context.Context, got map[string]int, table string) error {
	if strings.HasPrefix(table, "sys.") || strings.HasPrefix(table, "telemetry") {
		return nil
	}
	res, err := r.Server.Rows(ctx, table)
	if err != nil {
		return err
	}
	for _, row := range res.Maps() {
		tags := map[string]string{}
		for _, c := range res.Columns {
			if v, ok := row[c.Name]; ok && c.Type == "SYMBOL" {
				tags[c.Name] = fmt.Sprint(v)
			}
		}
		at, err := time.Parse(time.RFC3339Nano, fmt.Sprint(row["timestamp"]))
		if err != nil {
			return err
		}
		got[rowKey(table, tags, at)]++
	}
	return nil
}
