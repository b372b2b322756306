// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/influxdata/line-protocol/v2/lineprotocol"
)

// report compares the server's rows with what the agent's second output wrote
// down, and prints the tables and the verdict.
func report(ctx context.Context, srv server, expectedFile string) (lost int, err error) {
	want, err := expected(expectedFile)
	if err != nil {
		return 0, err
	}
	got, err := srv.Rows(ctx)
	if err != nil {
		return 0, err
	}
	wantOf, gotOf, duplicates := map[string]int{}, map[string]int{}, 0
	for key, n := range want {
		table, _, _ := strings.Cut(key, ",")
		wantOf[table] += n
		gotOf[table] += min(n, got[key])
		lost += max(0, n-got[key])
		duplicates += max(0, got[key]-n)
	}
	fmt.Printf("\n%-8s %10s %10s\n", "table", "collected", "stored")
	for _, table := range slices.Sorted(maps.Keys(wantOf)) {
		fmt.Printf("%-8s %10d %10d\n", table, wantOf[table], gotOf[table])
	}
	if hint := srv.Hint(); hint != "" {
		fmt.Printf("\nlook at the rows while the server runs:\n  %s\n", hint)
	}
	fmt.Printf("\nduplicates %d\nlost %d\n", duplicates, lost)
	return lost, nil
}

// expected reads the line protocol that outputs.file wrote, as keys of rows and
// how often each is there: mounts of one device share theirs.
func expected(file string) (map[string]int, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	want := map[string]int{}
	dec := lineprotocol.NewDecoder(f)
	for dec.Next() {
		m, err := dec.Measurement()
		if err != nil {
			return nil, err
		}
		table, tags := string(m), map[string]string{}
		for {
			k, v, err := dec.NextTag()
			if err != nil {
				return nil, err
			}
			if k == nil {
				break
			}
			tags[string(k)] = string(v)
		}
		at, err := dec.Time(lineprotocol.Nanosecond, time.Time{})
		if err != nil {
			return nil, err
		}
		want[rowKey(table, tags, at)]++
	}
	return want, dec.Err()
}

// rowKey names a row: table, tags and time in the microseconds that are stored.
func rowKey(table string, tags map[string]string, at time.Time) string {
	var b strings.Builder
	b.WriteString(table)
	for _, k := range slices.Sorted(maps.Keys(tags)) {
		fmt.Fprintf(&b, ",%s=%s", k, tags[k])
	}
	fmt.Fprintf(&b, " %d", at.UnixMicro())
	return b.String()
}
