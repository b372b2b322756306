// SPDX-License-Identifier: MIT

package qwp_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/questdb-sf/questdb_sf/internal/qwp"
)

// The message another client was seen to send for the two rows of exampleRows.
const exampleHex = `
51 57 50 31 01 0C 01 00 5C 00 00 00
00 02 01 41 01 42                    # dictionary: A, B
02 74 31 02 05                       # t1, 2 rows, 5 columns
01 73 09  01 6C 05  01 64 07  01 76 0F  00 0A
00 00 01                             # s
00 01 00 00 00 00 00 00 00 FE FF FF FF FF FF FF FF
00 00 00 00 00 00 00 F8 3F 00 00 00 00 00 00 02 40
01 02 00 00 00 00 02 00 00 00 68 69  # v: row 1 is null, "hi"
00 00 00 40 1E 18 24 0A 06 00 01 40 1E 18 24 0A 06 00
`

func exampleRows() []*qwp.Row {
	return []*qwp.Row{
		row("t1", func(r *qwp.Row) {
			r.Symbol("s", "A")
			r.Long("l", 1)
			r.Double("d", 1.5)
			r.Varchar("v", "hi")
			r.At(1700000000000000)
		}),
		row("t1", func(r *qwp.Row) {
			r.Symbol("s", "B")
			r.Long("l", -2)
			r.Double("d", 2.25)
			r.At(1700000000000001)
		}),
	}
}

func TestBuilderWritesTheBytesAnotherClientWrites(t *testing.T) {
	want := bytesOf(t, exampleHex)
	if got := build(t, exampleRows()...); !bytes.Equal(got, want) {
		t.Fatalf("got\n%x\nwant\n%x", got, want)
	}
}

func TestParseReadsTheMessageOfAnotherClient(t *testing.T) {
	v := parse(t, bytesOf(t, exampleHex), nil)
	var want []string
	for _, r := range exampleRows() {
		want = append(want, format(r))
	}
	slices.Sort(want)
	sameRows(t, "rows", contents(v), want)
	info := qwp.Info{Rows: 2, Tables: 1, MinTime: 1700000000000000, MaxTime: 1700000000000001, HasTime: true}
	if v.Info() != info {
		t.Fatalf("info %+v, want %+v", v.Info(), info)
	}
}

func TestParseReadsTimestampsWithoutEncodingByte(t *testing.T) {
	with := bytesOf(t, exampleHex)
	without := slices.Delete(slices.Clone(with), len(with)-17, len(with)-16)
	without[5], without[8] = 0x08, 0x5B
	sameRows(t, "rows", contents(parse(t, without, nil)), contents(parse(t, with, nil)))
}

func TestAppendPartRepeatsAFrameOfTheBuilder(t *testing.T) {
	msg := bytesOf(t, exampleHex)
	if got := parse(t, msg, nil).AppendPart(nil, qwp.WholeMessage); !bytes.Equal(got, msg) {
		t.Fatalf("got\n%x\nwant\n%x", got, msg)
	}
}

func TestCatchUpMessageTeachesTheDictionary(t *testing.T) {
	var dict qwp.Dict
	for _, flags := range []string{"08", "09"} {
		dict.Reset()
		v := parse(t, bytesOf(t, "51 57 50 31 01 "+flags+" 00 00 06 00 00 00 00 02 01 41 01 42"), &dict)
		if dict.Len() != 2 || len(v.Tables()) != 0 || v.DeferCommit() != (flags == "09") {
			t.Fatalf("flags %s: %d strings, %d tables", flags, dict.Len(), len(v.Tables()))
		}
	}
	commit := parse(t, bytesOf(t, "51 57 50 31 01 08 00 00 02 00 00 00 02 00"), &dict)
	if dict.Len() != 2 || commit.Info().Rows != 0 {
		t.Fatalf("commit message changed the dictionary to %d strings", dict.Len())
	}
	msg := rawMessage(0x08, delta(2, "C"), rawBlock{"t", 3, []col{
		{"s", qwp.TypeSymbol, []byte{0, 2, 0, 1}},
	}})
	sameRows(t, "rows", contents(parse(t, msg, &dict)), []string{
		`t type 0x00@0 "s":SYMBOL=0/41/0`, `t type 0x00@0 "s":SYMBOL=0/42/0`, `t type 0x00@0 "s":SYMBOL=0/43/0`,
	})
}

func TestCommitMessageTranslatesToTheIdsOfTheConnection(t *testing.T) {
	full := bytesOf(t, "51 57 50 31 01 08 00 00 02 00 00 00 00 00")
	v := parse(t, full, nil)
	var dict qwp.ConnDict
	if got := dict.AppendMessage(nil, v, qwp.WholeMessage); !bytes.Equal(got, full) {
		t.Fatalf("got %x", got)
	}
	dict.AppendMessage(nil, parse(t, bytesOf(t, exampleHex), nil), qwp.WholeMessage)
	dict.Commit()
	want := bytesOf(t, "51 57 50 31 01 08 00 00 02 00 00 00 02 00")
	if got := dict.AppendMessage(nil, v, qwp.WholeMessage); !bytes.Equal(got, want) {
		t.Fatalf("got %x", got)
	}
}

func TestGapIsAnErrorAndLeavesTheDictionaryAlone(t *testing.T) {
	var dict qwp.Dict
	if err := dict.Append([]byte("A")); err != nil {
		t.Fatal(err)
	}
	v := new(qwp.View)
	err := v.Parse(rawMessage(0x08, delta(2, "C")), &dict)
	var gap *qwp.GapError
	if !errors.Is(err, qwp.ErrDictGap) || !errors.As(err, &gap) || *gap != (qwp.GapError{Start: 2, Len: 1}) ||
		!strings.Contains(err.Error(), "goes on at id 2, 1 are known") {
		t.Fatalf("got %v", err)
	}
	if err := v.Parse(rawMessage(0x08, delta(1)), nil); !errors.Is(err, qwp.ErrDictGap) {
		t.Fatalf("without a dictionary: %v", err)
	}
	// Valid dictionary, broken block behind it: nothing is learnt.
	if err := v.Parse(rawMessage(0x08, delta(0, "X", "Y"), rawBlock{"t", 1, nil}), &dict); err == nil {
		t.Fatal("rows without columns were accepted")
	}
	msg := rawMessage(0x08, delta(1), rawBlock{"t", 1, []col{{"s", qwp.TypeSymbol, []byte{0, 0}}}})
	sameRows(t, "rows", contents(parse(t, msg, &dict)), []string{`t type 0x00@0 "s":SYMBOL=0/41/0`})
}

func TestGorillaTakesOneBitForASteadyStep(t *testing.T) {
	rows := make([]*qwp.Row, 3)
	for i := range rows {
		rows[i] = row("t", func(r *qwp.Row) { r.At(int64(10 * (i + 1))) })
	}
	msg := build(t, rows...)
	want := bytesOf(t, "00 01 0A 00 00 00 00 00 00 00 14 00 00 00 00 00 00 00 00")
	if !bytes.HasSuffix(msg, want) {
		t.Fatalf("got %x, want it to end in %x", msg, want)
	}
}

func TestGorillaKeepsEveryStepOrFallsBackToRaw(t *testing.T) {
	steps := []int64{0, 1, -1, 63, 64, -64, -65, 255, 256, -256, -257, 2047, 2048, -2048, -2049,
		1 << 30, 1<<31 - 1, -1 << 31, 1 << 31, -1<<31 - 1, 1<<63 - 1, -1<<62 - 5}
	for _, a := range steps {
		var rows []*qwp.Row
		var want []string
		now := int64(1_700_000_000_000_000)
		for i, d := range []int64{0, 5, 5 + a, 0, 7, -a} {
			now += d
			r := row("t", func(r *qwp.Row) { r.At(now); r.Long("i", int64(i)) })
			rows, want = append(rows, r), append(want, format(r))
		}
		slices.Sort(want)
		sameRows(t, "rows", contents(parse(t, build(t, rows...), nil)), want)
	}
}

func TestGorillaStreamOfOneOrTwoValuesIsRead(t *testing.T) {
	one := binary.LittleEndian.AppendUint64([]byte{0, 1}, 7)
	two := binary.LittleEndian.AppendUint64(slices.Clone(one), 9)
	for rows, data := range map[int][]byte{1: one, 2: two} {
		v := parse(t, rawMessage(0x04, nil, rawBlock{"t", rows, []col{{"", qwp.TypeTimestamp, data}}}), nil)
		want := []string{"t TIMESTAMP@7 ", "t TIMESTAMP@9 "}[:rows]
		sameRows(t, "rows", contents(v), want)
		sameRows(t, "part", contents(parse(t, v.AppendPart(nil, qwp.WholeMessage), nil)), want)
	}
}

func TestValuesMayBeFarApart(t *testing.T) {
	var rows []*qwp.Row
	for i := range 70 {
		rows = append(rows, row("t", func(r *qwp.Row) {
			r.Long("i", int64(i))
			if i == 3 {
				r.Varchar("early", "x")
			}
			if i == 69 {
				r.Bool("late", true)
			}
		}))
	}
	sameRows(t, "rows", contents(parse(t, build(t, rows...), nil)), formatAll(rows))
}
