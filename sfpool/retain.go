// SPDX-License-Identifier: MIT

package sfpool

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/slot"
)

// retaining is what the housekeeper needs to know of acked segments that are kept.
// They are looked at when their time is over: nobody polls.
type retaining struct {
	clock  clock
	looked bool        // what closed slots keep is known
	timer  *time.Timer // nil until something is kept
	doubt  bool        // the clock is not believed
}

func (c Config) checkRetain() error {
	if c.RetainAcked < 0 || c.RetainAckedBytes < 0 {
		return fmt.Errorf("sf_retain_acked %s or sf_retain_acked_bytes %d is negative: use 0 or more", c.RetainAcked, c.RetainAckedBytes)
	}
	return nil
}

// retains says whether acked segments of a slot are kept: Rewind looks for them there.
func (p *Pool) retains(name string) bool {
	return managed(name, p.cfg.SenderID, math.MaxInt) || rewound(name, p.cfg.SenderID)
}

// tendRetained removes acked segments that are kept for longer than RetainAcked, unless
// the clock has just jumped.
func (p *Pool) tendRetained() {
	if p.retention == nil {
		return
	}
	r := &p.retaining
	if !r.looked {
		r.looked = p.lookForRetained()
	}
	p.retention.Shrink()
	wall, trusted, changed := r.clock.look()
	if changed && p.cfg.RetainAcked > 0 && !trusted {
		p.cfg.Logger.Warn("the clock has jumped, or is not set: nothing is removed by sf_retain_acked until it has stayed for an hour",
			"clock", wall.UTC().Format(time.RFC3339))
	}
	if trusted {
		p.retention.Prune(wall)
	}
	r.doubt = !trusted
}

// lookForRetained takes in what is kept in slots that are not open.
func (p *Pool) lookForRetained() bool {
	entries, err := p.cfg.FS.ReadDir(p.cfg.Dir)
	errs := []error{err}
	for _, e := range entries {
		if e.IsDir() && p.retains(e.Name()) {
			errs = append(errs, p.retention.Look(p.path(e.Name())))
		}
	}
	if err := errors.Join(errs...); err != nil {
		p.cfg.Logger.Warn("cannot look at acked segments that are kept; tried again", "sf_dir", p.cfg.Dir, "error", err)
		return false
	}
	return true
}

// retainedDue is rung when the time of the oldest kept segment is over; nil while
// nothing is kept.
func (p *Pool) retainedDue() <-chan time.Time {
	r := &p.retaining
	at, ok := p.retention.Due()
	if !ok {
		return nil
	}
	pause := max(at.Sub(p.cfg.Now())+time.Second, p.cfg.HousekeeperInterval)
	if r.doubt {
		pause = max(p.cfg.HousekeeperInterval, clockProof/4)
	}
	if r.timer == nil {
		r.timer = time.NewTimer(pause)
	} else {
		r.timer.Reset(pause)
	}
	return r.timer.C
}

// retention of a pool on disk knows what is kept, also where no more is to be.
func (p *Pool) newRetention() *slot.Retention {
	if p.cfg.inRAM() {
		return nil
	}
	return slot.NewRetention(p.cfg.FS, p.cfg.RetainAcked, p.cfg.RetainAckedBytes, p.cfg.Now)
}
