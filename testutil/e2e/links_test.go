// SPDX-License-Identifier: MIT

package e2e

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"testing"
	"time"

	"github.com/questdb-sf/questdb_sf/sfpool"
	"github.com/questdb-sf/questdb_sf/testutil/execd"
	"github.com/questdb-sf/questdb_sf/testutil/netem"
	"github.com/questdb-sf/questdb_sf/testutil/questdb"
)

func startNetem(t testing.TB, srv *questdb.Server, s netem.Settings) *netem.Proxy {
	t.Helper()
	p := must(netem.Start(srv.HTTP()[len("http://"):], s))(t)
	t.Cleanup(func() { check(t, p.Close()) })
	return p
}

// A ship: 64 kbit/s, 800 ms there and back, and a connection that breaks every 30 s. With
// 100,000 rows it takes two and a half minutes, or four.
func TestANarrowLinkThatBreaksEveryHalfMinuteDeliversSteadily(t *testing.T) {
	t.Parallel()
	ctx := longer(t)
	srv := startQuestDB(ctx, t, questdb.Options{})
	var both sync.WaitGroup
	both.Go(func() { sail(ctx, t, srv, "at_least_once", 45_000, false) })
	both.Go(func() { sail(ctx, t, srv, "exactly_once", 12_000, true) })
	both.Wait()
}

func sail(ctx context.Context, t *testing.T, srv *questdb.Server, table string, rows int, once bool) {
	link := startNetem(t, srv, netem.Settings{
		Up: 8000, Down: 8000, Delay: 400 * time.Millisecond, Jitter: 50 * time.Millisecond, ResetEvery: 30 * time.Second,
	})
	log := new(record)
	cfg := sfpool.Config{
		URLs: []string{link.URL()}, Dir: t.TempDir(), Transport: sfpool.ILP, MaxConnections: 1, MaxBackoff: 10 * time.Second,
		Compression: sfpool.CompressionGzip, ExactlyOnce: once, Logger: slog.New(slog.NewTextHandler(log, nil)), CloseFlushTimeout: -1,
	}
	p, err := sfpool.Open(ctx, cfg)
	if err != nil {
		t.Error(err)
		return
	}
	defer p.Close(ctx)
	if err := storeSteps(ctx, p, table, rows); err != nil {
		t.Error(err)
		return
	}
	began, stuck, last, at := time.Now(), time.Duration(0), int64(0), time.Now()
	for ctx.Err() == nil {
		st := p.Stats()
		if st.Acked > last {
			stuck, last, at = max(stuck, time.Since(at)), st.Acked, time.Now()
		}
		if st.Pending == 0 {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	stats := link.Stats()
	resets := int(time.Since(began) / (30 * time.Second))
	sent := max(stats.Total(), 1)
	wait := srv.WaitApplied(ctx)
	there := number(ctx, t, srv, "SELECT count() FROM "+table)
	distinct := number(ctx, t, srv, "SELECT count_distinct(id) FROM "+table)
	t.Logf("%s: %d rows in %s, %d B/s up, %d resets, %d connections, at most %s without an ack, %d rows twice",
		table, distinct, time.Since(began).Round(time.Second), stats.Up/int64(time.Since(began).Seconds()+1), resets, sent, stuck.Round(time.Second), there-distinct)
	most := 0
	if !once {
		most = resets * rows / 8 // a request is 5 s, or little more, of the time for all
	}
	if wait != nil || distinct != rows || there-distinct > most {
		t.Errorf("%s: %v, %d distinct rows of %d, %d twice, at most %d\n%s", table, wait, distinct, rows, there-distinct, most, log)
	}
	if stuck > 40*time.Second {
		t.Errorf("%s: nothing was acked for %s", table, stuck)
	}
}

// storeSteps stores rows of a slow series in batches of a thousand.
func storeSteps(ctx context.Context, p *sfpool.Pool, table string, rows int) error {
	s, err := p.Borrow(ctx)
	if err != nil {
		return err
	}
	defer s.Return()
	var row sfpool.Row
	for from := 0; from < rows; from += 1000 {
		b := p.NewBatch()
		for i := from; i < from+1000; i++ {
			row.Reset(table)
			row.Symbol("box", "ship")
			row.Long("id", int64(i))
			row.Double("v", math.Floor(20*math.Sin(float64(i)/500))/4)
			row.At(second(i).UnixMicro())
			if err := b.Add(&row); err != nil {
				return err
			}
		}
		if err := s.Flush(ctx, b); err != nil {
			return err
		}
	}
	return nil
}

// Forty boxes at a server that takes twenty connections, each with a backlog and a row a
// second: all arrives, and SQL answers all the while, for the server keeps four places
// from rows.
func TestFortyBoxesShareTwentyConnections(t *testing.T) {
	t.Parallel()
	ctx := longer(t)
	const boxes, backlog, trickle = 40, 2000, 20
	srv := startQuestDB(ctx, t, questdb.Options{Settings: map[string]string{
		"http.net.connection.limit": "20", "http.ilp.connection.limit": "12",
	}})
	asked := askAllTheWhile(ctx, t, srv)
	var fleet sync.WaitGroup
	for n := range boxes {
		p := must(execd.Start(box(srv.HTTP(), t.TempDir(), "5s")))(t)
		t.Cleanup(p.Close)
		fleet.Go(func() {
			_, err := p.Stdin.Write(boxLines(n, 0, backlog))
			for i := 0; i < trickle && err == nil; i++ {
				time.Sleep(time.Second)
				_, err = p.Stdin.Write(boxLines(n, backlog+i, 1))
			}
			if err == nil {
				err = p.Finish(ctx)
			}
			if err != nil {
				t.Errorf("box %d: %v", n, err)
			}
		})
	}
	began := time.Now()
	fleet.Wait()
	answers, slowest := asked()
	check(t, srv.WaitApplied(ctx))
	there := number(ctx, t, srv, "SELECT count() FROM (SELECT DISTINCT box, id FROM fleet)")
	t.Logf("%d of %d rows in %s; %d answers to SQL, the slowest after %s", there, boxes*(backlog+trickle), time.Since(began).Round(time.Second), answers, slowest.Round(time.Millisecond))
	if there != boxes*(backlog+trickle) {
		t.Errorf("%d rows of %d", there, boxes*(backlog+trickle))
	}
}

// box is the configuration of one box of a fleet.
func box(url, dir, backoff string) string {
	return fmt.Sprintf("[[outputs.questdb_sf]]\nurls = [%q]\nsf_dir = %q\nreconnect_max_backoff = %q\n%s\n", url, dir, backoff, stayUntilSent)
}

// boxLines is line protocol of one box.
func boxLines(box, from, n int) (text []byte) {
	for i := from; i < from+n; i++ {
		text = fmt.Appendf(text, "fleet,box=b%d id=%di,v=%d.5 %d\n", box, i, i%7, time.Now().Add(-time.Hour).UnixNano()+int64(i)*1e6)
	}
	return text
}

// askAllTheWhile asks a question each second, over a connection of its own, until the
// function that it returns is called. A question without an answer fails the test.
func askAllTheWhile(ctx context.Context, t *testing.T, srv *questdb.Server) (stop func() (answers int, slowest time.Duration)) {
	ctx, cancel := context.WithCancel(ctx)
	answers, slowest, done := 0, time.Duration(0), make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			began := time.Now()
			if _, err := srv.Query(ctx, "SELECT 1"); err != nil && ctx.Err() == nil {
				t.Errorf("a question after %d answers: %v", answers, err)
				return
			}
			answers++
			slowest = max(slowest, time.Since(began))
			srv.CloseIdle()
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
			}
		}
	}()
	return func() (int, time.Duration) {
		cancel()
		<-done
		return answers, slowest
	}
}

// Thirty boxes with a backlog of six days wait for a server that comes back: they do not
// come all at once, and what is new is there within seconds.
func TestThirtyBoxesWithABacklogComeBackOneByOne(t *testing.T) {
	t.Parallel()
	ctx := longer(t)
	const boxes, perDay = 30, 600
	srv := startQuestDB(ctx, t, questdb.Options{})
	link := startNetem(t, srv, netem.Settings{})
	check(t, link.Refuse())
	var fleet []*execd.Process
	for n := range boxes {
		p := must(execd.Start(box(link.URL(), t.TempDir(), "12s")))(t)
		t.Cleanup(p.Close)
		var text []byte
		for i := range 6 * perDay {
			at := time.Now().Add(-6 * 24 * time.Hour).Add(time.Duration(i) * 24 * time.Hour / perDay)
			text = fmt.Appendf(text, "fleet,box=b%d id=%di,v=%d.5 %d\n", n, i, i%7, at.UnixNano())
		}
		_, err := p.Stdin.Write(text)
		check(t, err)
		fleet = append(fleet, p)
	}
	for _, p := range fleet {
		check(t, p.WaitDurable(ctx, 6*perDay))
	}
	time.Sleep(20 * time.Second) // the pauses have grown to their longest
	check(t, link.Listen())
	back := time.Now()
	late := freshRows(ctx, t, srv, fleet)
	for _, p := range fleet {
		check(t, p.Finish(ctx))
	}
	check(t, srv.WaitApplied(ctx))
	stats := link.Stats()
	peak, mean := stats.Rate(3*time.Second, back, back.Add(12*time.Second))
	there := number(ctx, t, srv, "SELECT count() FROM (SELECT DISTINCT box, id FROM fleet)")
	t.Logf("%d rows in %s, %d connections, in 3 s at most %d and %.1f on average; a new row was there after %s at the latest",
		there, time.Since(back).Round(time.Second), stats.Total(), peak, mean, late.Round(time.Millisecond))
	if want := boxes * (6*perDay + 1); there != want {
		t.Errorf("%d rows of %d", there, want)
	}
	if float64(peak) > 3*mean || late > 30*time.Second {
		t.Errorf("in 3 s %d connections, on average %.1f; a new row was there after %s", peak, mean, late)
	}
}

// freshRows writes a row into each box and tells when the last of them was in its table.
func freshRows(ctx context.Context, t *testing.T, srv *questdb.Server, fleet []*execd.Process) time.Duration {
	began := time.Now()
	for n, p := range fleet {
		_, err := fmt.Fprintf(p.Stdin, "fleet,box=b%d id=-1i,v=0.5 %d\n", n, began.UnixNano())
		check(t, err)
	}
	until(ctx, t, "the new row of each box", func() bool {
		r, err := srv.Query(ctx, "SELECT count() FROM fleet WHERE id = -1")
		return err == nil && fmt.Sprint(r.Rows[0][0]) == fmt.Sprint(len(fleet))
	})
	return time.Since(began)
}
