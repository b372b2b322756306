// SPDX-License-Identifier: MIT

package questdb_sf

import (
	"fmt"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/mapping"
)

// times checks the options of rows out of time.
func (o *Output) times() (r mapping.TimeRange, err error) {
	if r.Policy, err = mapping.ParseTimePolicy(o.TimeOutOfRange); err != nil {
		return r, fmt.Errorf("time_out_of_range: %w", err)
	}
	if r.Min, err = time.Parse(time.RFC3339, o.TimeMin); err != nil {
		return r, fmt.Errorf("time_min %q is no time: write it as 2020-01-01T00:00:00Z", o.TimeMin)
	}
	if r.Min.Before(time.Unix(0, 0)) {
		return r, fmt.Errorf("time_min %q is too early: QuestDB holds no time before 1970-01-01T00:00:00Z", o.TimeMin)
	}
	if r.MaxFuture = time.Duration(o.TimeMaxFuture); r.MaxFuture < 0 {
		return r, fmt.Errorf("time_max_future %s is negative: use at least 1s, or 0s for no bound", r.MaxFuture)
	}
	return r, nil
}
