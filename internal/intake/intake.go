// SPDX-License-Identifier: MIT

// Package intake is what the Telegraf output and the execd binary share: it
// maps metrics, collects the rows in a batch, and stores the batch whole.
package intake

import (
	"context"
	"log/slog"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/mapping"
	"github.com/questdb-sf/questdb_sf/internal/qwp"
	"github.com/questdb-sf/questdb_sf/sfpool"
)

// Intake fills one batch at a time. For each metric call Start and the setters
// of the embedded Mapper, then End. It must not be used by two goroutines at
// once.
type Intake struct {
	*mapping.Mapper
	pool  *sfpool.Pool
	batch *sfpool.Batch
	log   *slog.Logger

	reason   string // of the first rejected row of the batch
	rejected int    // rows rejected since it was last said
	saidAt   time.Time
}

// New returns an Intake that stores into a pool.
func New(pool *sfpool.Pool, o mapping.Options, log *slog.Logger) *Intake {
	if o.Renamed == nil {
		o.Renamed = func(table, from, to, why string) {
			log.Info("name changed", "table", table, "from", from, "to", to, "why", why)
		}
	}
	return &Intake{Mapper: mapping.New(o), pool: pool, batch: pool.NewBatch(), log: log}
}

// End finishes the metric and adds its row. A row that can never be stored
// becomes a dead letter; what else there is goes on.
func (in *Intake) End(t time.Time) {
	row, err := in.Finish(t)
	if err == nil {
		err = in.batch.Add(row)
	}
	if err != nil {
		in.reject(row, err)
	}
}

func (in *Intake) reject(row *qwp.Row, err error) {
	if in.batch.Rejected() == 0 {
		in.reason = err.Error()
	}
	in.batch.Reject(row, err.Error())
}

// Rows returns how many rows wait for Commit, dead letters included.
func (in *Intake) Rows() int { return in.batch.Rows() + in.batch.Rejected() }

// Bytes returns about how much the waiting rows will occupy on disk.
func (in *Intake) Bytes() int { return in.batch.Bytes() }

// Reset forgets the rows that wait.
func (in *Intake) Reset() { in.batch.Reset() }

// Commit stores what waits: all of it, or with an error nothing, and then it
// still waits. The wait for room ends with ctx.
func (in *Intake) Commit(ctx context.Context) error {
	if in.Rows() == 0 {
		return nil
	}
	s, err := in.pool.Borrow(ctx)
	if err != nil {
		return err
	}
	defer s.Return()
	if err := s.Flush(ctx, in.batch); err != nil {
		return err
	}
	in.rejected += in.batch.Rejected()
	in.batch.Reset()
	if time.Since(in.saidAt) >= time.Minute {
		in.SayRejected()
	}
	return nil
}

// Room is how much may wait, by Bytes, and still be sure to find room in an
// empty store.
func (in *Intake) Room() int { return in.pool.BatchBytes() }

// SayRejected tells of the dead letters since it was last called. Commit does so
// at most once a minute; the owner does at the end.
func (in *Intake) SayRejected() {
	if in.rejected == 0 {
		return
	}
	in.log.Warn("rows that can never be stored went to the dead-letter file",
		"rows", in.rejected, "reason", in.reason, "file", in.pool.DeadLetterPath())
	in.rejected, in.saidAt = 0, time.Now()
}
