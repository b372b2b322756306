// SPDX-License-Identifier: MIT

package sfpool

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/questdb-sf/questdb_sf/internal/notice"
	"github.com/questdb-sf/questdb_sf/internal/sender"
)

const (
	// noticeAfter is how long a row with something in its way waits before the pool speaks
	// of it to those who look at the directory, and slowAfter one with nothing in its way:
	// batches that are on their way are no news.
	noticeAfter = 10 * time.Second
	slowAfter   = time.Minute
	// noticeGap is the least time between two changes of the file, which wear flash, and
	// noticeEvery that between two that say the same.
	noticeGap   = 15 * time.Second
	noticeEvery = time.Minute
	// farOff is a forecast that means nothing any more.
	farOff = 10 * 365 * 24 * time.Hour
)

// posted is the notice that stands in the directory, as the housekeeper knows it.
type posted struct {
	at   time.Time // when it was written; zero without one
	what string    // what it is about, without figures
	old  bool      // an earlier run may have left one

	dropped   int64 // rows, by the last look
	droppedAt time.Time
}

// postNotice writes down why rows wait, takes the notice away when none do, and lets the
// last one stand while it says the same. It is a help for who looks: failure, of a full
// disk for example, is no reason not to run.
func (p *Pool) postNotice() {
	if p.cfg.inRAM() {
		return
	}
	n, what := p.notice()
	now := time.Now()
	since := now.Sub(p.posted.at)
	switch {
	case n == nil && (p.posted.old || !p.posted.at.IsZero() && since >= noticeGap):
		if p.removeNotice() {
			p.posted.at, p.posted.what, p.posted.old = time.Time{}, "", false
		}
	case n == nil, since < noticeGap, what == p.posted.what && since < noticeEvery:
	default:
		if err := notice.Write(p.cfg.FS, notice.Path(p.cfg.Dir, p.cfg.SenderID), n); err != nil {
			p.cfg.Logger.Debug("what there is to say of the store could not be written", "error", err)
			return
		}
		p.posted.at, p.posted.what, p.posted.old = now, what, false
	}
}

// retractNotice takes a notice away that nobody would write anew, if there may be one and
// the directory is still the pool's.
func (p *Pool) retractNotice() {
	if !p.cfg.inRAM() && (p.posted.old || !p.posted.at.IsZero()) && !isClosed(p.shut) {
		p.removeNotice()
	}
}

// removeNotice returns whether there is none any more.
func (p *Pool) removeNotice() bool {
	err := p.cfg.FS.Remove(notice.Path(p.cfg.Dir, p.cfg.SenderID))
	return err == nil || errors.Is(err, fs.ErrNotExist)
}

// notice is what there is to say; nil if nothing waits. what changes when it is about
// something else.
func (p *Pool) notice() (n *notice.Notice, what string) {
	st, now := p.Stats(), time.Now()
	// A slot that was full stays so until its next batch, however much has left since.
	full := st.Full && st.PendingBytes >= st.MaxBytes/2
	n = &notice.Notice{
		At: now.UTC(), PID: os.Getpid(), Full: full, Dropped: p.dropping(&st, now), StoreMaxBytes: st.MaxBytes,
		ToFull: sight(st.TimeToFull), ToEmpty: sight(st.TimeToEmpty),
	}
	waits := full
	for _, one := range append(p.noticesOfSlots(), p.noticesOfOrphans()...) {
		n.Slots = append(n.Slots, one.Slot)
		if one.waits(now) {
			waits = true
			what += fmt.Sprintln(one.Name, one.Since, one.Held > 0, wording(one.Error), wording(one.HeldFor))
		}
	}
	if !waits {
		return nil, ""
	}
	return n, fmt.Sprint(what, n.Full, n.Dropped > 0)
}

func sight(d time.Duration) float64 {
	if d >= farOff {
		return 0
	}
	return d.Seconds()
}

// wording is an error without its figures: numbers of ports, times.
func wording(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsDigit(r) {
			return -1
		}
		return r
	}, text)
}

// dropping returns how many rows were dropped if the last of them was a minute ago at most.
func (p *Pool) dropping(st *Stats, now time.Time) int64 {
	if st.Dropped > p.posted.dropped {
		p.posted.dropped, p.posted.droppedAt = st.Dropped, now
	}
	if p.posted.droppedAt.IsZero() || now.Sub(p.posted.droppedAt) > time.Minute {
		return 0
	}
	return st.Dropped
}

// noticed is what is said of a slot, and since when its oldest row is stored, as far as
// that is known.
type noticed struct {
	notice.Slot
	oldest time.Time
}

func (o *noticed) waits(now time.Time) bool {
	after := slowAfter
	if !o.Since.IsZero() || o.Held > 0 {
		after = noticeAfter
	}
	return !o.oldest.IsZero() && now.Sub(o.oldest) >= after
}

// noticesOfSlots tells of the slots with pending rows.
func (p *Pool) noticesOfSlots() (list []noticed) {
	for _, g := range p.glimpses() {
		v := g.view()
		if g.member == nil || v.PendingFrames == 0 {
			continue
		}
		one := noticed{noticeOf(g.name, v.conn), g.stats(v).OldestPending}
		one.First, one.Stored = int64(v.Watermark)+1, v.OldestPublished.Round(0).UTC()
		list = append(list, one)
	}
	return list
}

// noticesOfOrphans tells of the orphans that are drained, and not as fast as they could be.
func (p *Pool) noticesOfOrphans() (list []noticed) {
	p.mu.Lock()
	defer p.unlock()
	for name, k := range p.orphans.known {
		if k.state == draining && k.pending > 0 && (!k.conn.Since.IsZero() || k.conn.Held > 0) {
			list = append(list, noticed{noticeOf(name, k.conn), k.conn.Since})
		}
	}
	slices.SortFunc(list, func(a, b noticed) int { return cmp.Compare(a.Name, b.Name) })
	return list
}

// noticeOf tells why the rows of a slot wait.
func noticeOf(name string, conn sender.State) notice.Slot {
	one := notice.Slot{Name: name, Since: conn.Since, Held: conn.Held, HeldFor: conn.HeldFor}
	if err := conn.LastError; err != nil && !errors.As(err, new(*sender.HeldError)) {
		one.Error = err.Error()
	}
	return one
}
