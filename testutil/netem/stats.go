// SPDX-License-Identifier: MIT

package netem

import (
	"slices"
	"time"
)

// Stats are figures since the start.
type Stats struct {
	Open, Peak int // connections now, and the most at a time
	// Connects are the times at which connections were accepted.
	Connects []time.Time
	Up, Down int64 // bytes that clients have sent, and were sent
	Requests int64 // that Settings.Answer has seen
}

// Stats returns the figures of this moment.
func (p *Proxy) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.stats
	s.Open, s.Connects = len(p.conns), slices.Clone(s.Connects)
	return s
}

// Total is how many connections were accepted.
func (s *Stats) Total() int { return len(s.Connects) }

// Rate returns the most connections within any window of that length, and how
// many a window had on average between from and to.
func (s *Stats) Rate(window time.Duration, from, to time.Time) (peak int, mean float64) {
	var within []time.Time
	for _, at := range s.Connects {
		if !at.Before(from) && at.Before(to) {
			within = append(within, at)
		}
	}
	slices.SortFunc(within, time.Time.Compare)
	first := 0
	for i, at := range within {
		for at.Sub(within[first]) >= window {
			first++
		}
		peak = max(peak, i-first+1)
	}
	return peak, float64(len(within)) * float64(window) / float64(to.Sub(from))
}

func (p *Proxy) noteConnect(at time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stats.Connects = append(p.stats.Connects, at)
}

func (p *Proxy) count(up, down int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stats.Up += up
	p.stats.Down += down
}
