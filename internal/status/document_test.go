// SPDX-License-Identifier: MIT

package status

import (
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/questdb-sf/questdb_sf/internal/deadletter"
	"github.com/questdb-sf/questdb_sf/internal/latency"
	"github.com/questdb-sf/questdb_sf/internal/link"
	"github.com/questdb-sf/questdb_sf/internal/qwp"
	"github.com/questdb-sf/questdb_sf/internal/status/api"
	"github.com/questdb-sf/questdb_sf/internal/verdict"
	"github.com/questdb-sf/questdb_sf/sfpool"
)

var update = flag.Bool("update", false, "write the golden files anew")

// busy is a store that has something of everything.
func busy(t testing.TB) *shop {
	s := newShop(t)
	s.pends(50)
	s.stats.TimeToFull, s.stats.TimeToEmpty = time.Hour, 0
	var h latency.Histogram
	h.Observe(3 * time.Millisecond)
	s.stats.AckTimes = h.Snapshot()
	one := &s.stats.Slots[0]
	one.Accepted, one.Acked, one.PendingBytes, one.OldestPending = 70, 20, 900, time.Now()
	one.Host, one.Transport = "db:9000", link.ILP
	s.stats.RAMStats.Slots = []sfpool.SlotStats{{Name: "default-0", State: "live"}}
	s.stats.Orphans = []sfpool.OrphanStats{{Name: "old-0", State: "other destination", Reason: `its rows belong to "http://b:9000"`}}
	s.state.Details.Verdicts = []sfpool.Verdict{{Key: verdict.Key{Host: "db:9000", Table: "cpu", Column: "id", Type: qwp.TypeLong}, Words: "cast error"}}
	s.state.Details.Barred = []sfpool.BarredTable{{Host: "db:9000", Table: "mem", Words: "permission denied"}}
	s.refuses(t, deadletter.Refused, "cpu", "cast error", 2, "")
	s.keeps(t, "default-0/incident-sf-0-01234567.json", receiptText)
	s.keeps(t, "default-0/sf-0.sfa.corrupt", "12345")
	s.keeps(t, "old-0/sf-initial.sfa", "123456")
	return s
}

func TestTheStatusHasTheShapeOfItsVersion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := busy(t)
		src := source(s.fake, Block{Dropped: 7})
		src.Version = "v1.2.3"
		s.w.sample([]*Source{src})
		time.Sleep(sampleEvery)
		r := s.w.lookAtAll([]*Source{src})
		got, err := json.MarshalIndent(documentOf([]report{r}), "", " ")
		require.NoError(t, err)
		got = append(got, '\n')
		file := filepath.Join("testdata", "status.json")
		if *update {
			require.NoError(t, os.WriteFile(file, got, 0o600))
		}
		want, err := os.ReadFile(file)
		require.NoError(t, err)
		require.Equal(t, string(want), string(got), "what is there stays as it is in this version: see the package api; -update writes what is new")
		var d, again api.Document
		require.NoError(t, json.Unmarshal(want, &d))
		require.Equal(t, api.Version, d.Version)
		require.NoError(t, json.Unmarshal([]byte(`{"later":1,`+string(want[1:])), &again), "what is added disturbs nobody")
		require.Equal(t, d, again)
	})
}

func TestOneLineSaysWhatGoesOnAndWhy(t *testing.T) {
	for name, c := range map[string]struct {
		is   func(f *fake)
		says string
	}{
		"nothing": {func(*fake) {}, "nothing is pending"},
		"outage":  {func(f *fake) { f.pends(50) }, "50 rows are pending; waiting for the server since 2000-01-01T00:00:00Z: dial tcp: connection refused"},
		"tables": {func(f *fake) {
			f.stats.Pending, f.stats.HeldRows = 9, 8
			f.state.Details.Barred = []sfpool.BarredTable{{Table: "mem", Words: "permission\ndenied"}}
		}, `9 rows are pending; 8 of them wait for their tables, as "mem": permission denied`},
		"sending": {func(f *fake) { f.stats.Pending = 9 }, "9 rows are pending and being sent"},
		"in sight": {func(f *fake) { f.stats.Pending, f.stats.TimeToEmpty = 9, 90*time.Second+1 },
			"9 rows are pending and being sent; at this rate they are gone in 1m30s"},
		"not well": {func(f *fake) { f.state.Open, f.state.Failure = false, errors.New("no room") }, "the store cannot be opened: no room"},
		"not yet":  {func(f *fake) { f.state.Open = false }, "the store is not open yet"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake("/sf")
				c.is(f)
				r := newWatch().look([]*Source{source(f, Block{})})
				require.Equal(t, c.says, r.says())
			})
		})
	}
}

func TestADirectoryIsQuotedForTheShell(t *testing.T) {
	for word, want := range map[string]string{"/var/lib/sf": "/var/lib/sf", "/a b": "'/a b'", "/it's": `'/it'\''s'`, "/$(x)": "'/$(x)'"} {
		require.Equal(t, want, quoted(word))
	}
}
