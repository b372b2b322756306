// SPDX-License-Identifier: MIT

package top_test

import (
	"context"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/qwp"
	"github.com/questdb-sf/questdb_sf/internal/status"
	"github.com/questdb-sf/questdb_sf/internal/store"
	"github.com/questdb-sf/questdb_sf/internal/top"
	"github.com/questdb-sf/questdb_sf/sfpool"
)

// shared is a store as the plugin has it, whose server is away.
func shared(t testing.TB, dir string, ram bool) *store.Store {
	t.Helper()
	st, err := store.Share(store.Settings{RAM: ram, Pool: sfpool.Config{
		URLs: []string{"http://127.0.0.1:1"}, Dir: dir, MinSenders: 1, MaxSenders: 2, CloseFlushTimeout: -1, DrainOrphans: true,
		HousekeeperInterval: 20 * time.Millisecond, LockTimeout: 10 * time.Millisecond,
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Release(context.Background()) })
	return st
}

// put stores rows, and has others rejected.
func put(t testing.TB, st *store.Store, rows, rejected int) {
	t.Helper()
	_ = st.Open(t.Context())
	p, release, err := st.Pool()
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	s, err := p.Borrow(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Return()
	b := batch(t, p, rows)
	for range rejected {
		r := &qwp.Row{}
		r.Reset("t")
		r.Long("v", 1)
		b.Reject(r, "too long")
	}
	if err := s.Flush(t.Context(), b); err != nil {
		t.Fatal(err)
	}
}

// agent shows stores at an address of its own, and returns it.
func agent(t testing.TB, stores ...*store.Store) (url string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for _, st := range stores {
		t.Cleanup(status.Show(address, &status.Source{
			Store: st, Block: func() status.Block { return status.Block{} }, Version: "v1",
		}, slog.New(slog.DiscardHandler)))
	}
	if url, err = top.StatusURL(address); err != nil {
		t.Fatal(err)
	}
	return url
}

// until reads until what is read is as wanted.
func until(t testing.TB, s top.Source, what string, is func(*top.Reading) bool) top.Reading {
	t.Helper()
	var r top.Reading
	var err error
	for range 1500 {
		if r, err = s.Read(t.Context()); err == nil && is(&r) {
			return r
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("%s: %+v, %v", what, r, err)
	return r
}

func slotNamed(r *top.Reading, name string) *top.Slot {
	if i := slices.IndexFunc(r.Slots, func(s top.Slot) bool { return s.Name == name }); i >= 0 {
		return &r.Slots[i]
	}
	return &top.Slot{}
}

// agrees compares what is read of one store with what its pool says.
func agrees(t testing.TB, r *top.Reading, st *store.Store, orphans, orphanBytes int64) {
	t.Helper()
	stats := st.Stats()
	var h top.History
	f := h.Add(*r)
	if want := stats.Pending + stats.RAMStats.Pending + orphans; f.Rows != want {
		t.Errorf("%s: %d rows, want %d", r.Name, f.Rows, want)
	}
	if want := stats.PendingBytes + stats.RAMStats.PendingBytes + orphanBytes; f.Bytes != want {
		t.Errorf("%s: %d bytes, want %d", r.Name, f.Bytes, want)
	}
	if want := stats.DeadLettered + stats.RAMStats.DeadLettered; f.Dead != want {
		t.Errorf("%s: %d dead letters, want %d", r.Name, f.Dead, want)
	}
	if r.StoreBytes != stats.StoreBytes || r.MaxBytes != stats.MaxBytes {
		t.Errorf("%s: %d of %d bytes, want %d of %d", r.Name, r.StoreBytes, r.MaxBytes, stats.StoreBytes, stats.MaxBytes)
	}
	if want := stats.Letters.Final.Bytes + stats.Letters.Refused.Bytes; r.LetterBytes != want {
		t.Errorf("%s: letters of %d bytes, want %d", r.Name, r.LetterBytes, want)
	}
	for i, slots := range [][]sfpool.SlotStats{stats.Slots, stats.RAMStats.Slots} {
		for _, want := range slots {
			got := slotNamed(r, want.Name+[]string{"", " (RAM)"}[i])
			if got.State != want.State || got.Pending != want.Pending || got.PendingBytes != want.PendingBytes || got.Accepted != want.Accepted ||
				got.Acked != want.Acked || !got.Oldest.Equal(want.OldestPending) {
				t.Errorf("%s: %+v, want %+v", r.Name, got, want)
			}
			if want.LastError != nil && !strings.Contains(f.Explanation, "connection refused") {
				t.Errorf("%s: %q", r.Name, f.Explanation)
			}
		}
	}
}

// refused waits until the server was tried.
func refused(r *top.Reading) bool {
	return strings.Contains(strings.Join(r.Trouble, " "), "connection refused")
}

func TestAStatusPageTellsWhatThePoolsSay(t *testing.T) {
	dirs := []string{t.TempDir(), t.TempDir()}
	one, other := shared(t, dirs[0], false), shared(t, dirs[1], false)
	put(t, one, 300, 7)
	put(t, other, 20, 0)
	url := agent(t, one, other)
	r := until(t, &top.Status{URL: url, Store: dirs[0]}, "one store", refused)
	agrees(t, &r, one, 0, 0)
	if dead := one.Stats().DeadLettered; dead != 7 || r.LetterBytes == 0 {
		t.Errorf("%d rows were rejected, in %d bytes", dead, r.LetterBytes)
	}
	r = until(t, &top.Status{URL: url, Store: dirs[1]}, "the other", refused)
	agrees(t, &r, other, 0, 0)
	r = until(t, &top.Status{URL: url}, "both", func(r *top.Reading) bool { return strings.Count(strings.Join(r.Trouble, " "), "refused") >= 2 })
	var h top.History
	if f := h.Add(r); f.Rows != 320 || f.Dead != 7 || r.Name != dirs[0]+" "+dirs[1] {
		t.Errorf("%+v of %s", f, r.Name)
	}
	if r.StoreBytes != one.Stats().StoreBytes+other.Stats().StoreBytes || r.MaxBytes != one.Stats().MaxBytes+other.Stats().MaxBytes {
		t.Errorf("%d of %d bytes", r.StoreBytes, r.MaxBytes)
	}
}

func TestAStatusPageTellsOfOrphansThatNobodyDrains(t *testing.T) {
	dir := t.TempDir()
	left, err := sfpool.Open(t.Context(), sfpool.Config{URLs: []string{"http://elsewhere:9000"}, Dir: dir, SenderID: "old", CloseFlushTimeout: -1})
	if err != nil {
		t.Fatal(err)
	}
	add(t, left, 40)
	bytes := left.Stats().PendingBytes
	if err := left.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	st := shared(t, dir, false)
	put(t, st, 5, 0)
	s := &top.Status{URL: agent(t, st)}
	r := until(t, s, "the orphan", func(r *top.Reading) bool { return refused(r) && slotNamed(r, "old-0").Pending > 0 })
	agrees(t, &r, st, 40, bytes)
	o := slotNamed(&r, "old-0")
	if o.State != "other destination" || o.Pending != 40 || o.PendingBytes != bytes || o.Oldest.IsZero() || o.Oldest.After(r.At) {
		t.Errorf("%+v", o)
	}
}

func TestAStatusPageTellsOfRowsInRAM(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	st := shared(t, filepath.Join(file, "sf"), true)
	put(t, st, 30, 0)
	r := until(t, &top.Status{URL: agent(t, st)}, "rows in RAM", func(r *top.Reading) bool {
		return slotNamed(r, "default-0 (RAM)").Pending > 0 && st.Stats().RAMStats.Slots[0].LastError != nil
	})
	if !regexp.MustCompile(`rows go to RAM, 30 are only there.*not a directory`).MatchString(strings.Join(r.Trouble, " ")) {
		t.Errorf("%q", r.Trouble)
	}
	if got := slotNamed(&r, "default-0 (RAM)"); got.Pending != 30 || got.PendingBytes != st.Stats().RAMStats.PendingBytes ||
		r.StoreBytes != st.Stats().RAMStats.StoreBytes || r.MaxBytes != st.Stats().RAMStats.MaxBytes {
		t.Errorf("%+v, store %d", got, r.StoreBytes)
	}
}

func TestAnAgentThatIsNewerThanTopIsNotMisread(t *testing.T) {
	url := says(t, `{"version":2,"now":"2026-11-28T12:00:00Z","stores":[]}`)
	if _, err := (&top.Status{URL: url}).Read(t.Context()); err == nil || !strings.Contains(err.Error(), "version 2") {
		t.Errorf("%v", err)
	}
}
