// SPDX-License-Identifier: MIT

package qwp_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/questdb-sf/questdb_sf/internal/qwp"
)

func symbols(values ...string) []*qwp.Row {
	rows := make([]*qwp.Row, 0, len(values))
	for _, s := range values {
		rows = append(rows, row("t", func(r *qwp.Row) { r.Symbol("s", s) }))
	}
	return rows
}

func TestEachStringIsSentOnceAndAgainAfterRollback(t *testing.T) {
	first := parse(t, build(t, symbols("A", "B")...), nil)
	second := parse(t, build(t, symbols("C", "B", "D")...), nil)
	var dict qwp.ConnDict
	dict.AppendMessage(nil, first, qwp.WholeMessage)
	dict.Commit()
	const block = "01 74 03 01 01 73 09 00"
	want := bytesOf(t, "51 57 50 31 01 0C 01 00 11 00 00 00  02 02 01 43 01 44 "+block+" 02 01 03")
	for range 2 {
		if got := dict.AppendMessage(nil, second, qwp.WholeMessage); !bytes.Equal(got, want) {
			t.Fatalf("got %x, want %x", got, want)
		}
		if dict.Len() != 4 || dict.TextBytes() != 8 {
			t.Fatalf("%d strings of %d bytes", dict.Len(), dict.TextBytes())
		}
		dict.Rollback()
	}
	dict.Reset()
	if dict.Len() != 0 || dict.TextBytes() != 0 {
		t.Fatalf("%d strings of %d bytes after Reset", dict.Len(), dict.TextBytes())
	}
	if got := dict.AppendMessage(nil, second, qwp.WholeMessage); !bytes.Equal(got, build(t, symbols("C", "B", "D")...)) {
		t.Fatalf("got %x after Reset", got)
	}
}

func TestRollbackFindsEveryOlderStringAgain(t *testing.T) {
	var dict qwp.ConnDict
	for round := range 40 {
		var values []string
		for i := range 50 {
			values = append(values, fmt.Sprint("s", round*25+i))
		}
		v := parse(t, build(t, symbols(values...)...), nil)
		before := dict.Len()
		dict.AppendMessage(nil, v, qwp.WholeMessage)
		if round%2 == 1 {
			dict.Rollback()
			if dict.Len() != before {
				t.Fatalf("%d strings, want %d", dict.Len(), before)
			}
			continue
		}
		dict.Commit()
		dict.AppendMessage(nil, v, qwp.WholeMessage)
		if want := 50 * (round/2 + 1); dict.Len() != want {
			t.Fatalf("%d strings in round %d, want %d", dict.Len(), round, want)
		}
	}
}

func TestWideDictionariesTranslate(t *testing.T) {
	var values []string
	for i := range 20_000 {
		values = append(values, fmt.Sprint("symbol ", i))
	}
	v := parse(t, build(t, symbols(values...)...), nil)
	var dict qwp.ConnDict
	var receive qwp.Dict
	msg := dict.AppendMessage(nil, v, v.Split(nil, qwp.WholeMessage)[1])
	sameRows(t, "half", contents(parse(t, msg, &receive)), formatAll(symbols(values[10_000:]...)))
	msg = dict.AppendMessage(nil, v, qwp.WholeMessage)
	sameRows(t, "whole", contents(parse(t, msg, &receive)), formatAll(symbols(values...)))
}

func TestAnAddedColumnStandsInEachBlockThatWantsIt(t *testing.T) {
	rows := []*qwp.Row{
		row("a", func(r *qwp.Row) { r.Long("l", 1) }),
		row("b", func(r *qwp.Row) { r.Long("l", 2) }),
		row("a", func(r *qwp.Row) { r.Symbol("s", "x") }),
	}
	v := parse(t, build(t, rows...), nil)
	add := func(k *qwp.Table, first, last int) (string, []int64) {
		if k.Name != "a" {
			return "", nil
		}
		return "id", []int64{70, 71}[first:last]
	}
	var dict qwp.ConnDict
	rows[0].Long("id", 70)
	rows[2].Long("id", 71)
	got := parse(t, dict.AppendMessageWith(nil, v, qwp.WholeMessage, add), nil)
	sameRows(t, "whole", contents(got), formatAll(rows))
	dict.Reset()
	got = parse(t, dict.AppendMessageWith(nil, v, qwp.Part{Table: 0, First: 1, Last: 2}, add), nil)
	sameRows(t, "part", contents(got), formatAll(rows[2:]))
}

func TestDeferCommitIsKept(t *testing.T) {
	msg := build(t, symbols("A", "B")...)
	msg[5] |= qwp.FlagDeferCommit
	v := parse(t, msg, nil)
	for _, p := range append(v.Split(nil, qwp.WholeMessage), qwp.WholeMessage) {
		if !parse(t, v.AppendPart(nil, p), nil).DeferCommit() {
			t.Errorf("%v lost the flag", p)
		}
	}
}

func TestSplitGoesByBlocksThenByHalvesDownToARow(t *testing.T) {
	rows := append(symbols("A", "B", "C"), row("u", func(r *qwp.Row) { r.Long("l", 1) }))
	v := parse(t, build(t, rows...), nil)
	want := []qwp.Part{{Table: 0, First: 0, Last: 3}, {Table: 1, First: 0, Last: 1}}
	if got := v.Split(nil, qwp.WholeMessage); !slices.Equal(got, want) {
		t.Fatalf("message: %v", got)
	}
	if got := v.Split(nil, want[0]); !slices.Equal(got, []qwp.Part{{First: 0, Last: 1}, {First: 1, Last: 3}}) {
		t.Fatalf("block: %v", got)
	}
	if got := v.Split(nil, want[1]); len(got) != 0 {
		t.Fatalf("row: %v", got)
	}
	v = parse(t, build(t, symbols("A", "B")...), nil)
	if got := v.Split(nil, qwp.WholeMessage); !slices.Equal(got, []qwp.Part{{First: 0, Last: 1}, {First: 1, Last: 2}}) {
		t.Fatalf("message of one block: %v", got)
	}
	v = parse(t, build(t, symbols("A")...), nil)
	if got := v.Split(nil, qwp.WholeMessage); len(got) != 0 {
		t.Fatalf("message of one row: %v", got)
	}
}

func TestDictRefusesWhatNoMessageMayBring(t *testing.T) {
	var dict qwp.Dict
	if err := dict.Append([]byte("\xFF")); err == nil || !strings.Contains(err.Error(), "UTF-8") {
		t.Fatalf("got %v", err)
	}
	for range qwp.MaxDictEntries {
		if err := dict.Append(nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := dict.Append(nil); err == nil || !strings.Contains(err.Error(), "full") {
		t.Fatalf("got %v", err)
	}
	err := new(qwp.View).Parse(rawMessage(8, delta(qwp.MaxDictEntries, "one")), &dict)
	if err == nil || !strings.Contains(err.Error(), "above the limit") {
		t.Fatalf("got %v", err)
	}
}
