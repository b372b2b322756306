// SPDX-License-Identifier: MIT

package mapping_test

import (
	"strings"
	"testing"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/mapping"
	"pgregory.net/rapid"
)

var (
	day     = 24 * time.Hour
	timeMin = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	boot    = time.Unix(42, 0) // what a box without a clock battery reads
)

// believing maps with a clock that the test sets.
func believing(p mapping.TimePolicy, clock *time.Time) *mapping.Mapper {
	return mapping.New(mapping.Options{Times: mapping.TimeRange{
		Policy: p, Min: timeMin, MaxFuture: day, Now: func() time.Time { return *clock },
	}})
}

// mapAt returns the time that a row of this time is stored with, or why it is not.
func mapAt(m *mapping.Mapper, at time.Time) (time.Time, error) {
	m.Start("t")
	m.Int("v", 1)
	row, err := m.Finish(at)
	return time.UnixMicro(row.Time), err
}

func TestRowsOutOfTimeFollowThePolicy(t *testing.T) {
	micro := noon.Truncate(time.Microsecond)
	early, late := timeMin.Add(-1), micro.Add(day+time.Microsecond)
	for _, c := range []struct {
		name   string
		policy mapping.TimePolicy
		clock  time.Time
		row    time.Time
		want   time.Time // zero: a dead letter
		says   string
	}{
		{"in range", mapping.TimeDeadLetter, micro, micro, micro, ""},
		{"at the lower bound", mapping.TimeDeadLetter, micro, timeMin, timeMin, ""},
		{"at the upper bound", mapping.TimeDeadLetter, micro, micro.Add(day), micro.Add(day), ""},
		{"early", mapping.TimeDeadLetter, micro, early, time.Time{}, "its time 2019-12-31T23:59:59Z is before time_min = 2020-01-01T00:00:00Z"},
		{"late", mapping.TimeDeadLetter, micro, late, time.Time{}, "is more than time_max_future = 24h0m0s ahead of the clock of this box, which reads 2026-11-22T12:00:00Z"},
		{"early and kept", mapping.TimeKeep, micro, boot, boot, ""},
		{"late and kept", mapping.TimeKeep, micro, late, late, ""},
		{"before 1970 and kept", mapping.TimeKeep, micro, time.Unix(-1, 0), time.Time{}, "is not between 1970 and 9999"},
		{"before 1970", mapping.TimeDeadLetter, micro, time.Unix(-1, 0), time.Time{}, "is not between 1970 and 9999"},
		{"early, now", mapping.TimeNow, micro, boot, micro, ""},
		{"late, now", mapping.TimeNow, micro, late, micro, ""},
		{"before 1970, now", mapping.TimeNow, micro, time.Unix(-1, 0), micro, ""},
		{"beyond 9999, now", mapping.TimeNow, micro, time.Date(12000, 1, 1, 0, 0, 0, 0, time.UTC), micro, ""},
		{"true while the box says 1970", mapping.TimeDeadLetter, boot, micro, micro, ""},
		{"true while the box says 1970, now", mapping.TimeNow, boot, micro, micro, ""},
		{"stamped by the box that says 1970", mapping.TimeDeadLetter, boot, boot, time.Time{}, "that of this box reads 1970-01-01T00:00:42Z"},
		{"stamped by the box that says 1970, kept", mapping.TimeKeep, boot, boot, boot, ""},
		{"stamped by the box that says 1970, now", mapping.TimeNow, boot, boot, time.Time{}, "there is no present time to store it with"},
		{"the box says less than time_min", mapping.TimeDeadLetter, early, late, late, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := mapAt(believing(c.policy, &c.clock), c.row)
			switch {
			case c.want.IsZero() && (err == nil || !strings.Contains(err.Error(), c.says)):
				t.Errorf("error %v, want one with %q", err, c.says)
			case !c.want.IsZero() && (err != nil || !got.Equal(c.want)):
				t.Errorf("stored with %s, %v; want %s", got.UTC(), err, c.want.UTC())
			}
		})
	}
}

// A user who moves time_min back still has a clock that says 1970 seen through.
func TestAClockBeforeThisProgramIsUnsetWhateverTimeMin(t *testing.T) {
	m := mapping.New(mapping.Options{Times: mapping.TimeRange{
		Policy: mapping.TimeDeadLetter, Min: time.Unix(0, 0), MaxFuture: day, Now: func() time.Time { return boot },
	}})
	if _, err := mapAt(m, noon); err != nil {
		t.Error(err)
	}
}

func TestRowsOutOfTimeAreCountedBySide(t *testing.T) {
	clock := noon
	m := believing(mapping.TimeNow, &clock)
	for _, at := range []time.Time{boot, boot.Add(time.Second), noon, noon.Add(2 * day)} {
		if _, err := mapAt(m, at); err != nil {
			t.Fatal(err)
		}
	}
	c := m.Counts()
	if c.Early != 2 || c.Late != 1 || c.Retimed != 3 {
		t.Errorf("counts %+v", c)
	}
	if e, l := m.LastOut(mapping.Early), m.LastOut(mapping.Late); !e.Equal(boot.Add(time.Second)) || !l.Equal(noon.Add(2*day)) {
		t.Errorf("last %s and %s", e, l)
	}
}

// What was kept is kept, what was a dead letter is one, as long as the clock and
// the options stay.
func TestTimesAreMappedIdempotently(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		clock := time.Unix(rapid.Int64Range(0, 4e9).Draw(t, "clock"), 0)
		policy := rapid.SampledFrom([]mapping.TimePolicy{mapping.TimeKeep, mapping.TimeDeadLetter}).Draw(t, "policy")
		at := time.UnixMicro(rapid.Int64Range(-1e15, 5e15).Draw(t, "at"))
		m := believing(policy, &clock)
		first, err := mapAt(m, at)
		if !first.Equal(at) {
			t.Fatalf("%s became %s", at, first)
		}
		again, errAgain := mapAt(m, first)
		if !again.Equal(first) || (err == nil) != (errAgain == nil) {
			t.Fatalf("%s: %v; again %s: %v", first, err, again, errAgain)
		}
	})
}

func TestLookingAtTimesAllocatesNothing(t *testing.T) {
	for _, p := range []mapping.TimePolicy{mapping.TimeKeep, mapping.TimeNow} {
		clock := noon
		m := believing(p, &clock)
		_, _ = mapAt(m, noon)
		n := testing.AllocsPerRun(1000, func() { _, _ = mapAt(m, noon); _, _ = mapAt(m, boot) })
		t.Logf("%s: %v allocations for a row in range and one out of it", p, n)
		if n != 0 {
			t.Errorf("%s: %v allocations", p, n)
		}
	}
}

func TestPoliciesAreReadByTheirNames(t *testing.T) {
	for p := mapping.TimeKeep; p <= mapping.TimeNow; p++ {
		if got, err := mapping.ParseTimePolicy(p.String()); err != nil || got != p {
			t.Errorf("%s: %v, %v", p, got, err)
		}
	}
	if _, err := mapping.ParseTimePolicy("drop"); err == nil {
		t.Error("drop is taken")
	}
}
