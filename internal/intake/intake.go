// SPDX-License-Identifier: MIT

// Package intake is what the Telegraf output and the execd binary share: it
// maps metrics, collects the rows in a batch, and stores the batch whole.
//
// A large batch, or one that meets a backlog, is split: rows of one series, which
// are those of equal table and symbols, go to one shard, and each shard to a sender
// of its own. Shards are encoded side by side while the caller maps, then appended
// and synced side by side, and published together.
package intake

import (
	"cmp"
	"hash/maphash"
	"log/slog"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/mapping"
	"github.com/questdb-sf/questdb_sf/internal/qwp"
	"github.com/questdb-sf/questdb_sf/sfpool"
)

// Store gives an Intake the pool that takes rows at the time.
type Store interface {
	// Pool returns the pool that takes rows now. It stays open until release is
	// called. An error says why there is none; the rows stay with the caller.
	Pool() (p *sfpool.Pool, release func(), err error)
	// Failed hears why a flush into p failed. It is true when Pool gives another
	// pool from now on, with which the flush may work.
	Failed(p *sfpool.Pool, err error) (again bool)
}

// A batch is split from so many rows on, or if the sender that would take it has
// more than so many bytes pending.
const (
	splitRows    = 8192
	splitPending = 16 << 20
)

// There is one shard for each so many rows, but at least leastShards, as far as
// the pool has slots.
const (
	shardRows   = 1024
	leastShards = 4
)

// Intake fills one batch at a time. Call Expect, then for each metric Start and
// the setters of the embedded Mapper, and End. It must not be used by two
// goroutines at once.
type Intake struct {
	*mapping.Mapper
	store   Store
	segment int64
	log     *slog.Logger

	merger *mapping.Merger // nil unless rows are to be joined

	rows   int      // waiting, dead letters included, without those in the merger
	own    part     // all rows, or of a batch that is split those no shard gets
	shards []*shard // the first ways are in use
	ways   int      // 0 for a batch that is not split
	seed   maphash.Seed
	team   []*sfpool.Sender // while they are borrowed

	// Of the pool last seen.
	room    int
	letters string

	reason   string // of the last dead letters
	rejected int    // rows rejected since it was last said
	saidAt   time.Time
	times    times // of rows out of range
}

// New returns an Intake that stores into the pools of a Store, with segments of
// segmentBytes, 0 for the default of sfpool.
func New(s Store, segmentBytes int64, o mapping.Options, log *slog.Logger) *Intake {
	if o.Renamed == nil {
		o.Renamed = func(table, from, to, why string) {
			log.Info("name changed", "table", table, "from", from, "to", to, "why", why)
		}
	}
	if o.Noted == nil {
		o.Noted = func(table, what string) { log.Warn(what, "table", table) }
	}
	in := &Intake{
		Mapper: mapping.New(o), store: s, segment: segmentBytes, log: log,
		own: part{Batch: sfpool.NewBatch(segmentBytes)}, seed: maphash.MakeSeed(), times: times{log: log},
	}
	if o.MergeRows {
		in.merger = mapping.NewMerger(in.Mapper)
	}
	return in
}

// Expect says how many rows the batch that begins is likely to have, which is
// what decides, with the state of the pool, whether it is split. It does nothing
// while rows wait. A batch that is not announced is not split.
func (in *Intake) Expect(rows int) {
	if in.Rows() > 0 {
		return
	}
	in.ways = in.split(rows)
	for len(in.shards) < in.ways {
		in.shards = append(in.shards, newShard(in.segment))
	}
}

// split returns over how many shards a batch goes; 0 for none.
func (in *Intake) split(rows int) int {
	pool, release, err := in.store.Pool()
	if err != nil {
		return 0 // Commit will tell
	}
	defer release()
	in.see(pool)
	if rows < splitRows && pool.LeastPending() <= splitPending {
		return 0
	}
	if n := min(pool.MaxSenders(), max(leastShards, rows/shardRows)); n > 1 {
		return n
	}
	return 0
}

func (in *Intake) see(pool *sfpool.Pool) {
	in.room, in.letters = pool.BatchBytes(), pool.DeadLetterPath()
}

// End finishes the metric and adds its row. A row that can never be stored
// becomes a dead letter, and so do values beyond max_columns_per_table; what else
// there is goes on.
func (in *Intake) End(t time.Time) {
	row, err := in.Finish(t)
	switch {
	case err != nil:
		in.refuse(row, err)
	case in.merger != nil:
		in.merge(row)
	default:
		in.add(row)
	}
	if rest, err := in.Excess(); err != nil {
		in.refuse(rest, err)
	}
}

func (in *Intake) add(row *qwp.Row) {
	in.rows++
	if in.ways == 0 {
		in.own.add(row)
		return
	}
	in.shards[in.series(row)%uint64(in.ways)].take(row)
}

func (in *Intake) refuse(row *qwp.Row, err error) {
	in.rows++
	in.own.refuse(row, err)
}

func (in *Intake) merge(row *qwp.Row) {
	in.merger.Add(row)
	if in.merger.Full() {
		in.takeMerged()
	}
}

// takeMerged adds the rows that the merger holds, if there is one.
func (in *Intake) takeMerged() {
	if in.merger == nil {
		return
	}
	for row := range in.merger.Rows {
		in.add(row)
	}
	in.merger.Reset()
}

// series returns a number that rows of one series share.
func (in *Intake) series(row *qwp.Row) uint64 {
	var h maphash.Hash
	h.SetSeed(in.seed)
	_, _ = h.WriteString(row.Table)
	for i := range row.Cells {
		if c := &row.Cells[i]; c.Type == qwp.TypeSymbol {
			_ = h.WriteByte(0) // no symbol has one
			_, _ = h.Write(c.Text)
		}
	}
	return h.Sum64()
}

// Rows returns how many rows wait for Commit, dead letters included.
func (in *Intake) Rows() int {
	if in.merger != nil {
		return in.rows + in.merger.Len()
	}
	return in.rows
}

// Bytes returns about how much the waiting rows will occupy on disk.
func (in *Intake) Bytes() int {
	sum := in.own.Bytes()
	for _, s := range in.shards[:in.ways] {
		sum += s.estimate()
	}
	if in.merger != nil {
		sum += in.merger.Bytes()
	}
	return sum
}

// Reset forgets the rows that wait.
func (in *Intake) Reset() {
	for _, s := range in.shards[:in.ways] {
		s.reset()
	}
	if in.merger != nil {
		in.merger.Reset()
	}
	in.own.Reset()
	in.own.reason = ""
	in.rows, in.ways = 0, 0
	in.times.begin(in.Mapper)
}

// Room is how much may wait, by Bytes, and still be sure to find room in an
// empty store.
func (in *Intake) Room() int {
	if pool, release, err := in.store.Pool(); err == nil {
		in.see(pool)
		release()
	}
	return cmp.Or(in.room, leastRoom)
}

// leastRoom is what every store has room for: half of the smallest segment.
const leastRoom = 32 << 10

// SayRejected tells of the dead letters since it was last called, and of rows out
// of time. Commit does so at most once a minute; the owner does at the end.
func (in *Intake) SayRejected() {
	in.times.flush(in.Mapper)
	in.sayRejected()
}

func (in *Intake) sayRejected() {
	if in.rejected == 0 {
		return
	}
	text := "rows that can never be stored went to the dead-letter file"
	if in.letters == "" {
		text = "rows that can never be stored were dropped: there is no sf_dir for a dead-letter file"
	}
	in.log.Warn(text, "rows", in.rejected, "reason", in.reason, "file", in.letters)
	in.rejected, in.saidAt = 0, time.Now()
}
