// SPDX-License-Identifier: MIT

package status

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/slot"
	"github.com/questdb-sf/questdb_sf/sfpool"
)

// The rules of health. A store is not well while one of these holds:
//
//   - it cannot be opened, or rows go to RAM because sf_dir cannot be used;
//   - rows are pending in a slot, and of that slot nothing was acked or set aside for
//     patience: 5 minutes, or three times reconnect_max_backoff where that is longer. What
//     other slots do is no excuse, except for one that waits for its turn at a connection;
//   - such rows are older than patience, and the server has taken nothing of them since the
//     start, a minute ago or longer: a restart does not make them young;
//   - rows wait for their tables for patience, and do not become fewer;
//   - rows were dropped in the last 5 minutes, for want of room or for their age;
//   - writes find no room;
//   - a slot of nobody is damaged, or was tried for patience and nothing of it has left;
//   - a slot is out of use because its lock was not released;
//   - the ledger was violated.
//
// It is well in an outage shorter than patience, with a backlog that moves however slowly,
// when the server refuses rows and they are dead letters, and beside slots of nobody that
// belong to another destination, to a client that is running, or that wait for their turn.
// The plugin's README has the same for users.
const (
	// stillFor is how long pending rows may lie still. A server that restarts is no
	// reason to wake anybody.
	stillFor = 5 * time.Minute
	// stillBackoffs is the same in waits between attempts, where those are longer.
	stillBackoffs = 3
	// startFor is how long rows of an earlier run have after a start: the server may
	// have been off together with this machine.
	startFor = time.Minute
)

// judge says what is wrong with a store, in words; nothing in health.
func (r *report) judge(m *moves) (why []string) {
	v := &r.view
	switch {
	case !r.look.Open && r.look.Failure != nil:
		why = append(why, "the store cannot be opened: "+line(r.look.Failure))
	case v.RAM:
		why = append(why, fmt.Sprintf("rows go to RAM, %d are only there, because sf_dir cannot be used: %s", v.RAMStats.Pending, line(r.look.Failure)))
	}
	why = append(why, r.still(m)...)
	why = append(why, r.held(m)...)
	why = append(why, r.room(&m.lost)...)
	why = append(why, r.orphaned(m)...)
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

// stuck are the slots whose rows lie still.
type stuck struct {
	names  []string
	rows   int64
	still  time.Duration     // the longest
	oldest time.Duration     // age, if nothing has moved since the start
	outage *sfpool.SlotStats // the longest of them
}

// still tells of slots whose rows do not move.
func (r *report) still(m *moves) []string {
	var all stuck
	pending := 0
	for inRAM, slots := range r.view.slots() {
		for i := range slots {
			s := &slots[i]
			pending += int(oneIf(s.Pending > 0))
			// Rows that wait for their tables are another trouble, with another remedy.
			if b := m.beats[place{s.Name, inRAM == 1, false}]; b != nil && (s.HeldRows == 0 || !s.OutageSince.IsZero()) {
				all.add(s, b, r.view.Now, r.patience())
			}
		}
	}
	if len(all.names) == 0 {
		return nil
	}
	text := fmt.Sprintf("%d rows are pending", all.rows)
	if len(all.names) < pending {
		text += " in " + some(all.names)
	}
	if all.oldest > 0 {
		text += fmt.Sprintf(", the oldest for %s, and nothing of them has moved since the start", all.oldest.Round(time.Second))
	} else {
		text += fmt.Sprintf(" and nothing has moved for %s", all.still.Round(time.Second))
	}
	if all.outage != nil {
		text += "; " + waiting(all.outage)
	}
	return []string{text}
}

// add adds a slot if its rows lie still for long enough.
func (a *stuck) add(s *sfpool.SlotStats, b *beat, now time.Time, patience time.Duration) {
	still := now.Sub(b.at)
	switch age := ageAt(s.OldestPending, now); {
	case still >= patience:
		a.still = max(a.still, still)
	case b.old && still >= startFor && age >= patience && !s.OutageSince.IsZero():
		a.oldest = max(a.oldest, age)
	default:
		return
	}
	a.names, a.rows = append(a.names, s.Name), a.rows+s.Pending
	if !s.OutageSince.IsZero() && (a.outage == nil || s.OutageSince.Before(a.outage.OutageSince)) {
		a.outage = s
	}
}

// held tells of rows that wait for their tables.
func (r *report) held(m *moves) []string {
	rows, still := int64(0), time.Duration(0)
	for inRAM, slots := range r.view.slots() {
		for i := range slots {
			s := &slots[i]
			b := m.beats[place{s.Name, inRAM == 1, false}]
			if b == nil || b.heldAt.IsZero() {
				continue
			}
			held := r.view.Now.Sub(b.heldAt)
			if age := ageAt(s.OldestPending, r.view.Now); b.old && held >= startFor && s.HeldRows == s.Pending {
				held = max(held, age)
			}
			if held >= r.patience() {
				rows, still = rows+s.HeldRows, max(still, held)
			}
		}
	}
	if rows == 0 {
		return nil
	}
	return []string{fmt.Sprintf("%d rows are pending for %s; %d of them wait for their tables%s",
		r.view.pending(), still.Round(time.Second), rows, r.barred())}
}

// room tells of rows that find no place, and of those that had to go for others.
func (r *report) room(l *losses) (why []string) {
	v := &r.view
	if l.goOn(v.Now) {
		why = append(why, fmt.Sprintf("%s: %d rows were dropped since %s", r.limit(l.limit, l.inRAM), l.rows, l.from.UTC().Format(time.RFC3339)))
		r.full = l.limit != "sf_max_age" && l.limit != "orphans_max_bytes"
	}
	if v.FullNow {
		why = append(why, r.limit(v.FullWhy, v.RAM)+", and new rows wait before it")
		r.full = true
	}
	// Without rows that come nothing is lost yet, and yet there is no time left.
	p := v.present()
	r.full = r.full || p.MaxBytes > 0 && p.StoreBytes >= p.MaxBytes && p.PendingBytes > p.MaxBytes/4*3
	return why
}

// limit says in words that a limit is reached.
func (r *report) limit(name string, inRAM bool) string {
	st := &r.view.Stats.Stats
	switch {
	case inRAM:
		return fmt.Sprintf("RAM is full: %d of %d bytes, see ram_max_bytes", r.view.RAMStats.StoreBytes, r.view.RAMStats.MaxBytes)
	case name == slot.LimitSpace:
		return fmt.Sprintf("the disk is short of space: %d bytes are free, of which sf_min_free_space is kept", r.view.DiskFree)
	case name == slot.LimitDisk:
		return fmt.Sprintf("the disk is full, or a quota is: %d bytes are free", r.view.DiskFree)
	case name == "sf_max_age":
		return "rows are older than sf_max_age"
	case name == "orphans_max_bytes":
		return "slots of nobody exceed orphans_max_bytes"
	}
	return fmt.Sprintf("the store is full: %d of %d bytes, see sf_max_total_bytes", st.StoreBytes, st.MaxBytes)
}

// orphaned tells of slots of nobody whose rows are not sent.
func (r *report) orphaned(m *moves) (why []string) {
	var damaged, still []string
	var reasons [2]string
	rows, longest := int64(0), time.Duration(0)
	for i := range r.view.Orphans {
		o := &r.view.Orphans[i]
		b := m.beats[place{o.Name, false, true}]
		switch {
		case o.State == "failed":
			damaged, reasons[0] = append(damaged, o.Name), cmp.Or(reasons[0], o.Reason)
		case b != nil && r.view.Now.Sub(b.at) >= r.patience():
			still, reasons[1] = append(still, o.Name), cmp.Or(reasons[1], o.Reason)
			rows, longest = rows+o.Pending, max(longest, r.view.Now.Sub(b.at))
		}
	}
	if len(damaged) > 0 {
		why = append(why, fmt.Sprintf("%d slots of nobody are damaged, and their rows are not sent: %s: %s; see the repair command", len(damaged), some(damaged), words(reasons[0])))
	}
	if len(still) > 0 {
		why = append(why, fmt.Sprintf("%d rows or more wait in %d slots of nobody, of which nothing has moved for %s: %s: %s",
			rows, len(still), longest.Round(time.Second), some(still), words(reasons[1])))
	}
	return why
}

// aside tells of slots of nobody that are no trouble; "" where there are none.
func aside(reports ...report) (text string) {
	var strange []string
	rows := int64(0)
	for i := range reports {
		v := &reports[i].view
		rows += v.orphanRows()
		for o := range v.Orphans {
			if v.Orphans[o].State == "other destination" {
				strange = append(strange, v.Orphans[o].Name)
			}
		}
	}
	if rows > 0 {
		text = fmt.Sprintf(", and %d in slots of nobody", rows)
	}
	if len(strange) > 0 {
		text += fmt.Sprintf("; %d slots of another destination are left alone: %s", len(strange), some(strange))
	}
	return text
}

// some names the first few.
func some(names []string) string {
	const most = 3
	if len(names) > most {
		return strings.Join(names[:most], ", ") + fmt.Sprintf(" and %d more", len(names)-most)
	}
	return strings.Join(names, ", ")
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
	return words(err.Error())
}

// words puts a text on one line.
func words(text string) string { return strings.Join(strings.Fields(text), " ") }

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
	return fmt.Sprintf("ok, %d rows pending", rows) + aside(reports...), true
}
