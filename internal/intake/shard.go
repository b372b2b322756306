// SPDX-License-Identifier: MIT

package intake

import (
	"runtime/debug"
	"sync"

	"github.com/questdb-sf/questdb_sf/internal/qwp"
	"github.com/questdb-sf/questdb_sf/sfpool"
)

// shard is a part of a batch that is encoded beside the caller. There is a
// goroutine only while there is a full chunk, so that nothing is left behind by
// an Intake that nobody ends.
type shard struct {
	part
	segment int64
	filling *chunk // by the caller
	size    int    // bytes of what is encoded, when it was last known
	busy    sync.WaitGroup

	// The goroutine has part and these while it is busy.
	encoding *chunk
	encoded  int // bytes
	failure  *sfpool.PanicError
}

func newShard(segment int64) *shard {
	return &shard{
		part: part{Batch: sfpool.NewBatch(segment)}, segment: segment,
		filling: new(chunk), encoding: new(chunk),
	}
}

// take copies a row.
func (s *shard) take(row *qwp.Row) {
	s.filling.add(row)
	if s.filling.full() {
		s.hand()
	}
}

// hand starts the encoding of the rows taken so far, when that of the ones before
// is through: memory is bounded by two chunks.
func (s *shard) hand() {
	if s.filling.n == 0 {
		return
	}
	s.busy.Wait()
	s.size = s.encoded
	s.filling, s.encoding = s.encoding, s.filling
	s.filling.reset()
	s.busy.Go(s.encode)
}

// encode adds the rows of a chunk to the batch. Behind a panic the batch is in
// doubt, and takes nothing more.
func (s *shard) encode() {
	defer func() {
		if v := recover(); v != nil {
			s.failure = &sfpool.PanicError{Doing: "encoding a part of a batch", Value: v, Stack: debug.Stack()}
		}
	}()
	if s.failure != nil {
		return
	}
	for i := range s.encoding.n {
		s.add(&s.encoding.rows[i])
	}
	s.encoded = s.Bytes()
}

// estimate returns about how many bytes its rows will occupy on disk, without
// waiting for the goroutine. It may leave out a chunk of those that are encoded.
func (s *shard) estimate() int { return s.size + s.filling.size + s.encoding.size }

func (s *shard) reset() {
	s.busy.Wait()
	if s.failure != nil {
		s.Batch, s.failure = sfpool.NewBatch(s.segment), nil
	}
	s.Reset()
	s.filling.reset()
	s.encoding.reset()
	s.size, s.encoded, s.reason = 0, 0, ""
}

// A chunk is handed over at so many rows, or bytes. Starting a goroutine is
// little against encoding that much, and all shards get to work early.
const (
	chunkRows  = 256
	chunkBytes = 64 << 10
)

// chunk owns copies of rows, and keeps its memory.
type chunk struct {
	rows []qwp.Row // the first n are in use
	n    int
	text []byte // of their cells
	size int    // about their bytes in a frame
}

func (c *chunk) full() bool { return c.n >= chunkRows || c.size >= chunkBytes }

func (c *chunk) add(row *qwp.Row) {
	if c.n == len(c.rows) {
		c.rows = append(c.rows, qwp.Row{})
	}
	own, before := &c.rows[c.n], len(c.text)
	own.Reset(row.Table)
	own.Time, own.TimeType = row.Time, row.TimeType
	own.Cells, c.text = qwp.AppendCells(own.Cells, c.text, row.Cells)
	c.n++
	c.size += len(c.text) - before + cellBytes*(len(row.Cells)+1)
}

// cellBytes is what most types occupy in a frame.
const cellBytes = 8

// reset empties the chunk. What one huge row needed is given back.
func (c *chunk) reset() {
	if cap(c.text) > 4*chunkBytes {
		c.text = nil
	}
	c.n, c.size, c.text = 0, 0, c.text[:0]
}
