// SPDX-License-Identifier: MIT

package qwp_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/questdb-sf/questdb_sf/internal/qwp"
)

// holdsAtMost checks what the heap keeps of the work on x.
func holdsAtMost[T any](t *testing.T, limit int, x *T, work func(x *T)) {
	t.Helper()
	before := heap()
	work(x)
	held := int(heap()) - int(before)
	runtime.KeepAlive(x)
	if held > limit {
		t.Errorf("holds %d bytes, more than %d", held, limit)
	}
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func TestBuilderStaysSmallWhenTablesAndColumnsComeAndGo(t *testing.T) {
	for _, c := range []struct{ limit, text, held int }{
		{32 << 10, 10 << 10, 320 << 10}, // by the limit
		{8 << 20, 10, 160 << 10},        // by what was not used for long
	} {
		holdsAtMost(t, c.held, qwp.NewBuilder(c.limit), func(b *qwp.Builder) {
			for i := range 2000 {
				changingFrame(t, b, i, c.text)
			}
		})
	}
}

// changingFrame builds a frame of a table that stays and one that is new; with
// columns that are new, and for a while a conflict.
func changingFrame(t *testing.T, b *qwp.Builder, i, size int) {
	for _, table := range []string{"stays", fmt.Sprint("goes", i)} {
		r := row(table, func(r *qwp.Row) {
			r.Varchar(fmt.Sprint("column", i), strings.Repeat("x", size))
			r.Long("always", 1)
		})
		if err := b.Add(r); err != nil {
			t.Fatal(err)
		}
	}
	if i < 100 {
		if err := b.Add(row("stays", func(r *qwp.Row) { r.Double("always", 1) })); err != nil {
			t.Fatal(err)
		}
	}
	b.Reset()
}

func TestBuilderForgetsTablesOfWhichAllRowsAreRefused(t *testing.T) {
	holdsAtMost(t, 64<<10, qwp.NewBuilder(1<<20), func(b *qwp.Builder) {
		for i := range 2000 {
			r := row(fmt.Sprint("refused", i), func(r *qwp.Row) { r.Varchar("v", "\xFF") })
			if err := b.Add(r); err == nil {
				t.Fatal("invalid text was accepted")
			}
		}
	})
}

func TestDictStaysSmallWhenIdsAreRedefined(t *testing.T) {
	dict := new(qwp.Dict)
	holdsAtMost(t, 64<<10, dict, func(dict *qwp.Dict) {
		for i := range 500 {
			s := strings.Repeat(string(rune('a'+i%3)), 3000)
			parse(t, rawMessage(0x08, delta(0, s, "b"+s)), dict)
		}
	})
	parse(t, rawMessage(0x08, delta(1, "new")), dict)
	msg := rawMessage(0x08, delta(2), rawBlock{"t", 1, []col{{"s", qwp.TypeSymbol, []byte{0, 1}}}})
	sameRows(t, "rows", contents(parse(t, msg, dict)), []string{`t type 0x00@0 "s":SYMBOL=0/6e6577/0`})
}

func TestViewRemembersOnlySoManyNames(t *testing.T) {
	holdsAtMost(t, 1<<20, new(qwp.View), func(v *qwp.View) {
		for i := range 30_000 {
			name := fmt.Sprintf("%0120d", i)
			if err := v.Parse(rawMessage(0, nil, rawBlock{name, 0, nil}), nil); err != nil {
				t.Fatal(err)
			}
		}
	})
}
