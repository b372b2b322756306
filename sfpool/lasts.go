// SPDX-License-Identifier: MIT

package sfpool

import (
	"math"
	"sync"
	"time"
)

const (
	// rateAfter is how long rows are stored before the rate counts as the present
	// one, and is logged where nothing was known at the start.
	rateAfter = 10 * time.Minute
	// rateSpan is the least time of which rows, or their times, tell a rate.
	rateSpan = time.Minute
	// rateOver is the time over which it is the present one.
	rateOver = 10 * time.Minute
)

// pace is how fast rows are stored.
type pace struct {
	mu    sync.Mutex // guards what follows
	began time.Time  // of the first batch; zero before
	found float64    // bytes a second, of what earlier runs left; 0 when unknown
	said  bool       // how long the store lasts
	came  trend      // bytes of frames
}

// begin is told of every batch. It says whether it is time to log the rate.
func (c *pace) begin() (tell bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.began.IsZero() {
		c.began = time.Now()
		c.came.rate(c.began, 0, rateOver, rateSpan)
	}
	tell = !c.said && time.Since(c.began) >= rateAfter
	c.said = c.said || tell
	return tell
}

// rate is told how many bytes of frames were stored so far, and returns how many come in
// a second; 0 when that is not known. The first minute tells nothing.
func (c *pace) rate(appended int64) float64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.began.IsZero() || appended == 0 {
		return c.found
	}
	if rate, known := c.came.rate(time.Now(), appended, rateOver, rateSpan); known {
		return rate
	}
	return c.found
}

// lasts returns how long bytes take at a rate; 0 when that is not known.
func lasts(bytes int64, rate float64) time.Duration {
	if rate <= 0 || bytes <= 0 {
		return 0
	}
	return time.Duration(min(float64(bytes)/rate*float64(time.Second), math.MaxInt64/2))
}

// findPace learns the rate from what the open slots hold: its bytes, over the span
// of its rows' times.
func (p *Pool) findPace() {
	bytes, from, to := int64(0), int64(math.MaxInt64), int64(math.MinInt64)
	for _, m := range p.openMembers() {
		_ = safely("audit of slot "+m.name, func() error {
			if a, ours := m.d.audit(); ours && a.HasTime {
				bytes, from, to = bytes+a.Bytes, min(from, a.MinTime), max(to, a.MaxTime)
			}
			return nil
		})
	}
	if bytes == 0 || to-from < rateSpan.Microseconds() || to-from < 0 {
		return
	}
	p.pace.mu.Lock()
	defer p.pace.mu.Unlock()
	p.pace.found, p.pace.said = float64(bytes)/(float64(to-from)/1e6), true
}

// sayLasts tells how long an outage may be, once rows have come in for a while.
func (p *Pool) sayLasts() {
	st := p.Stats()
	if st.Lasts > 0 {
		p.cfg.Logger.Info("how long an outage the store bridges at the present rate; see sf_max_total_bytes",
			"hours", inHours(st.Lasts), "sf_max_total_bytes", st.MaxBytes, "bytes_appended", st.AppendedBytes)
	}
}

// inHours rounds to a tenth.
func inHours(d time.Duration) float64 { return math.Round(d.Hours()*10) / 10 }
