// SPDX-License-Identifier: MIT

package mapping

import (
	"fmt"
	"time"
)

// TimeRange says which times rows are believed to have, and what becomes of the
// others: no clock battery, 1970 at boot, and jumps are everyday on small boxes.
// The zero value believes all times. Whatever it says, a row before 1970, or too
// late for what QuestDB can hold, is never stored with that time.
type TimeRange struct {
	// Policy is for rows out of range; 0 is TimeKeep.
	Policy TimePolicy
	// Min is the earliest time that is believed; zero is no bound.
	Min time.Time
	// MaxFuture is how far behind the time of this box's clock a row may be; 0 is
	// no bound. A clock that is plainly unset bounds nothing.
	MaxFuture time.Duration
	// Now is this box's clock; nil is time.Now.
	Now func() time.Time
}

// TimePolicy is what becomes of rows out of a TimeRange.
type TimePolicy uint8

// The policies.
const (
	// TimeKeep stores them as they are.
	TimeKeep TimePolicy = iota + 1
	// TimeDeadLetter makes them dead letters.
	TimeDeadLetter
	// TimeNow stores them with the present time. While this box's clock is unset
	// there is none, and they become dead letters.
	TimeNow
)

var timePolicies = [...]string{TimeKeep: "keep", TimeDeadLetter: "dead_letter", TimeNow: "now"}

// String returns the word that ParseTimePolicy reads.
func (p TimePolicy) String() string {
	if p >= TimeKeep && int(p) < len(timePolicies) {
		return timePolicies[p]
	}
	return fmt.Sprintf("time policy %d", uint8(p))
}

// ParseTimePolicy reads the option time_out_of_range: keep, dead_letter or now.
func ParseTimePolicy(text string) (TimePolicy, error) {
	for p := TimeKeep; p <= TimeNow; p++ {
		if timePolicies[p] == text {
			return p, nil
		}
	}
	return 0, fmt.Errorf(`%q is no policy: use "dead_letter", "keep" or "now"`, text)
}

// builtAfter is before the time at which this program was written: a clock that
// reads less has not been set.
var builtAfter = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)

// Side is where a row lies that is out of range. Zero is neither.
type Side uint8

// The sides.
const (
	Early Side = iota + 1 // before Min
	Late                  // beyond MaxFuture
)

// bounded says whether any time is out of range.
func (r *TimeRange) bounded() bool { return !r.Min.IsZero() || r.MaxFuture > 0 }

func (r *TimeRange) now() time.Time {
	if r.Now == nil {
		return time.Now()
	}
	return r.Now()
}

// unset says whether a clock that reads now is plainly wrong.
func (r *TimeRange) unset(now time.Time) bool {
	return now.Before(r.Min) || now.Before(builtAfter)
}

// side tells where a time lies by a clock that reads now.
func (r *TimeRange) side(t, now time.Time) Side {
	switch {
	case t.Before(r.Min):
		return Early
	case r.MaxFuture > 0 && !r.unset(now) && t.After(now.Add(r.MaxFuture)):
		return Late
	}
	return 0
}

// why says what is wrong with a time, which both clocks may be to blame for.
func (r *TimeRange) why(s Side, now time.Time) string {
	clock := now.UTC().Format(time.RFC3339)
	if s == Early {
		return fmt.Sprintf("is before time_min = %s; check the clock of the source (that of this box reads %s)",
			r.Min.UTC().Format(time.RFC3339), clock)
	}
	return fmt.Sprintf("is more than time_max_future = %s ahead of the clock of this box, which reads %s; check both clocks",
		r.MaxFuture, clock)
}

// judge returns the time to store a row with, or why it is a dead letter.
func (m *Mapper) judge(t time.Time) (time.Time, error) {
	r := &m.opts.Times
	if !r.bounded() {
		return t, nil
	}
	now := r.now()
	side := r.side(t, now)
	if side == 0 {
		return t, nil
	}
	m.noteSide(side, t)
	switch {
	case r.Policy == TimeNow && !r.unset(now):
		m.counts.Retimed++
		return now, nil
	case r.Policy == TimeNow:
		return t, m.failTime(r.why(side, now) + "; that is not set, so there is no present time to store it with")
	case r.Policy == TimeDeadLetter:
		return t, m.failTime(r.why(side, now))
	}
	return t, nil
}

func (m *Mapper) noteSide(s Side, t time.Time) {
	if s == Early {
		m.counts.Early++
	} else {
		m.counts.Late++
	}
	m.odd[s-1] = t
}

// LastOut returns the time of the last row that was out of range on a side; zero
// if none was.
func (m *Mapper) LastOut(s Side) time.Time { return m.odd[s-1] }

// Times returns the range of times that this Mapper believes.
func (m *Mapper) Times() TimeRange { return m.opts.Times }
