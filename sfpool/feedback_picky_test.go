// SPDX-License-Identifier: MIT

package sfpool

import (
	"context"
	"errors"
	"io/fs"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/deadletter"
	"github.com/questdb-sf/questdb_sf/internal/qwp"
	"github.com/questdb-sf/questdb_sf/internal/slot"
)

// picky is a server behind the fakes of a bed that refuses columns: as a sender
// does, it makes a letter of a refused row and then settles its frame.
type picky struct {
	t   testing.TB
	b   *bed
	p   *Pool
	all sync.WaitGroup

	mu      sync.Mutex
	refuses map[string]bool // columns
	mute    bool            // it does not answer
	taken   map[int64]int   // how often a row was taken, by id
	trials  []time.Time     // of refusals
}

func newPicky(t testing.TB, b *bed, cfg Config, refuses ...string) *picky {
	s := &picky{t: t, b: b, refuses: map[string]bool{}, taken: map[int64]int{}}
	for _, column := range refuses {
		s.refuses[column] = true
	}
	b.sent = func(index int, first slot.FSN, frames [][]byte) {
		s.all.Go(func() { s.answer(index, first, frames) })
	}
	s.p = b.open(cfg)
	return s
}

func (s *picky) answer(index int, first slot.FSN, frames [][]byte) {
	s.mu.Lock()
	mute := s.mute
	s.mu.Unlock()
	if mute {
		return
	}
	var letters []deadletter.Letter
	var v qwp.View
	for i, frame := range frames {
		do(s.t, v.Parse(frame, nil))
		for block := range v.Tables() {
			n := 0
			for row := range v.Tables()[block].All(0, v.Tables()[block].Rows, &Row{}) {
				letters = append(letters, s.judge(row, deadletter.Key{
					Slot: s.p.slotName(index), FSN: int64(first) + int64(i), Block: block, Row: n,
				})...)
				n++
			}
		}
	}
	if err := s.p.letters.Add(letters); errors.Is(err, fs.ErrClosed) {
		return
	} else if err != nil {
		s.t.Error(err)
	}
	s.b.ack(index, int64(len(frames)))
}

// judge takes a row or makes a letter of it.
func (s *picky) judge(row *Row, key deadletter.Key) []deadletter.Letter {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := int64(-1)
	for i := range row.Cells {
		c := &row.Cells[i]
		if c.Name == "id" {
			id = c.Int()
		}
		if s.refuses[c.Name] {
			s.trials = append(s.trials, time.Now())
			kept := &Row{Table: row.Table, Time: row.Time, TimeType: row.TimeType}
			kept.Cells, _ = qwp.AppendCells(nil, make([]byte, 0, 1<<16), row.Cells)
			return []deadletter.Letter{{Key: &key, Row: kept, Class: deadletter.Refused, Reason: "no", Host: "db", Column: c.Name, Type: c.Type}}
		}
	}
	s.taken[id]++
	return nil
}

// accepts changes what the server refuses.
func (s *picky) accepts(column string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.refuses, column)
}

// send stores rows with a column and the ids of a range.
func (s *picky) send(column string, from, to int64) {
	s.t.Helper()
	b := s.p.NewBatch()
	for id := from; id < to; id++ {
		var r Row
		r.Reset("t")
		r.Long("id", id)
		r.Double(column, 0.5)
		r.At(1700000000000000 + id)
		do(s.t, b.Add(&r))
	}
	lent, err := s.p.Borrow(context.Background())
	do(s.t, err)
	do(s.t, lent.Flush(context.Background(), b))
	lent.Return()
	synctest.Wait()
}

// took fails the test unless each row of a range was taken so often.
func (s *picky) took(from, to int64, times int) {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for id := from; id < to; id++ {
		if s.taken[id] != times {
			s.t.Fatalf("after %s row %d was taken %d times, want %d", time.Since(epoch), id, s.taken[id], times)
		}
	}
}

// letters fails the test unless there are so many Refused ones.
func (s *picky) letters(want int64) {
	s.t.Helper()
	synctest.Wait()
	if got := s.p.Stats().Letters.Refused.Letters; got != want {
		s.t.Fatalf("after %s there are %d letters, want %d", time.Since(epoch), got, want)
	}
}

func after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}
