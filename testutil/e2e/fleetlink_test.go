// SPDX-License-Identifier: MIT

package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	about "github.com/questdb-sf/questdb_sf/internal/fleet"
	"github.com/questdb-sf/questdb_sf/testutil/execd"
	"github.com/questdb-sf/questdb_sf/testutil/gen"
	"github.com/questdb-sf/questdb_sf/testutil/netem"
	"github.com/questdb-sf/questdb_sf/testutil/questdb"
)

// farBox is a box behind a narrow link, with a backlog.
type farBox struct {
	order string // also its sender_id
	link  *netem.Proxy
	p     *execd.Process
	set   gen.Set
}

// farBacklog is how many rows wait: more than the link carries in a minute.
const farBacklog = 5000

// startFar starts one that cannot reach its server yet. It goes on writing
// until ctx ends.
func startFar(ctx context.Context, t *testing.T, srv *questdb.Server, order string) *farBox {
	b := &farBox{order: order, link: startNetem(t, srv, netem.Settings{Up: 16_000, Down: 16_000, Delay: 50 * time.Millisecond})}
	check(t, b.link.Refuse())
	b.set = gen.Set{Seed: 82, Start: time.Now().Add(-2 * time.Hour)}
	b.p = must(execd.Start(config(b.link.URL(), t.TempDir(), `status_rows = "1s"`, `sf_max_total_bytes = "64MiB"`, `sender_pool_max = 1`,
		fmt.Sprintf("sender_id = %q\nreplay_order = %q\ntable_prefix = %q", order, order, order+"_"))))(t)
	t.Cleanup(b.p.Close)
	_, err := b.p.Stdin.Write(b.set.Lines(0, farBacklog))
	check(t, err)
	check(t, b.p.WaitDurable(ctx, farBacklog))
	go func() {
		for from := int64(farBacklog); err == nil && ctx.Err() == nil; from++ {
			_, err = b.p.Stdin.Write(b.set.Lines(from, 1))
			time.Sleep(100 * time.Millisecond)
		}
	}()
	return b
}

// sent counts what the server has of the backlog.
func (b *farBox) sent(ctx context.Context, t *testing.T, srv *questdb.Server) (n int) {
	t.Helper()
	check(t, srv.WaitApplied(ctx))
	tables := must(srv.Query(ctx, "SELECT table_name FROM tables() WHERE table_name LIKE '"+b.order+"_%'"))(t)
	for _, row := range tables.Rows {
		n += number(ctx, t, srv, fmt.Sprintf("SELECT count() FROM %s WHERE %s < %d", questdb.Quote(fmt.Sprint(row[0])), gen.RowID, farBacklog))
	}
	return n
}

// rowsOfStatus is the FROM and WHERE of those that a box wrote before that moment, or
// behind it.
func (b *farBox) rowsOfStatus(side string, at time.Time) string {
	return fmt.Sprintf("FROM questdb_sf_status WHERE box = '%s' AND sender_id = '%s' AND timestamp %s cast(%d as timestamp)", about.Box(), b.order, side, at.UnixMicro())
}

// Rows of status go before a backlog with live_first, and behind it with oldest_first.
// The statements find a box either way: the rows that came are copied with other times,
// as if the link had been like that for hours.
func TestABoxWithABacklogIsFoundWhetherItsRowsComeAtOnceOrLate(t *testing.T) {
	t.Parallel()
	ctx := realParts(t)
	srv := startQuestDB(ctx, t, questdb.Options{})
	live, oldest := startFar(ctx, t, srv, "live_first"), startFar(ctx, t, srv, "oldest_first")
	time.Sleep(3 * time.Second) // they tell of an outage
	back := time.Now()
	check(t, live.link.Listen())
	check(t, oldest.link.Listen())

	fresh := live.rowsOfStatus(">", back) + " AND in_bytes_s > out_bytes_s"
	waitFor(ctx, t, srv, "SELECT count() "+fresh)
	ahead := live.sent(ctx, t, srv)
	t.Logf("%d rows of the backlog were sent when a row of status came that is newer", ahead)
	if ahead > farBacklog/2 {
		t.Errorf("%d rows of the backlog went before a row of status", ahead)
	}
	if n := number(ctx, t, srv, "SELECT count() "+oldest.rowsOfStatus(">", time.Time{})); n > 0 {
		t.Errorf("%d rows of status went before a backlog that is older", n)
	}

	oldest.link.Set(func(s *netem.Settings) { *s = netem.Settings{} })
	stale := oldest.rowsOfStatus("<", back) + " AND in_bytes_s > 0"
	waitFor(ctx, t, srv, "SELECT count() "+stale)
	waiting := number(ctx, t, srv, "SELECT max(pending_rows) "+stale)
	sent := oldest.sent(ctx, t, srv)
	t.Logf("%d rows waited, and %d of the backlog were sent, when the first rows of status came", waiting, sent)
	if sent < farBacklog {
		t.Errorf("%d rows of the backlog went before a row of status that is newer", sent)
	}

	copyStatus(ctx, t, srv, "late", 3*time.Hour, stale)
	copyStatus(ctx, t, srv, "early", 0, fresh+" LIMIT 1")
	copyStatus(ctx, t, srv, "early", 40*time.Minute, "FROM questdb_sf_status WHERE box = 'early'")
	all := questions(t)
	for title, want := range map[string]string{
		"Boxes silent too long": "[late]", "Backlog not shrinking": "[early late]", "Full in less than a day": "[early late]",
	} {
		res := must(srv.Query(ctx, all[title][0]))(t)
		found := slices.DeleteFunc(boxesOf(res), func(box string) bool { return box != "early" && box != "late" })
		if fmt.Sprint(found) != want {
			t.Errorf("%s finds %v, want %s: %v", title, found, want, res.Maps())
		}
	}
}

// copyStatus makes rows of another box out of rows of status: they are older, and so were
// two hours more the rows that waited.
func copyStatus(ctx context.Context, t *testing.T, srv *questdb.Server, box string, older time.Duration, from string) {
	t.Helper()
	var names, values []string
	for _, row := range must(srv.Query(ctx, `SELECT "column" FROM table_columns('questdb_sf_status')`))(t).Rows {
		name := fmt.Sprint(row[0])
		value := name
		switch name {
		case "box":
			value = "'" + box + "'"
		case "time_to_full_s":
			value = "60000L" // a pool that is young knows none
		case "oldest_age_s":
			value = "oldest_age_s + 7200"
		case "timestamp", "started":
			value = fmt.Sprintf("dateadd('s', %d, %s)", -int(older.Seconds()), name)
		}
		names, values = append(names, name), append(values, value)
	}
	exec(ctx, t, srv, "INSERT INTO questdb_sf_status ("+strings.Join(names, ", ")+") SELECT "+strings.Join(values, ", ")+" "+from)
	check(t, srv.WaitApplied(ctx))
}
