// SPDX-License-Identifier: MIT

package qwp_test

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/questdb-sf/questdb_sf/internal/qwp"
)

// drawRow draws a row that is valid. The first letter of a column name mostly
// decides on its type, so that conflicts happen but are not the rule.
func drawRow(t *rapid.T) *qwp.Row {
	r := new(qwp.Row)
	r.Reset(rapid.SampledFrom([]string{"cpu", "mem", "Größe"}).Draw(t, "table"))
	names := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"l", "L1", "d", "b", "s", "S2", "v", "t", "n", "ä"}),
		0, 6, strings.ToLower).Draw(t, "names")
	for _, name := range names {
		if rapid.Bool().Draw(t, "upper") {
			name = strings.ToUpper(name)
		}
		kind := strings.ToLower(name)[0]
		if rapid.IntRange(0, 9).Draw(t, "conflict") == 0 {
			kind = 'v'
		}
		drawCell(t, r, name, kind)
	}
	times := 2
	if len(r.Cells) == 0 {
		times = 1
	}
	switch rapid.IntRange(0, times).Draw(t, "time") {
	case 0:
		r.At(drawTime(t))
	case 1:
		r.AtNanos(drawTime(t))
	}
	return r
}

func drawCell(t *rapid.T, r *qwp.Row, name string, kind byte) {
	switch kind {
	case 'l':
		r.Long(name, rapid.Int64Min(math.MinInt64+1).Draw(t, "long"))
	case 'd':
		r.Double(name, rapid.Float64().Draw(t, "double"))
	case 'b':
		r.Bool(name, rapid.Bool().Draw(t, "bool"))
	case 's':
		r.SymbolBytes(name, []byte(rapid.StringN(0, 3, -1).Draw(t, "symbol")))
	case 't':
		r.Timestamp(name, drawTime(t))
	case 'n':
		r.TimestampNanos(name, drawTime(t))
	default:
		r.VarcharBytes(name, []byte(rapid.StringN(0, 9, -1).Draw(t, "varchar")))
	}
}

func drawTime(t *rapid.T) int64 {
	if rapid.Bool().Draw(t, "far") {
		return rapid.Int64Min(math.MinInt64+1).Draw(t, "time")
	}
	return 1_700_000_000_000_000 + rapid.Int64Range(-300, 300).Draw(t, "time")
}

func formatAll(rows []*qwp.Row) []string {
	list := make([]string, 0, len(rows))
	for _, r := range rows {
		list = append(list, format(r))
	}
	slices.Sort(list)
	return list
}

// frames packs rows into as many frames as it takes, and says which rows are in
// which.
func frames(t *rapid.T, b *qwp.Builder, limit int, rows []*qwp.Row) (list [][]byte, contents [][]string) {
	var in []*qwp.Row
	take := func() {
		frame := b.AppendFrame(nil)
		if b.Rows() != len(in) || len(frame) > b.Size() || b.Size() > limit {
			t.Fatalf("%d rows of %d, frame %d <= size %d <= limit %d", b.Rows(), len(in), len(frame), b.Size(), limit)
		}
		v := parse(t, frame, nil)
		if v.Info() != b.Info() {
			t.Fatalf("parsed %+v, built %+v", v.Info(), b.Info())
		}
		list, contents = append(list, frame), append(contents, formatAll(in))
		b.Reset()
		in = nil
	}
	for _, r := range rows {
		err := b.Add(r)
		if errors.Is(err, qwp.ErrFrameFull) {
			take()
			err = b.Add(r)
		}
		if err == nil {
			in = append(in, r)
		} else if !errors.Is(err, qwp.ErrRowTooLarge) || b.Rows() != 0 {
			t.Fatal(err)
		}
	}
	take()
	return list, contents
}

func TestRowsComeOutOfFramesAsTheyWentIn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.SampledFrom([]int{120, 400, 1 << 16}).Draw(t, "limit")
		b := qwp.NewBuilder(limit)
		for range rapid.IntRange(1, 3).Draw(t, "rounds") {
			rows := rapid.SliceOfN(rapid.Custom(drawRow), 0, 40).Draw(t, "rows")
			list, want := frames(t, b, limit, rows)
			for i, frame := range list {
				sameRows(t, fmt.Sprint("frame ", i), contents(parse(t, frame, nil)), want[i])
			}
		}
	})
}

// pieces splits a part until nothing can be split.
func pieces(v *qwp.View, p qwp.Part) []qwp.Part {
	split := v.Split(nil, p)
	if len(split) == 0 {
		return []qwp.Part{p}
	}
	var list []qwp.Part
	for _, q := range split {
		list = append(list, pieces(v, q)...)
	}
	return list
}

func TestPiecesOfAFrameHaveItsRows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows := rapid.SliceOfN(rapid.Custom(drawRow), 1, 30).Draw(t, "rows")
		_, want := frames(t, qwp.NewBuilder(1<<20), 1<<20, rows)
		v := parse(t, build(t, rows...), nil)
		for _, parts := range [][]qwp.Part{v.Split(nil, qwp.WholeMessage), pieces(v, qwp.WholeMessage)} {
			var got []string
			n := 0
			for _, p := range parts {
				got = append(got, contents(parse(t, v.AppendPart(nil, p), nil))...)
				n += v.PartRows(p)
			}
			if len(parts) == 0 {
				continue // one row
			}
			slices.Sort(got)
			sameRows(t, "pieces", got, want[0])
			if n != v.PartRows(qwp.WholeMessage) {
				t.Fatalf("pieces count %d rows, the message %d", n, v.PartRows(qwp.WholeMessage))
			}
		}
	})
}

func TestMessagesOfAConnectionReadWithItsDictionary(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var send qwp.ConnDict
		var receive qwp.Dict
		seen := map[string]bool{}
		for range rapid.IntRange(1, 6).Draw(t, "messages") {
			rows := rapid.SliceOfN(rapid.Custom(drawRow), 1, 12).Draw(t, "rows")
			v := parse(t, build(t, rows...), nil)
			part := qwp.WholeMessage
			if split := v.Split(nil, part); len(split) > 0 && rapid.Bool().Draw(t, "part") {
				part = rapid.SampledFrom(split).Draw(t, "which")
			}
			msg := send.AppendMessage(nil, v, part)
			if rapid.IntRange(0, 2).Draw(t, "rollback") == 0 {
				send.Rollback()
				continue
			}
			send.Commit()
			got := parse(t, msg, &receive)
			want := parse(t, v.AppendPart(nil, part), nil)
			sameRows(t, "rows", contents(got), contents(want))
			noteSymbols(want, seen)
			if send.Len() != receive.Len() || send.Len() != len(seen) {
				t.Fatalf("sender has %d strings, receiver %d, %d were used", send.Len(), receive.Len(), len(seen))
			}
		}
	})
}

func noteSymbols(v *qwp.View, seen map[string]bool) {
	tables := v.Tables()
	for i := range tables {
		for r := range tables[i].All(0, tables[i].Rows, new(qwp.Row)) {
			for _, c := range r.Cells {
				if c.Type == qwp.TypeSymbol {
					seen[string(c.Text)] = true
				}
			}
		}
	}
}
