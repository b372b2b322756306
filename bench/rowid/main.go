// SPDX-License-Identifier: MIT

// Command rowid measures what the column sf_row_id of exactly_once costs: bytes on
// the wire and on QuestDB's disk, and time. It starts the real QuestDB and prints
// pairs, without and with the id, that were measured one after the other.
//
//	go run ./bench/rowid -rows 300000 -pairs 5
package main

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/link"
	"github.com/questdb-sf/questdb_sf/internal/qwp"
	"github.com/questdb-sf/questdb_sf/internal/rowid"
	"github.com/questdb-sf/questdb_sf/internal/sqlhttp"
	"github.com/questdb-sf/questdb_sf/internal/tables"
	"github.com/questdb-sf/questdb_sf/testutil/questdb"
)

const perFrame = 5000 // rows

func main() {
	rows := flag.Int("rows", 300_000, "rows of each run")
	pairs := flag.Int("pairs", 5, "runs without and with the id")
	flag.Parse()
	if err := measure(context.Background(), *rows, *pairs); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func measure(ctx context.Context, rows, pairs int) error {
	if err := wire(ctx); err != nil {
		return err
	}
	srv, err := questdb.Start(ctx, questdb.Options{})
	if err != nil {
		return err
	}
	defer func() { _ = srv.Stop() }()
	if _, err := ingest(ctx, srv, "warm", rows, false); err != nil {
		return err
	}
	var sent, applied []float64
	for i := range pairs {
		without, err := ingest(ctx, srv, fmt.Sprint("plain", i), rows, false)
		if err != nil {
			return err
		}
		with, err := ingest(ctx, srv, fmt.Sprint("once", i), rows, true)
		if err != nil {
			return err
		}
		fmt.Printf("pair %d: without %v; with %v\n", i, without, with)
		sent = append(sent, with.sent.Seconds()/without.sent.Seconds())
		applied = append(applied, with.applied.Seconds()/without.applied.Seconds())
	}
	fmt.Printf("time with the id / without, median of %d: acked %.2f, applied %.2f\n", pairs, median(sent), median(applied))
	return nil
}

func median(list []float64) float64 {
	slices.Sort(list)
	return list[len(list)/2]
}

// result is one run.
type result struct {
	rows          int
	sent, applied time.Duration // until the last ack, until the last row is in the table
	disk          int64         // bytes
}

func (r result) String() string {
	return fmt.Sprintf("%.0f rows/s acked, %.0f applied, %.1f B/row on disk",
		float64(r.rows)/r.sent.Seconds(), float64(r.rows)/r.applied.Seconds(), float64(r.disk)/float64(r.rows))
}

func ingest(ctx context.Context, srv *questdb.Server, table string, rows int, once bool) (result, error) {
	frames := make([][]byte, 0, rows/perFrame)
	for first := 0; first < rows; first += perFrame {
		frames = append(frames, frame(table, first))
	}
	l, err := link.New(link.Config{URLs: []string{srv.HTTP()}, Transport: link.ILP, Compression: link.CompressionNone})
	if err != nil {
		return result{}, err
	}
	defer l.CloseIdle()
	k, err := tables.New(tables.Config{SQL: sqlhttp.New(l), Create: tables.SQL, ExactlyOnce: once})
	if err != nil {
		return result{}, err
	}
	began := time.Now()
	ready := func(host, table string) (bool, error) {
		a, err := k.Ready(ctx, host, table, began)
		return a.RowID, err
	}
	if err := send(ctx, l, frames, ready); err != nil {
		return result{}, err
	}
	r := result{rows: len(frames) * perFrame, sent: time.Since(began)}
	if err := srv.WaitApplied(ctx); err != nil {
		return r, err
	}
	r.applied = time.Since(began)
	disk, err := srv.Query(ctx, "SELECT sum(diskSize) FROM table_partitions("+sqlhttp.Literal(table)+")")
	if err != nil {
		return r, err
	}
	_, err = fmt.Sscan(fmt.Sprint(disk.Rows[0][0]), &r.disk)
	return r, err
}

// send sends frames as a sender does, one request each.
func send(ctx context.Context, l *link.Link, frames [][]byte, ready func(host, table string) (bool, error)) error {
	conn, err := l.Connect(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	var v qwp.View
	var hasher rowid.Hasher
	for _, f := range frames {
		if err := v.Parse(f, nil); err != nil {
			return err
		}
		id, err := ready(conn.Host(), v.Tables()[0].Name)
		if err != nil {
			return err
		}
		if err := exchange(ctx, conn, &v, &hasher, id); err != nil {
			return err
		}
	}
	return nil
}

func exchange(ctx context.Context, conn link.Conn, v *qwp.View, hasher *rowid.Hasher, id bool) error {
	var more qwp.AddLong
	if id {
		more = func(t *qwp.Table, first, last int) (string, []int64) {
			return rowid.Column, hasher.Rows(t, first, last)
		}
	}
	if err := conn.AddWith(v, qwp.WholeMessage, more); err != nil {
		return err
	}
	if _, err := conn.Send(ctx); err != nil {
		return err
	}
	o, err := conn.Recv(ctx)
	if err == nil && o.Refusal != nil {
		err = o.Refusal
	}
	return err
}

// frame has rows of Telegraf's cpu input from 200 hosts every 10 s.
func frame(table string, first int) []byte {
	b := qwp.NewBuilder(64 << 20)
	r := new(qwp.Row)
	random := rand.New(rand.NewPCG(1, uint64(first)))
	for i := first; i < first+perFrame; i++ {
		r.Reset(table)
		r.Symbol("host", fmt.Sprintf("server-%03d", i%200))
		r.Symbol("cpu", "cpu-total")
		for _, name := range []string{"usage_user", "usage_system", "usage_idle", "usage_nice", "usage_iowait", "usage_irq", "usage_softirq", "usage_steal", "usage_guest", "usage_guest_nice"} {
			r.Double(name, float64(random.IntN(10_000))/100)
		}
		r.At(1_700_000_000_000_000 + int64(i/200)*10_000_000)
		if err := b.Add(r); err != nil {
			panic(err)
		}
	}
	return b.AppendFrame(nil)
}
