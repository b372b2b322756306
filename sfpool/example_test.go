// SPDX-License-Identifier: MIT

package sfpool_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/questdb-sf/questdb_sf/sfpool"
	"github.com/questdb-sf/questdb_sf/testutil/qwpserver"
)

// A program that must not lose rows: they are on disk when Flush returns, and
// reach QuestDB when it is there.
func Example() {
	server, err := qwpserver.Start(qwpserver.Options{}) // stands for your QuestDB
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	dir, err := os.MkdirTemp("", "sf")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	ctx := context.Background()
	pool, err := sfpool.Open(ctx, sfpool.Config{
		URLs: []string{server.URL()}, Dir: dir, Durability: sfpool.DurabilityFlush,
	})
	if err != nil {
		log.Fatal(err)
	}
	sender, err := pool.Borrow(ctx)
	if err != nil {
		log.Fatal(err)
	}
	batch := pool.NewBatch()
	err = batch.Table("trades").Symbol("symbol", "ETH-USD").Float64Column("price", 2615.54).
		At(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	if err != nil {
		log.Print("a row that can never be stored: ", err)
	}
	if err := sender.Flush(ctx, batch); err != nil {
		log.Fatal(err) // nothing was stored; the batch may be flushed again
	}
	sender.Return()

	if err := pool.WaitAcked(ctx); err != nil { // optional: the pool sends anyway
		log.Fatal(err)
	}
	fmt.Println(server.Total(), "row sent,", pool.Stats().Pending, "pending")
	if err := pool.Close(ctx); err != nil {
		log.Fatal(err)
	}
	// Output: 1 row sent, 0 pending
}
