// SPDX-License-Identifier: MIT

package verdict

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/vfs"
)

const (
	// A verdict is tried again after firstProbe, and then ever more seldom: each try
	// is a refused request, and n of them take 2^n minutes.
	firstProbe = time.Minute
	lastProbe  = time.Hour
	// A bar is somebody's work in progress, or a moment's trouble.
	firstTry = 10 * time.Second
	lastTry  = time.Minute
	// maxEntries bounds verdicts, bars and tables heard of: names have no end.
	maxEntries = 10_000
)

// Options say where a Book is kept. The zero value keeps it in RAM.
type Options struct {
	FS   vfs.FS
	Path string // of the file; empty for none
	// Conflict is what is done about what the file says: that may have changed since.
	Conflict Conflict
	Log      *slog.Logger
}

// Book holds verdicts and bars, and when which server last took rows. Its methods are
// safe for concurrent use.
type Book struct {
	o    Options
	busy atomic.Bool // there is a verdict or a bar

	// saving is held while the file is written.
	saving sync.Mutex

	// mu guards what follows. Nothing that can block runs while it is held.
	mu       sync.Mutex
	verdicts map[Key]*entry // with those that were lifted
	standing int            // of them, not lifted
	unproven bool           // one of them is
	bars     map[place]*bar
	count    int64            // of what was accepted
	hosts    map[string]int64 // count when each last took rows
	tables   map[place]int64  // and rows of each table, as far as known
	unsaved  bool             // that the file could not be written was said
}

// entry is a verdict with the time of its next probe.
type entry struct {
	Verdict
	next time.Time
	wait time.Duration
	// lifted: the server has come to take such values. How long a probe waited is
	// remembered, for where it depends on the value what a server takes.
	lifted bool
	// proven: the server took others since. Before that it may refuse everything, and
	// what it says is not kept in the file.
	proven bool
	// first is the Mark when it was learned; -1 for one from before this process.
	first int64
}

// place is a table on a server.
type place struct{ host, table string }

// bar is a table that takes no rows.
type bar struct {
	words string
	next  time.Time // of the next row that is offered
	wait  time.Duration
	tries int // rows that were refused
	skip  int // rows that are passed over before the next one is offered
}

// New returns a Book with the verdicts in its file. One that cannot be read is told of
// and begun anew: what is in it will be learned again.
func New(o Options) *Book {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	b := &Book{
		o: o, verdicts: map[Key]*entry{}, bars: map[place]*bar{},
		hosts: map[string]int64{}, tables: map[place]int64{},
	}
	b.load()
	b.settle()
	return b
}

// Busy says whether there is anything to look up; without a Book there is not.
func (b *Book) Busy() bool { return b != nil && b.busy.Load() }

// settle notes whether there is anything to look up. WARNING: the caller must hold mu.
func (b *Book) settle() { b.busy.Store(b.standing+len(b.bars) > 0) }

// at returns what stands on a key; nil for nothing. WARNING: the caller must hold mu.
func (b *Book) at(k Key) *entry {
	if e := b.verdicts[k.fold()]; e != nil && !e.lifted {
		return e
	}
	return nil
}

// Counts returns how many verdicts and bars there are now.
func (b *Book) Counts() (verdicts, bars int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.verdicts), len(b.bars)
}

// Learn notes a refusal, and says whether it is news. One that was known is renewed: its
// next probe comes later, also if it was lifted in between.
func (b *Book) Learn(v Verdict) (news bool) {
	b.mu.Lock()
	e := b.verdicts[v.fold()]
	if e == nil || e.To != v.To || e.Wait != v.Wait {
		e = b.enter(v)
		news = true
	} else if e.lifted {
		e.lifted, e.proven, e.first, news = false, false, b.count, true
		b.standing++
	}
	b.unproven = b.unproven || !e.proven
	v.Mark = b.count
	e.Verdict = v
	if v.Wait {
		e.wait = min(2*e.wait, lastTry)
	} else {
		e.wait = min(2*e.wait, lastProbe)
	}
	e.next = time.Now().Add(e.wait)
	b.settle()
	b.mu.Unlock()
	return news
}

// enter makes the entry of a verdict. WARNING: the caller must hold mu.
func (b *Book) enter(v Verdict) *entry {
	if b.at(v.Key) != nil {
		b.standing--
	}
	if len(b.verdicts) >= maxEntries {
		clear(b.verdicts)
		b.standing = 0
	}
	e := &entry{wait: firstProbe / 2, first: b.count}
	if v.Wait {
		e.wait = firstTry / 2
	}
	b.verdicts[v.fold()] = e
	b.standing++
	return e
}

// Of returns the verdict on a key, if there is one.
func (b *Book) Of(k Key) (Verdict, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := b.at(k)
	if e == nil {
		return Verdict{}, false
	}
	return e.Verdict, true
}

// Due says whether a Probe would be said to be.
func (b *Book) Due(k Key) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := b.at(k)
	return e != nil && !time.Now().Before(e.next)
}

// Probe says whether it is time to send a row as it is; whoever is told so does it.
func (b *Book) Probe(k Key) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	e, now := b.at(k), time.Now()
	if e == nil || now.Before(e.next) {
		return false
	}
	e.next = now.Add(e.wait)
	return true
}

// Lift is told that a server takes what it refused.
func (b *Book) Lift(k Key) (was bool) {
	b.mu.Lock()
	if e := b.at(k); e != nil {
		e.lifted, was = true, true
		b.standing--
	}
	b.settle()
	b.mu.Unlock()
	if was {
		b.save()
	}
	return was
}

// Doubt takes back what was learned of a server from a Mark on: it turned out to have
// refused everything.
func (b *Book) Doubt(host string, mark int64) {
	b.mu.Lock()
	taken := false
	for k, e := range b.verdicts {
		if k.Host != host || e.first < mark || e.lifted {
			continue
		}
		delete(b.verdicts, k)
		b.standing--
		taken = true
	}
	b.settle()
	b.mu.Unlock()
	if taken {
		b.save()
	}
}

// Bar notes that a server takes no rows of a table, and says whether that is news.
func (b *Book) Bar(host, table, words string) (news bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	p := placeOf(host, table)
	x := b.bars[p]
	if news = x == nil; news {
		if len(b.bars) >= maxEntries {
			clear(b.bars)
		}
		x = &bar{wait: firstTry / 2}
		b.bars[p] = x
	} else {
		x.tries++
	}
	x.skip = 1<<(x.tries%skips) - 1
	x.words, x.wait = words, min(2*x.wait, lastTry)
	x.next = time.Now().Add(x.wait)
	b.settle()
	return news
}

// skips is how many different rows are offered before it is the turn of the first again:
// it may be that row which the server refuses, and not the table.
const skips = 5

// Barred says whether rows of a table have to wait, and why; due, that one of them is to
// be offered now.
func (b *Book) Barred(host, table string) (words string, barred, due bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	x := b.bars[placeOf(host, table)]
	if x == nil {
		return "", false, false
	}
	return x.words, true, !time.Now().Before(x.next)
}

// Offer returns which of the next rows of a barred table is to be offered now; -1 for
// none. Whoever is told one offers it.
func (b *Book) Offer(host, table string, rows int) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	x, now := b.bars[placeOf(host, table)], time.Now()
	if x == nil || rows == 0 || now.Before(x.next) {
		return -1
	}
	if x.skip >= rows {
		x.skip = (x.skip - rows) / 2
		return -1
	}
	x.next = now.Add(x.wait)
	return x.skip
}

// Unbar is told that a server takes rows of a table again.
func (b *Book) Unbar(host, table string) (was bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	_, was = b.bars[placeOf(host, table)]
	delete(b.bars, placeOf(host, table))
	b.settle()
	return was
}

// Reconnected makes every probe of a server due that did not come just now: what was
// wrong may have been mended with the outage.
func (b *Book) Reconnected(host string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	for k, e := range b.verdicts {
		if k.Host == host && !e.lifted && e.next.Sub(now) < e.wait-firstTry {
			e.next = now
		}
	}
	for p, x := range b.bars {
		if p.host == host && x.next.Sub(now) < x.wait-time.Second {
			x.next = now
		}
	}
}

// Accepted notes that a server took rows, and of which table; empty if not known.
func (b *Book) Accepted(host, table string) {
	b.mu.Lock()
	b.count++
	b.hosts[host] = b.count
	if table != "" {
		if len(b.tables) >= maxEntries {
			clear(b.tables)
		}
		b.tables[placeOf(host, table)] = b.count
	}
	news := b.unproven && b.prove(host)
	b.mu.Unlock()
	if news {
		b.save()
	}
}

// prove notes that a server refuses not everything. WARNING: the caller must hold mu.
func (b *Book) prove(host string) (news bool) {
	b.unproven = false
	for k, e := range b.verdicts {
		switch {
		case e.proven || e.lifted:
		case k.Host == host:
			e.proven, news = true, news || !e.Wait
		default:
			b.unproven = true
		}
	}
	return news
}

// Mark is a point in the order of what servers accepted: now.
func (b *Book) Mark() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.count
}

// AcceptedSince says whether a server took rows after a Mark, of a table if one is
// named.
func (b *Book) AcceptedSince(host, table string, mark int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	at := b.hosts[host]
	if table != "" {
		at = b.tables[placeOf(host, table)]
	}
	return at > mark
}

func placeOf(host, table string) place {
	k := Key{Host: host, Table: table}.fold()
	return place{k.Host, k.Table}
}
