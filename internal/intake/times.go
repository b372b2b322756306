// SPDX-License-Identifier: MIT

package intake

import (
	"log/slog"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/mapping"
)

// sayTimesEvery is how often rows out of time are spoken of, of each side.
const sayTimesEvery = time.Minute

// times tells of rows whose time is out of range: of each side at once, and then
// at most once a minute with how many there were.
type times struct {
	log   *slog.Logger
	began [2]int64 // what was counted when the batch began
	sides [2]remark
}

// remark is what was said of one side, and what was not.
type remark struct {
	rows int64 // since it was last said
	said time.Time
}

func counted(m *mapping.Mapper) [2]int64 {
	c := m.Counts()
	return [2]int64{c.Early, c.Late}
}

// begin is told that a batch begins: what was counted for one that is mapped again
// does not count.
func (t *times) begin(m *mapping.Mapper) { t.began = counted(m) }

// stored is told that the batch is in the store.
func (t *times) stored(m *mapping.Mapper) {
	now := counted(m)
	for i := range t.sides {
		r := &t.sides[i]
		r.rows += now[i] - t.began[i]
		if r.said.IsZero() || time.Since(r.said) >= sayTimesEvery {
			t.say(m, mapping.Side(i+1))
		}
	}
}

// flush says what was not said yet.
func (t *times) flush(m *mapping.Mapper) {
	for i := range t.sides {
		t.say(m, mapping.Side(i+1))
	}
}

func (t *times) say(m *mapping.Mapper, side mapping.Side) {
	r := &t.sides[side-1]
	if r.rows == 0 {
		return
	}
	now := time.Now()
	bounds, what := m.Times(), "rows are from before time_min"
	bound := slog.String("time_min", seconds(bounds.Min))
	if side == mapping.Late {
		what, bound = "rows are too far in the future", slog.String("time_max_future", bounds.MaxFuture.String())
	}
	t.log.Warn(what+": "+becomes(bounds.Policy)+"; check the clock of their source, and of this box",
		"rows", r.rows, "last_time", seconds(m.LastOut(side)), bound, "clock", seconds(now))
	r.rows, r.said = 0, now
}

// becomes says what a policy does with rows.
func becomes(p mapping.TimePolicy) string {
	switch p {
	case mapping.TimeDeadLetter:
		return "they go to the dead-letter file"
	case mapping.TimeNow:
		return "they get the present time, or go to the dead-letter file while this box's clock is not set"
	}
	return "they are stored as they are"
}

func seconds(t time.Time) string { return t.UTC().Format(time.RFC3339) }
