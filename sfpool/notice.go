// SPDX-License-Identifier: MIT

package sfpool

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/notice"
	"github.com/questdb-sf/questdb_sf/internal/sender"
)

const (
	// noticeAfter is how long a row waits before the pool speaks of it to those who look
	// at the directory: batches that are on their way are no news.
	noticeAfter = 10 * time.Second
	// noticeEvery bounds how often the same is written, which wears flash.
	noticeEvery = time.Minute
)

// posted is the notice that stands in the directory, as the housekeeper knows it.
type posted struct {
	at   time.Time // when it was written; zero without one
	what string    // what it is about, without figures and words
	old  bool      // an earlier run may have left one
}

// postNotice writes down why rows wait, takes the notice away when none do, and lets the
// last one stand while it says the same. It is a help for who looks: failure, of a full
// disk for example, is no reason not to run.
func (p *Pool) postNotice() {
	if p.cfg.inRAM() {
		return
	}
	n, what := p.notice()
	path, now := notice.Path(p.cfg.Dir, p.cfg.SenderID), time.Now()
	switch {
	case n == nil && (p.posted.old || !p.posted.at.IsZero()):
		if err := p.cfg.FS.Remove(path); err == nil || errors.Is(err, fs.ErrNotExist) {
			p.posted = posted{}
		}
	case n == nil, what == p.posted.what && now.Sub(p.posted.at) < noticeEvery:
	default:
		p.posted = posted{at: now, what: what}
		if err := notice.Write(p.cfg.FS, path, n); err != nil {
			p.cfg.Logger.Debug("what there is to say of the store could not be written", "path", path, "error", err)
		}
	}
}

// notice is what there is to say; nil if nothing waits. what changes when it is about
// something else, not with each word of an error: those have numbers of ports.
func (p *Pool) notice() (n *notice.Notice, what string) {
	st := p.Stats()
	now := time.Now()
	n = &notice.Notice{
		At: now.UTC(), PID: os.Getpid(), Full: st.Full,
		ToFull: st.TimeToFull.Seconds(), ToEmpty: st.TimeToEmpty.Seconds(),
	}
	waits := st.Full
	for _, g := range p.glimpses() {
		v := g.view()
		if g.member == nil || v.PendingFrames == 0 {
			continue
		}
		one, s := noticeOf(&g, v), g.stats(v)
		waits = waits || !s.OldestPending.IsZero() && now.Sub(s.OldestPending) >= noticeAfter
		one.Stored = v.OldestPublished.Round(0).UTC()
		n.Slots = append(n.Slots, one)
		what += fmt.Sprintln(one.Name, one.Since, one.Held > 0)
	}
	if !waits {
		return nil, ""
	}
	return n, fmt.Sprint(what, st.Full)
}

// noticeOf tells why the rows of a slot wait.
func noticeOf(g *glimpse, v slotView) notice.Slot {
	one := notice.Slot{Name: g.name, First: int64(v.Watermark) + 1, Since: v.conn.Since, Held: v.conn.Held, HeldFor: v.conn.HeldFor}
	if err := v.conn.LastError; err != nil && !errors.As(err, new(*sender.HeldError)) {
		one.Error = err.Error()
	}
	return one
}
