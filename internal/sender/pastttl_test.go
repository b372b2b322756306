// SPDX-License-Identifier: MIT

package sender_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/link"
	"github.com/questdb-sf/questdb_sf/internal/qwp"
	"github.com/questdb-sf/questdb_sf/internal/sender"
	"github.com/questdb-sf/questdb_sf/internal/vfs/vfstest"
)

// expiring runs a test in which table "short" keeps rows for two days.
func expiring(t *testing.T, srv *server, run func(t *testing.T, b *bed, log *bytes.Buffer)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		o := &oracle{ttls: map[string]string{"short": "2 DAYS", "long": "2 YEARS"}}
		b := startBed(t, vfstest.NewMem(), srv, sender.Config{Tables: o, Log: slog.New(slog.NewTextHandler(&log, nil))})
		run(t, b, &log)
	})
}

// aged publishes a frame with a row of each age in each table, by turns.
func (b *bed) aged(ages []time.Duration, tables ...string) {
	b.Helper()
	var rows []qwp.Row
	for _, age := range ages {
		for _, table := range tables {
			var r qwp.Row
			r.Reset(table)
			r.Long("id", b.next)
			r.At(time.Now().Add(-age).UnixMicro())
			b.next++
			rows = append(rows, r)
		}
	}
	b.storeRows(rows...)
}

const day = 24 * time.Hour

func TestRowsThatAreOlderThanTheTTLOfTheirTableAreSaidSentAndCounted(t *testing.T) {
	srv, saidBefore := &server{window: 4}, false
	expiring(t, srv, func(t *testing.T, b *bed, log *bytes.Buffer) {
		srv.sent = func(*conn, []taken) {
			saidBefore = saidBefore || strings.Contains(log.String(), "older than the TTL")
		}
		b.aged([]time.Duration{3 * day, time.Hour, 6 * day}, "short", "long", "ever")
		b.drained()
		if n := len(b.srv.ids()); n != 9 || b.loop.State().PastTTL != 2 || !saidBefore {
			t.Errorf("%d rows sent, %d past their TTL, said before: %v", n, b.loop.State().PastTTL, saidBefore)
		}
		for _, text := range []string{"table=short", `ttl="2 DAYS"`, "rows=2", "oldest=" + time.Now().Add(-6*day).UTC().Format(time.RFC3339), `ALTER TABLE \"short\" SET TTL 6 DAYS`} {
			if !strings.Contains(log.String(), text) {
				t.Errorf("%q is missing: %s", text, log)
			}
		}
	})
}

func TestRowsPastATTLAreSaidOnceAnHour(t *testing.T) {
	expiring(t, &server{window: 4}, func(t *testing.T, b *bed, log *bytes.Buffer) {
		for range 150 {
			b.aged([]time.Duration{3 * day}, "short")
			time.Sleep(time.Minute)
		}
		b.drained()
		if n := strings.Count(log.String(), "older than the TTL"); n != 3 || b.loop.State().PastTTL != 150 {
			t.Errorf("said %d times in two and a half hours, %d rows", n, b.loop.State().PastTTL)
		}
	})
}

// TestRowsPastATTLAreCountedWhenTheyAreAcked loses answers, and takes frames in parts.
func TestRowsPastATTLAreCountedWhenTheyAreAcked(t *testing.T) {
	srv := &server{ilp: true, maxRows: 3, answer: func(conn int, seq int64) *link.Outcome {
		if conn < 4 && seq >= 1 {
			return nil
		}
		return &link.Outcome{Seq: seq}
	}}
	expiring(t, srv, func(t *testing.T, b *bed, log *bytes.Buffer) {
		b.aged([]time.Duration{3 * day, time.Hour, 6 * day, 9 * day, time.Hour}, "short", "long")
		for range 4 {
			time.Sleep(time.Minute)
			b.srv.cut()
		}
		b.drained()
		if n := len(b.srv.ids()); n <= 10 || b.loop.State().PastTTL != 3 {
			t.Errorf("%d rows sent for 10, %d past their TTL", n, b.loop.State().PastTTL)
		}
	})
}

func TestRowsWithinTheTTLOfTheirTableAreNotSaid(t *testing.T) {
	expiring(t, &server{window: 4}, func(t *testing.T, b *bed, log *bytes.Buffer) {
		b.aged([]time.Duration{9 * day, 2*day - time.Minute}, "long", "ever")
		b.aged([]time.Duration{2*day - time.Minute, 0, -day}, "short")
		b.drained()
		if strings.Contains(log.String(), "TTL") || b.loop.State().PastTTL != 0 {
			t.Errorf("%d rows; logged %s", b.loop.State().PastTTL, log)
		}
	})
}
