// SPDX-License-Identifier: MIT

package fleet

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/link"
	"github.com/questdb-sf/questdb_sf/sfpool"
)

// Blip is the longest trouble that is no outage.
const Blip = 10 * time.Second

// Kind is where a trouble lies.
type Kind uint8

// The kinds.
const (
	Server Kind = iota + 1 // rows wait and it takes none
	Store                  // sf_dir cannot be opened or used
	Full                   // there is no room for new rows
)

// names begin the cause of an outage.
var names = [...]string{Server: "server: ", Store: "store: ", Full: "full: "}

// Figures are those of a store at one moment. Lost counts from any beginning.
type Figures struct{ Rows, Bytes, Lost int64 }

// Outage is one that is over.
type Outage struct {
	// From and To are read from the clock at the end, which may have been set meanwhile.
	From, To time.Time
	// Rows and Bytes were waiting when it ended.
	Rows, Bytes int64
	// Lost are the rows that were dropped meanwhile.
	Lost int64
	// Cause has the first words of each trouble.
	Cause string
}

// Outages joins the troubles of one store: an outage lasts from the beginning of the
// first to the end of the last. The zero value is ready.
type Outages struct {
	some atomic.Bool // a trouble is on, or own is to be cleared: most acks end here

	mu    sync.Mutex // guards what follows; figures are looked at under it
	on    [Full + 1]bool
	began time.Time
	cause [Full + 1]string // the first of each kind
	lost  int64            // when it began
	own   int64            // rows on outages that may still wait
}

// Begin is told of a trouble, again and again if need be, and of its reason.
func (o *Outages) Begin(k Kind, reason string, look func() Figures) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.on[k] {
		return
	}
	if !o.any() {
		o.began, o.lost, o.cause = time.Now(), look().Lost, [Full + 1]string{}
	}
	o.on[k] = true
	o.cause[k] = cmp.Or(o.cause[k], names[k]+link.OneLine(reason, maxReason))
	o.some.Store(true)
}

// maxReason bounds the words of one reason, in bytes.
const maxReason = 200

// any says whether a trouble is on. The caller holds mu.
func (o *Outages) any() bool { return o.on != [Full + 1]bool{} }

// End is told that a trouble is over, also where there was none. It returns the outage
// that is over with it, unless that was a blip.
func (o *Outages) End(k Kind, look func() Figures) (u Outage, over bool) {
	if !o.some.Load() {
		return Outage{}, false
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	was, own := o.on[k], o.own
	o.on[k] = false
	if k == Server {
		o.own = 0 // rows are taken, and these are among the next
	}
	o.some.Store(o.any() || o.own > 0)
	lasted := time.Since(o.began)
	if !was || o.any() || lasted <= Blip {
		return Outage{}, false
	}
	return o.outage(lasted, own, look())
}

// outage tells of the one that is over, unless nothing waited but rows on earlier
// outages, or they would go on for ever about each other. The caller holds mu.
func (o *Outages) outage(lasted time.Duration, own int64, now Figures) (Outage, bool) {
	u := Outage{To: time.Now(), Rows: now.Rows, Bytes: now.Bytes, Lost: max(0, now.Lost-o.lost)}
	u.From = u.To.Add(-lasted)
	u.Cause = strings.Join(slices.DeleteFunc(slices.Clone(o.cause[:]), func(c string) bool { return c == "" }), "; ")
	serverOnly := o.cause[Store] == "" && o.cause[Full] == ""
	return u, !serverOnly || u.Rows > own || u.Lost > 0
}

// Wrote is told that a row on an outage is stored.
func (o *Outages) Wrote() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.own++
	o.some.Store(true)
}

// Row adds the row on an outage to a batch.
func (u *Outage) Row(b *sfpool.Batch, s Source) error {
	return s.end(s.begin(b, EventsTable).
		TimestampColumn("from", u.From).
		TimestampColumn("to", u.To).
		Int64Column("rows", u.Rows).
		Int64Column("bytes", u.Bytes).
		Int64Column("lost", u.Lost).
		StringColumn("cause", u.Cause), u.To)
}
