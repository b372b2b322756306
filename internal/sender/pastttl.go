// SPDX-License-Identifier: MIT

package sender

import (
	"log/slog"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/qwp"
	"github.com/questdb-sf/questdb_sf/internal/tables"
)

// Rows that are older than the TTL of their table are acked, and gone as soon as the
// table has younger ones. They are sent all the same, as the TTL is the operator's wish;
// but it is said before, and they are counted when they are acked.

// horizon is the time before which rows of a block are older than the TTL of their table.
type horizon struct {
	block  int
	micros int64
}

// expire notes that rows of a block are, and says so. It costs a comparison a block
// where none is.
func (f *flight) expire(t *qwp.Table, todo []piece, v reply, now time.Time) {
	info := f.view.Info()
	if v.TTL == (tables.TTL{}) || !info.HasTime {
		return
	}
	before := v.TTL.Before(now)
	if info.MinTime >= before.UnixMicro() {
		return
	}
	rows, oldest := 0, int64(0)
	for _, p := range todo {
		n, at := t.Before(p.First, p.Last, before.UnixMicro())
		if n > 0 && (rows == 0 || at < oldest) {
			oldest = at
		}
		rows += n
	}
	if rows == 0 {
		return
	}
	f.past = append(f.past, horizon{todo[0].Table, before.UnixMicro()})
	f.s.cfg.Voice.pastTTL(f.conn.Host(), t.Name, f.s.name(), v.TTL, rows, time.UnixMicro(oldest), now)
}

// pastTTL counts the rows of a part that are older than the TTL of their table.
func (f *flight) pastTTL(p qwp.Part) (rows int) {
	for _, h := range f.past {
		t, first, last := &f.view.Tables()[h.block], p.First, p.Last
		if p.Table < 0 {
			first, last = 0, t.Rows
		} else if p.Table != h.block {
			continue
		}
		n, _ := t.Before(first, last, h.micros)
		rows += n
	}
	return rows
}

// tookPastTTL counts such rows when the server has taken them.
func (s *Sender) tookPastTTL(rows int) {
	if rows == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state.PastTTL += int64(rows)
}

// maxExpiring bounds the tables of which it is remembered that their rows are too old.
const maxExpiring = 1000

// pastTTL tells of rows that are older than the TTL of their table, once an hour for
// each table.
func (v *Voice) pastTTL(host, table, slot string, ttl tables.TTL, rows int, oldest, now time.Time) {
	if !v.expiryDue(host+"\x00"+table, now) {
		return
	}
	v.tell(slog.LevelWarn, "rows are older than the TTL of their table: the server takes them, and drops them as soon as the table has younger ones; they are sent all the same",
		"table", table, "host", host, "ttl", ttl.String(), "rows", rows, "oldest", oldest.UTC().Format(time.RFC3339),
		"slot", slot, "run", tables.SetTTL(table, ttl.Enlarged(now, oldest)))
}

func (v *Voice) expiryDue(key string, now time.Time) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if at, said := v.expiring[key]; said && now.Sub(at) < sameEvery {
		return false
	}
	if v.expiring == nil || len(v.expiring) >= maxExpiring {
		v.expiring = map[string]time.Time{}
	}
	v.expiring[key] = now
	return true
}
