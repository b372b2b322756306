// SPDX-License-Identifier: MIT

package mapping_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/mapping"
	"github.com/questdb-sf/questdb_sf/internal/qwp"
)

func TestTimeIsKeptInTheChosenPrecision(t *testing.T) {
	for _, c := range []struct {
		nanos bool
		kind  qwp.Type
		want  int64
	}{
		{false, qwp.TypeTimestamp, 1795348800123456},
		{true, qwp.TypeTimestampNanos, 1795348800123456789},
	} {
		m := mapping.New(mapping.Options{Nanos: c.nanos})
		m.Start("t")
		m.Int("v", 1)
		row, err := m.Finish(noon)
		if err != nil || row.Time != c.want || row.TimeType != c.kind {
			t.Errorf("nanos %v: %d %s %v", c.nanos, row.Time, row.TimeType, err)
		}
	}
}

func TestTimesFarAwayAreRefusedWhateverTheirBitsSay(t *testing.T) {
	for _, at := range []time.Time{
		time.UnixMicro(math.MaxInt64),
		time.UnixMicro(math.MinInt64),
		time.Unix(math.MaxInt64, 0),
		time.Unix(math.MinInt64, 0),
		time.Unix(noon.Unix()+18446744073710, 0), // UnixMicro says 2026
		time.Unix(253402300800, 0),
		time.Unix(0, -1),
	} {
		m := mapping.New(mapping.Options{})
		m.Start("t")
		m.Int("v", 1)
		row, err := m.Finish(at)
		if err == nil || !strings.Contains(err.Error(), "is not between 1970 and 9999") {
			t.Errorf("%v: %v", at.Unix(), err)
		}
		if row.TimeType != qwp.TypeTimestamp || row.Time >= 0 && row.Time < 253402300800000000 {
			t.Errorf("%v: the dead letter has time %d", at.Unix(), row.Time)
		}
	}
	m := mapping.New(mapping.Options{})
	m.Start("t")
	if row, err := m.Finish(time.Unix(0, -5)); err == nil || row.Time != -1 {
		t.Errorf("5 ns before 1970 are %d µs in the dead letter: %v", row.Time, err)
	}
	for _, c := range []struct {
		nanos bool
		at    time.Time
		ok    bool
	}{
		{false, time.Unix(253402300799, 999999999), true},
		{false, time.Unix(0, 0), true},
		{true, time.Unix(9223372036, 854774999), true},
		{true, time.Unix(9223372036, 854775807), false},
		{true, time.Unix(9223372036, 854775808), false},
	} {
		m := mapping.New(mapping.Options{Nanos: c.nanos})
		m.Start("t")
		m.Int("v", 1)
		if _, err := m.Finish(c.at); (err == nil) != c.ok {
			t.Errorf("nanos %v, %v: %v", c.nanos, c.at, err)
		}
	}
}
