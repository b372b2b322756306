// SPDX-License-Identifier: MIT

package status

import (
	"fmt"
	"strings"
	"time"

	"github.com/questdb-sf/questdb_sf/sfpool"
)

const (
	// stillFor is how long pending rows may lie still. A server that restarts is no
	// reason to wake anybody.
	stillFor = 5 * time.Minute
	// stillBackoffs is the same in waits between attempts, where those are longer.
	stillBackoffs = 3
)

// judge says what is wrong with a store, in words; nothing in health.
func (r *report) judge() (why []string) {
	v := &r.view
	switch {
	case !r.look.Open && r.look.Failure != nil:
		why = append(why, "the store cannot be opened: "+line(r.look.Failure))
	case v.RAM:
		why = append(why, fmt.Sprintf("rows go to RAM, %d are only there, because sf_dir cannot be used: %s", v.RAMStats.Pending, line(r.look.Failure)))
	}
	if still := v.Now.Sub(r.moved); v.pending() > 0 && still >= r.patience() {
		why = append(why, r.stuck(still))
	}
	if v.Full || v.RAMStats.Full || v.FullNow {
		why = append(why, fmt.Sprintf("the store is full: %d of %d bytes", v.StoreBytes, v.MaxBytes))
	}
	if v.Leaked > 0 {
		why = append(why, fmt.Sprintf("%d slots are out of use, because their lock was not released: restart the agent", v.Leaked))
	}
	if n := v.LedgerViolations + v.RAMStats.LedgerViolations; n > 0 {
		why = append(why, fmt.Sprintf("the ledger was violated %d times, which is a bug: see the log", n))
	}
	return why
}

// patience is how long pending rows may lie still.
func (r *report) patience() time.Duration { return max(stillFor, stillBackoffs*r.look.MaxBackoff) }

// stuck says that rows lie still, and what is known of why.
func (r *report) stuck(still time.Duration) string {
	v := &r.view
	text := fmt.Sprintf("%d rows are pending and nothing has moved for %s", v.pending(), still.Round(time.Second))
	if s := v.outage(); s != nil {
		text += "; " + waiting(s)
	} else if held := v.HeldRows + v.RAMStats.HeldRows; held > 0 {
		text += fmt.Sprintf("; %d of them wait for their tables", held)
	}
	return text
}

// waiting says since when the server takes nothing of a slot, and why.
func waiting(s *sfpool.SlotStats) string {
	text := "waiting for the server since " + s.OutageSince.UTC().Format(time.RFC3339)
	if s.LastError != nil {
		text += ": " + line(s.LastError)
	}
	return text
}

// line puts an error on one line; it may have words of a server.
func line(err error) string {
	if err == nil {
		return "see the log"
	}
	return strings.Join(strings.Fields(err.Error()), " ")
}

// healthText is the one line of /healthz.
func healthText(reports []report) (text string, well bool) {
	var why []string
	rows := int64(0)
	for i := range reports {
		r := &reports[i]
		rows += r.view.pending()
		for _, w := range r.why {
			if len(reports) > 1 {
				w = r.look.Dir + " (" + r.look.SenderID + "): " + w
			}
			why = append(why, w)
		}
	}
	if len(why) > 0 {
		return strings.Join(why, "; "), false
	}
	return fmt.Sprintf("ok, %d rows pending", rows), true
}
