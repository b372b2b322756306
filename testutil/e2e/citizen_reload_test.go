// SPDX-License-Identifier: MIT

package e2e

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/questdb-sf/questdb_sf/testutil/agent"
	"github.com/questdb-sf/questdb_sf/testutil/execd"
	"github.com/questdb-sf/questdb_sf/testutil/gen"
	"github.com/questdb-sf/questdb_sf/testutil/qwpserver"
)

// fed is a Telegraf that is fed over TCP and tells in a file what it has read.
type fed struct {
	*agent.Agent
	addr, seen string
	rows       int // sent to it
}

// startFed runs it with that block, and more plugins if there are any.
func startFed(ctx context.Context, t testing.TB, block string) *fed {
	t.Helper()
	f := &fed{addr: freeAddr(t), seen: filepath.Join(t.TempDir(), "seen.lp")}
	f.Agent = must(agent.Start(ctx, f.config(block)))(t)
	t.Cleanup(func() { check(t, f.Close()) })
	check(t, f.WaitLog(ctx, "Listening on tcp://"))
	return f
}

func (f *fed) config(block string) string {
	return fmt.Sprintf(telegrafConfig, f.addr, block+
		fmt.Sprintf("[[outputs.file]]\nfiles = [%q]\ndata_format = \"influx\"\nnamedrop = [\"internal*\"]\n", f.seen))
}

// feed sends rows; they have been read when it returns.
func (f *fed) feed(ctx context.Context, t testing.TB, set gen.Set, from, to int64) {
	t.Helper()
	conn := must(net.Dial("tcp", f.addr))(t)
	write(t, conn, set, from, to)
	check(t, conn.Close())
	f.rows += int(to - from)
	waitCollected(ctx, t, f.seen, f.rows)
}

// reload gives Telegraf another block.
func (f *fed) reload(ctx context.Context, t testing.TB, block string) {
	t.Helper()
	const line = "Listening on tcp://"
	before := strings.Count(f.Log(), line)
	check(t, f.SetConfig(f.config(block)))
	check(t, f.Hup())
	awaitOf(ctx, t, f.Agent, "the reload", func() bool { return strings.Count(f.Log(), line) > before })
}

// saidOnce fails unless the plugin has said it, and not again.
func saidOnce(t testing.TB, log, text string) {
	t.Helper()
	if n := strings.Count(strings.Join(ours(log), ""), text); n != 1 {
		t.Errorf("%q is said %d times:\n%s", text, n, log)
	}
}

// arrived waits for as many rows and compares them.
func arrived(ctx context.Context, t testing.TB, srv *qwpserver.Server, set gen.Set, to int64) {
	t.Helper()
	check(t, srv.Wait(ctx, func(s *qwpserver.State) bool { return s.Rows >= to }))
	none(t, set.Check(readBackQWP(srv), 0, to), 0)
}

func TestAReloadWithAChangedURLSaysHowManyRowsGoThere(t *testing.T) {
	ctx := realParts(t)
	set, dir, nowhere := gen.Set{Seed: 50}, t.TempDir(), freeAddr(t)
	f := startFed(ctx, t, config("http://"+nowhere, dir))
	f.feed(ctx, t, set, 0, 1000)
	srv := startQWP(t, qwpserver.Options{})
	f.reload(ctx, t, config(srv.URL(), dir))
	arrived(ctx, t, srv, set, 1000)
	saidOnce(t, f.Log(), "the destination of a slot has changed; its pending rows go to the new one")
	saidOnce(t, f.Log(), "pending_rows=1000 from=http://"+nowhere)
}

func TestABacklogForAnotherDestinationIsHeldAndSaid(t *testing.T) {
	ctx := realParts(t)
	set, dir := gen.Set{Seed: 51}, t.TempDir()
	label := func(name string) string { return fmt.Sprintf("sf_destination = %q", name) }
	f := startFed(ctx, t, config("http://"+freeAddr(t), dir, label("plant-a")))
	f.feed(ctx, t, set, 0, 1000)

	srv := startQWP(t, qwpserver.Options{})
	f.reload(ctx, t, config(srv.URL(), dir, label("plant-b")))
	f.feed(ctx, t, set, 1000, 2000)
	check(t, srv.Wait(ctx, func(s *qwpserver.State) bool { return s.Rows >= 1000 }))
	check(t, f.WaitLog(ctx, "holds rows for plant-a, not for plant-b"))
	none(t, set.Check(readBackQWP(srv), 1000, 2000), 0)

	f.reload(ctx, t, config(srv.URL(), dir, label("plant-a")))
	arrived(ctx, t, srv, set, 2000)
}

func TestTelegrafBesideTheOwnerOfItsSlotsSaysWhoThatIsAndGoesOn(t *testing.T) {
	ctx := realParts(t)
	srv := startQWP(t, qwpserver.Options{})
	set, dir := gen.Set{Seed: 52}, t.TempDir()
	owner := must(execd.Start(config(srv.URL(), dir)))(t)
	defer owner.Close()
	feedDurable(ctx, t, owner, set, 0, 10)

	f := startFed(ctx, t, config(srv.URL(), dir, `lock_timeout = "100ms"`))
	f.feed(ctx, t, set, 10, 20) // its other output gets them
	awaitOf(ctx, t, f.Agent, "three failed writes", func() bool {
		return strings.Count(f.Log(), "Error writing to outputs.questdb_sf") >= 3
	})
	saidOnce(t, f.Log(), fmt.Sprintf("holder=pid=%d", owner.PID()))
	check(t, owner.Finish(ctx))
	arrived(ctx, t, srv, set, 20)
}

func TestTelegrafKeepsRowsItselfWhereItIsToWaitForTheDirectory(t *testing.T) {
	ctx := realParts(t)
	srv := startQWP(t, qwpserver.Options{})
	notADir := writeFile(t, "a file")
	set := gen.Set{Seed: 54}
	f := startFed(ctx, t, config(srv.URL(), filepath.Join(notADir, "sf"), `sf_unavailable = "wait"`))
	f.feed(ctx, t, set, 0, 1000)
	awaitOf(ctx, t, f.Agent, "three failed writes", func() bool {
		return strings.Count(f.Log(), "Error writing to outputs.questdb_sf") >= 3
	})
	saidOnce(t, f.Log(), "the store cannot be opened yet")
	check(t, os.Remove(notADir))
	arrived(ctx, t, srv, set, 1000)
}

// statFields are those of the measurement internal_questdb_sf that stand in the
// plugin's README.
var statFields = strings.Fields(`rows_appended rows_acked rows_pending rows_held rows_dead_lettered rows_evicted rows_quarantined
	dead_letters_final dead_letters_refused dead_letter_bytes dead_letters_removed incidents quarantine_removed rows_past_ttl types_refused tables_barred outage_ns
	bytes_appended bytes_acked bytes_pending wire_bytes_sent wire_bytes_received store_bytes store_max_bytes store_full_ns oldest_pending_age_ns
	connects reconnects refusals slots_live slots_leaked orphans in_ram rows_in_ram rows_moved_from_ram rows_lost_in_ram
	metrics_dropped_before_store values_altered values_left_out rows_merged`)

func TestTelegrafsOwnInputShowsTheNumbersOfTheStore(t *testing.T) {
	ctx := realParts(t)
	srv := startQWP(t, qwpserver.Options{})
	set, dir, shown := gen.Set{Seed: 55}, t.TempDir(), filepath.Join(t.TempDir(), "shown.lp")
	show := fmt.Sprintf("[[inputs.internal]]\ninterval = \"200ms\"\ncollect_memstats = false\n"+
		"[[outputs.file]]\nfiles = [%q]\ndata_format = \"influx\"\nnamepass = [\"internal_questdb_sf\"]\n", shown)
	f := startFed(ctx, t, config(srv.URL(), dir, `namedrop = ["internal*"]`)+show)
	f.feed(ctx, t, set, 0, 1000)
	arrived(ctx, t, srv, set, 1000)
	f.feed(ctx, t, set, 1000, 2000) // the numbers are renewed with each write

	var text string
	awaitOf(ctx, t, f.Agent, "a line with all rows", func() bool {
		data, _ := os.ReadFile(shown)
		text = string(data)
		return strings.Contains(text, "rows_appended=2000i")
	})
	for _, name := range statFields {
		if !strings.Contains(text, name+"=") {
			t.Errorf("field %s is not shown", name)
		}
	}
	for _, part := range []string{"slot=default-0", "connected=1i", "output=questdb_sf"} {
		if !strings.Contains(text, part) {
			t.Errorf("%s is not shown:\n%.2000s", part, text)
		}
	}
}
