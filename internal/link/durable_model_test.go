// SPDX-License-Identifier: MIT

package link_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/questdb-sf/questdb_sf/internal/link"
	"github.com/questdb-sf/questdb_sf/internal/qwp"
)

// TestDurabilityModel plays a server whose tables become durable in any order against
// the plain law: an outcome covers the messages all of whose transactions, and those
// of the messages before, were said to be durable.
func TestDurabilityModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.SampledFrom([]int{1, 3, 8, 1 << 16}).Draw(t, "limit")
		m := &durableModel{d: link.NewDurability(limit), exact: limit == 1<<16, durable: map[string]int64{}, written: map[string]int64{}, base: -1}
		t.Repeat(map[string]func(*rapid.T){"send": m.send, "okay": m.okay, "announce": m.announce, "": m.check})
		m.rest(t)
	})
}

type durableModel struct {
	d                *link.Durability
	exact            bool               // no OKs are joined
	ends             []int64            // of the OKs
	messages         []map[string]int64 // by sequence: transactions of each
	okayed           int
	written, durable map[string]int64
	base             int64 // last outcome
}

var modelTables = rapid.SampledFrom([]string{"a", "b", "c"})

func (m *durableModel) send(t *rapid.T) {
	txn := map[string]int64{}
	for range rapid.IntRange(0, 3).Draw(t, "tables") {
		name := modelTables.Draw(t, "table")
		if txn[name] == 0 {
			m.written[name] += rapid.Int64Range(1, 3).Draw(t, "txns") // others write too
			txn[name] = m.written[name]
		}
	}
	m.messages = append(m.messages, txn)
	m.d.Launched(1)
}

// okay answers some of the messages with one OK.
func (m *durableModel) okay(t *rapid.T) {
	left := len(m.messages) - m.okayed
	if left == 0 {
		t.Skip("nothing to answer")
	}
	m.answer(t, rapid.IntRange(1, left).Draw(t, "messages"))
}

func (m *durableModel) answer(t *rapid.T, n int) {
	union := map[string]int64{}
	for _, txn := range m.messages[m.okayed : m.okayed+n] {
		for name, v := range txn {
			union[name] = max(union[name], v)
		}
	}
	m.okayed += n
	m.ends = append(m.ends, int64(m.okayed-1))
	var list []qwp.TableTxn
	for name, v := range union {
		list = append(list, qwp.TableTxn{Name: name, SeqTxn: v})
	}
	if err := m.d.Okay(int64(m.okayed-1), list); err != nil {
		t.Fatal(err)
	}
}

func (m *durableModel) announce(t *rapid.T) {
	name := modelTables.Draw(t, "table")
	if m.written[name] > m.durable[name] {
		m.durable[name] = rapid.Int64Range(m.durable[name]+1, m.written[name]).Draw(t, "durable")
		_ = m.d.Announced([]qwp.TableTxn{{Name: name, SeqTxn: m.durable[name]}})
	}
}

// isDurable says whether everything up to a message is durable.
func (m *durableModel) isDurable(seq int64) bool {
	for _, txn := range m.messages[:seq+1] {
		for name, v := range txn {
			if m.durable[name] < v {
				return false
			}
		}
	}
	return true
}

func (m *durableModel) check(t *rapid.T) {
	seq, ok := m.d.Pop()
	if m.exact {
		m.checkExact(t, seq, ok)
	}
	if !ok {
		return
	}
	if seq <= m.base || seq >= int64(m.okayed) || !m.isDurable(seq) {
		t.Fatalf("outcome %d after %d; %d are OKed, durable: %t", seq, m.base, m.okayed, m.isDurable(seq))
	}
	m.base = seq
}

// checkExact says that nothing is held back that could be let go.
func (m *durableModel) checkExact(t *rapid.T, seq int64, ok bool) {
	want := m.base
	for _, end := range m.ends {
		if m.isDurable(end) {
			want = max(want, end)
		}
	}
	if ok != (want > m.base) || ok && seq != want {
		t.Fatalf("outcome %d, %t, want %d after %d", seq, ok, want, m.base)
	}
}

// rest lets everything be durable in the end, and then nothing may be left.
func (m *durableModel) rest(t *rapid.T) {
	if n := len(m.messages) - m.okayed; n > 0 {
		m.answer(t, n)
	}
	for name, v := range m.written {
		m.durable[name] = v
		_ = m.d.Announced([]qwp.TableTxn{{Name: name, SeqTxn: v}})
	}
	m.check(t)
	if needs, okays := m.d.Held(); m.base != int64(len(m.messages)-1) || okays != 0 {
		t.Fatalf("%d of %d messages are let go; %d needs of %d OKs are left", m.base+1, len(m.messages), needs, okays)
	}
}
