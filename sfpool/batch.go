// SPDX-License-Identifier: MIT

package sfpool

import (
	"bytes"
	"errors"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/deadletter"
	"github.com/questdb-sf/questdb_sf/internal/qwp"
	"github.com/questdb-sf/questdb_sf/internal/slot"
)

// Row is one row: a table, cells, and the designated timestamp.
type Row = qwp.Row

// RowError says why a row can never be stored.
type RowError = qwp.RowError

// ErrRowTooLarge is the reason of the RowError of a row that is larger than a
// segment, or nearly.
var ErrRowTooLarge = qwp.ErrRowTooLarge

var (
	errNoValue  = errors.New("it has no column that is not null")
	errTextNUL  = errors.New("text has a NUL, for which QuestDB drops the row")
	errTimeSpan = errors.New("its time is not between 1970 and 9999")
)

// frameTarget is the size at which a frame is closed. Small enough that a
// refused frame is no catastrophe, large enough that its header is nothing.
const frameTarget = 256 << 10

// Batch collects rows and packs them into frames. After a Flush that returned nil,
// Reset it for the next rows: it keeps its memory. It must not be used by two goroutines at once.
type Batch struct {
	builder *qwp.Builder
	buf     []byte
	frames  []packed
	staged  []slot.Frame // of group
	rows    int
	limit   int // bytes of a frame

	row     RowBuilder
	scratch Row          // of AddColumns
	trial   *qwp.Builder // always empty, made when needed

	letters   []byte
	unwritten int // of the rejected, those in letters
	rejected  int
	stored    bool // by a Flush; nothing more goes with it before Reset
}

// packed is a finished frame inside buf.
type packed struct {
	from, to int
	info     qwp.Info
	moved    bool // by MoveTo
}

// NewBatch returns an empty batch that fits the pool's segments.
func (p *Pool) NewBatch() *Batch { return NewBatch(p.cfg.MaxSegmentBytes) }

// NewBatch returns an empty batch for pools with segments of maxSegmentBytes, the
// MaxSegmentBytes of their Config; 0 is the default. No pool need be open.
func NewBatch(maxSegmentBytes int64) *Batch {
	setDefault(&maxSegmentBytes, defaultSegment)
	limit := int(maxSegmentBytes - slot.SegmentOverhead)
	return &Batch{builder: newBuilder(limit), limit: limit}
}

func newBuilder(limit int) *qwp.Builder {
	b := qwp.NewBuilder(limit)
	b.StrictNames = true
	return b
}

// Add takes a row, whole or not at all. A *RowError says that it can never be
// stored, as [RowBuilder] explains; Reject keeps such a row as a dead letter. A
// row without a time gets that of the server when it arrives there.
func (b *Batch) Add(row *Row) error {
	if err := sendable(row); err != nil {
		return err
	}
	return b.add(row)
}

// add takes a row that is sendable.
func (b *Batch) add(row *Row) error {
	if b.builder.Size() >= frameTarget && b.builder.Rows() > 0 {
		b.pack()
	}
	err := b.builder.Add(row)
	if errors.Is(err, qwp.ErrFrameFull) {
		b.pack()
		err = b.builder.Add(row)
	}
	if err == nil {
		b.rows++
	}
	return err
}

// sendable refuses what the format can say and a server could never take, because
// such a row would hold up its slot. Names are left to the Builder, which sees each
// only once.
func sendable(row *Row) error {
	if len(row.Cells) == 0 {
		return &RowError{Table: row.Table, Err: errNoValue}
	}
	for i := range row.Cells {
		if c := &row.Cells[i]; bytes.IndexByte(c.Text, 0) >= 0 {
			return &RowError{Table: row.Table, Column: c.Name, Err: errTextNUL}
		}
	}
	if err := checkTime(row.Time, row.TimeType); err != nil {
		return &RowError{Table: row.Table, Err: err}
	}
	return nil
}

// lastMicro is the last microsecond of the year 9999.
const lastMicro = 253402300799999999

// checkTime checks a designated timestamp, which unit 0 says is none. Nanoseconds
// end before the year 9999.
func checkTime(t int64, unit qwp.Type) error {
	if unit != 0 && t < 0 || unit == qwp.TypeTimestamp && t > lastMicro {
		return errTimeSpan
	}
	return nil
}

// Reject adds a row that can never be stored to the dead letters of the batch.
// They are written and synced together with its rows; without sf_dir they are
// only counted.
func (b *Batch) Reject(row *Row, reason string) {
	b.letters = deadletter.Append(b.letters, time.Now(), &deadletter.Letter{Row: row, Reason: reason, Class: deadletter.Final})
	b.unwritten++
	b.rejected++
}

// Rows returns how many rows were added since the last Reset.
func (b *Batch) Rows() int { return b.rows }

// Rejected returns how many rows were rejected since the last Reset.
func (b *Batch) Rejected() int { return b.rejected }

// Bytes returns about how much the batch will occupy on disk.
func (b *Batch) Bytes() int { return len(b.buf) + b.builder.Size() + len(b.letters) }

// Reset empties the batch. A row that was not ended is forgotten.
func (b *Batch) Reset() {
	b.row.open, b.stored = false, false
	b.builder.Reset()
	b.buf, b.frames, b.rows = b.buf[:0], b.frames[:0], 0
	b.letters, b.unwritten, b.rejected = b.letters[:0], 0, 0
}

// pack encodes the rows collected so far as one frame.
func (b *Batch) pack() {
	if b.builder.Rows() == 0 {
		return
	}
	from := len(b.buf)
	info := b.builder.Info()
	b.buf = b.builder.AppendFrame(b.buf)
	b.frames = append(b.frames, packed{from: from, to: len(b.buf), info: info})
	b.builder.Reset()
}

// Merge moves the rows and the dead letters of another batch behind those of b.
// The other one is then as after Reset. Both must be for segments of one size,
// and neither stored.
func (b *Batch) Merge(other *Batch) {
	b.mustBeMergeable()
	other.mustBeMergeable()
	if b.limit != other.limit {
		panic("bug: Merge of batches for segments of different sizes")
	}
	b.pack()
	other.pack()
	shift := len(b.buf)
	b.buf = append(b.buf, other.buf...)
	for _, f := range other.frames {
		f.from, f.to = f.from+shift, f.to+shift
		b.frames = append(b.frames, f)
	}
	b.letters = append(b.letters, other.letters...)
	b.unwritten += other.unwritten
	b.rows, b.rejected = b.rows+other.rows, b.rejected+other.rejected
	other.Reset()
}

func (b *Batch) mustBeMergeable() {
	if b.stored || b.row.open {
		panic("bug: Merge of a batch that is stored, or whose last row was not ended")
	}
}

func (b *Batch) sizes() []int {
	sizes := make([]int, len(b.frames))
	for i, f := range b.frames {
		sizes[i] = f.to - f.from
	}
	return sizes
}

// group returns the frames as the slot takes them: together, so that they are
// one write.
func (b *Batch) group() []slot.Frame {
	b.staged = b.staged[:0]
	for _, f := range b.frames {
		b.staged = append(b.staged, slot.Frame{
			Bytes: b.buf[f.from:f.to], Rows: f.info.Rows,
			MinTime: f.info.MinTime, MaxTime: f.info.MaxTime, HasTime: f.info.HasTime, Moved: f.moved,
		})
	}
	return b.staged
}
