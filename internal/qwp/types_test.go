// SPDX-License-Identifier: MIT

package qwp_test

import (
	"bytes"
	"encoding/binary"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/questdb-sf/questdb_sf/internal/qwp"
)

func le32(values ...uint32) []byte {
	var b []byte
	for _, v := range values {
		b = binary.LittleEndian.AppendUint32(b, v)
	}
	return b
}

func le64(values ...uint64) []byte {
	var b []byte
	for _, v := range values {
		b = binary.LittleEndian.AppendUint64(b, v)
	}
	return b
}

func join(parts ...[]byte) []byte { return slices.Concat(parts...) }

var (
	noNulls   = []byte{0}
	middle    = []byte{1, 0b010} // of three rows the one in the middle is null
	minInt64  = uint64(1 << 63)
	threeBits = []byte{0b101}
)

// typeCase is a column of three rows. A cell of type 0 stands for null.
type typeCase struct {
	name  string
	kind  qwp.Type
	flags byte
	data  []byte
	want  [3]qwp.Cell
}

func num(t qwp.Type, n uint64) qwp.Cell { return qwp.Cell{Type: t, Num: n} }

func raw(t qwp.Type, scale uint8, b ...byte) qwp.Cell {
	return qwp.Cell{Type: t, Scale: scale, Text: b}
}

// typeCases has a column of each type, with a bitmap and with sentinels.
func typeCases() []typeCase {
	null := qwp.Cell{}
	bitsOf := math.Float64bits
	uuid, wide := join(le64(1, 2)), join(le64(1, 2, 3, 4))
	dec16, dec32 := join(le64(5, 6)), join(le64(5, 6, 7, 8))
	array := join([]byte{2}, le32(1, 2), le64(1, 2))
	empty := join([]byte{3}, le32(1<<31-1, 1<<31-1, 0))
	return []typeCase{
		{"boolean", qwp.TypeBoolean, 0, join(noNulls, threeBits), [3]qwp.Cell{num(qwp.TypeBoolean, 1), num(qwp.TypeBoolean, 0), num(qwp.TypeBoolean, 1)}},
		{"boolean with bitmap", qwp.TypeBoolean, 0, join(middle, []byte{0b10}), [3]qwp.Cell{num(qwp.TypeBoolean, 0), null, num(qwp.TypeBoolean, 1)}},
		{"byte", qwp.TypeByte, 0, join(noNulls, []byte{1, 0, 0xFF}), [3]qwp.Cell{num(qwp.TypeByte, 1), num(qwp.TypeByte, 0), num(qwp.TypeByte, math.MaxUint64)}},
		{"short", qwp.TypeShort, 0, join(middle, []byte{1, 0, 0xFE, 0xFF}), [3]qwp.Cell{num(qwp.TypeShort, 1), null, num(qwp.TypeShort, math.MaxUint64-1)}},
		{"char", qwp.TypeChar, 0, join(noNulls, []byte{'a', 0, 0, 0, 0xFF, 0xFF}), [3]qwp.Cell{num(qwp.TypeChar, 'a'), num(qwp.TypeChar, 0), num(qwp.TypeChar, 0xFFFF)}},
		{"int", qwp.TypeInt, 0, join(noNulls, le32(7, 1<<31, 1<<32-1)), [3]qwp.Cell{num(qwp.TypeInt, 7), null, num(qwp.TypeInt, math.MaxUint64)}},
		{"long", qwp.TypeLong, 0, join(noNulls, le64(7, minInt64, 8)), [3]qwp.Cell{num(qwp.TypeLong, 7), null, num(qwp.TypeLong, 8)}},
		{"date", qwp.TypeDate, 4, join(noNulls, le64(7, minInt64, 8)), [3]qwp.Cell{num(qwp.TypeDate, 7), null, num(qwp.TypeDate, 8)}},
		{"float", qwp.TypeFloat, 0, join(noNulls, le32(math.Float32bits(1.5), math.Float32bits(float32(math.NaN())), 0)), [3]qwp.Cell{num(qwp.TypeFloat, bitsOf(1.5)), null, num(qwp.TypeFloat, 0)}},
		{"double", qwp.TypeDouble, 0, join(noNulls, le64(bitsOf(1.5), bitsOf(math.NaN()), bitsOf(math.Inf(1)))), [3]qwp.Cell{num(qwp.TypeDouble, bitsOf(1.5)), null, num(qwp.TypeDouble, bitsOf(math.Inf(1)))}},
		{"timestamp without encoding byte", qwp.TypeTimestamp, 0, join(noNulls, le64(7, minInt64, 8)), [3]qwp.Cell{num(qwp.TypeTimestamp, 7), null, num(qwp.TypeTimestamp, 8)}},
		{"timestamp raw", qwp.TypeTimestampNanos, 4, join(middle, []byte{0}, le64(7, 8)), [3]qwp.Cell{num(qwp.TypeTimestampNanos, 7), null, num(qwp.TypeTimestampNanos, 8)}},
		{"timestamp gorilla", qwp.TypeTimestamp, 4, join(noNulls, []byte{1}, le64(7, 8), []byte{0b0000_1001, 0}), [3]qwp.Cell{num(qwp.TypeTimestamp, 7), num(qwp.TypeTimestamp, 8), num(qwp.TypeTimestamp, 11)}},
		{"uuid", qwp.TypeUUID, 0, join(noNulls, uuid, le64(minInt64, minInt64), uuid), [3]qwp.Cell{raw(qwp.TypeUUID, 0, uuid...), null, raw(qwp.TypeUUID, 0, uuid...)}},
		{"long256", qwp.TypeLong256, 0, join(noNulls, wide, le64(minInt64, minInt64, minInt64, minInt64), wide), [3]qwp.Cell{raw(qwp.TypeLong256, 0, wide...), null, raw(qwp.TypeLong256, 0, wide...)}},
		{"ipv4", qwp.TypeIPv4, 0, join(noNulls, []byte{4, 3, 2, 1, 0, 0, 0, 0, 1, 0, 0, 0}), [3]qwp.Cell{raw(qwp.TypeIPv4, 0, 4, 3, 2, 1), null, raw(qwp.TypeIPv4, 0, 1, 0, 0, 0)}},
		{"geohash", qwp.TypeGeohash, 0, join(noNulls, []byte{20, 1, 2, 3, 0xFF, 0xFF, 0xFF, 4, 5, 6}), [3]qwp.Cell{raw(qwp.TypeGeohash, 20, 1, 2, 3), null, raw(qwp.TypeGeohash, 20, 4, 5, 6)}},
		{"geohash with bitmap", qwp.TypeGeohash, 0, join(middle, []byte{8, 1, 0xFF}), [3]qwp.Cell{raw(qwp.TypeGeohash, 8, 1), null, raw(qwp.TypeGeohash, 8, 0xFF)}},
		{"varchar", qwp.TypeVarchar, 0, join(middle, le32(0, 3, 3), []byte("h\xc3\xa4")), [3]qwp.Cell{raw(qwp.TypeVarchar, 0, []byte("hä")...), null, raw(qwp.TypeVarchar, 0)}},
		{"binary", qwp.TypeBinary, 0, join(noNulls, le32(0, 1, 3, 3), []byte{0xFF, 0, 0xC3}), [3]qwp.Cell{raw(qwp.TypeBinary, 0, 0xFF), raw(qwp.TypeBinary, 0, 0, 0xC3), raw(qwp.TypeBinary, 0)}},
		{"symbol of the message", qwp.TypeSymbol, 8, join(middle, []byte{1, 0}), [3]qwp.Cell{raw(qwp.TypeSymbol, 0, 'B'), null, raw(qwp.TypeSymbol, 0, 'A')}},
		{"symbol of the column", qwp.TypeSymbol, 0, join(noNulls, []byte{2, 1, 'A', 0, 1, 0, 0x80, 0}), [3]qwp.Cell{raw(qwp.TypeSymbol, 0), raw(qwp.TypeSymbol, 0, 'A'), raw(qwp.TypeSymbol, 0, 'A')}},
		{"double array", qwp.TypeDoubleArray, 0, join(middle, array, empty), [3]qwp.Cell{raw(qwp.TypeDoubleArray, 0, array...), null, raw(qwp.TypeDoubleArray, 0, empty...)}},
		{"long array", qwp.TypeLongArray, 0, join(noNulls, array, empty, array), [3]qwp.Cell{raw(qwp.TypeLongArray, 0, array...), raw(qwp.TypeLongArray, 0, empty...), raw(qwp.TypeLongArray, 0, array...)}},
		{"decimal64", qwp.TypeDecimal64, 0, join(middle, []byte{3}, le64(5, 6)), [3]qwp.Cell{raw(qwp.TypeDecimal64, 3, le64(5)...), null, raw(qwp.TypeDecimal64, 3, le64(6)...)}},
		{"decimal128", qwp.TypeDecimal128, 0, join(middle, []byte{3}, dec16, dec16), [3]qwp.Cell{raw(qwp.TypeDecimal128, 3, dec16...), null, raw(qwp.TypeDecimal128, 3, dec16...)}},
		{"decimal256", qwp.TypeDecimal256, 0, join(middle, []byte{3}, dec32, dec32), [3]qwp.Cell{raw(qwp.TypeDecimal256, 3, dec32...), null, raw(qwp.TypeDecimal256, 3, dec32...)}},
	}
}

// message wraps the column into a block with a column that is never null.
func (c *typeCase) message() []byte {
	var dict []byte
	if c.flags&qwp.FlagDeltaDict != 0 {
		dict = delta(0, "A", "B")
	}
	return rawMessage(c.flags, dict, rawBlock{"t", 3, []col{
		{"row", qwp.TypeByte, []byte{0, 1, 2, 3}},
		{"c", c.kind, c.data},
	}})
}

// rows returns what rows [first, last) of the message must read as.
func (c *typeCase) rows(first, last int) []string {
	var list []string
	for i := first; i < last; i++ {
		r := row("t", func(r *qwp.Row) {
			r.Cells = append(r.Cells, qwp.Cell{Name: "row", Type: qwp.TypeByte, Num: uint64(i + 1)})
			if cell := c.want[i]; cell.Type != 0 {
				cell.Name = "c"
				r.Cells = append(r.Cells, cell)
			}
		})
		list = append(list, format(r))
	}
	slices.Sort(list)
	return list
}

func TestEveryTypeReadsWithBitmapAndWithSentinels(t *testing.T) {
	for _, c := range typeCases() {
		t.Run(c.name, func(t *testing.T) {
			sameRows(t, "rows", contents(parse(t, c.message(), nil)), c.rows(0, 3))
		})
	}
}

func TestEveryRangeOfEveryTypeCanBeCutOut(t *testing.T) {
	for _, c := range typeCases() {
		t.Run(c.name, func(t *testing.T) {
			v := parse(t, c.message(), nil)
			for first := range 3 {
				for last := first + 1; last <= 3; last++ {
					part := v.AppendPart([]byte("kept"), qwp.Part{Table: 0, First: first, Last: last})
					got := parse(t, bytes.TrimPrefix(part, []byte("kept")), nil)
					sameRows(t, "part", contents(got), c.rows(first, last))
				}
			}
		})
	}
}

func TestEveryTruncationIsAnErrorAndNoPanic(t *testing.T) {
	v := new(qwp.View)
	for _, c := range typeCases() {
		msg := c.message()
		for n := range len(msg) {
			cut := slices.Clone(msg[:n])
			if v.Parse(cut, nil) == nil {
				t.Fatalf("%s: %d of %d bytes parsed", c.name, n, len(msg))
			}
			if n < 12 {
				continue
			}
			binary.LittleEndian.PutUint32(cut[8:], uint32(n-12))
			if v.Parse(cut, nil) == nil {
				t.Fatalf("%s: %d of %d bytes parsed with a matching length", c.name, n, len(msg))
			}
			if len(v.Tables()) != 0 || v.Info() != (qwp.Info{}) {
				t.Fatalf("%s: a failed Parse left tables behind", c.name)
			}
		}
	}
}

func TestRowsOfNullsStayRows(t *testing.T) {
	msg := rawMessage(0, nil,
		rawBlock{"none", 0, []col{{"l", qwp.TypeLong, noNulls}, {"v", qwp.TypeVarchar, join(noNulls, le32(0))}}},
		rawBlock{"t", 2, []col{
			{"l", qwp.TypeLong, join(noNulls, le64(minInt64, minInt64))},
			{"", qwp.TypeTimestamp, join(noNulls, le64(minInt64, minInt64))},
		}})
	v := parse(t, msg, nil)
	if v.Info() != (qwp.Info{Rows: 2, Tables: 2}) || v.Flags() != 0 {
		t.Fatalf("info %+v, flags %x", v.Info(), v.Flags())
	}
	whole := parse(t, v.AppendPart(nil, qwp.WholeMessage), nil)
	if len(whole.Tables()) != 1 {
		t.Fatalf("%d blocks, the one without rows should be gone", len(whole.Tables()))
	}
	sameRows(t, "whole", contents(whole), []string{"t type 0x00@0 ", "t type 0x00@0 "})
	half := v.AppendPart(nil, v.Split(nil, qwp.WholeMessage)[1])
	sameRows(t, "half", contents(parse(t, half, nil)), []string{"t type 0x00@0 "})
}

func TestALoopInsideALoopReadsItsOwnRows(t *testing.T) {
	v := parse(t, bytesOf(t, exampleHex), nil)
	k := &v.Tables()[0]
	var got []string
	for outer := range k.All(0, 2, new(qwp.Row)) {
		for inner := range k.All(1, 2, new(qwp.Row)) {
			got = append(got, string(outer.Cells[0].Text)+string(inner.Cells[0].Text))
			break
		}
	}
	if !slices.Equal(got, []string{"AB", "BB"}) {
		t.Fatalf("got %q", got)
	}
}

func TestRowsOutsideABlockAreABug(t *testing.T) {
	v := parse(t, bytesOf(t, exampleHex), nil)
	for name, use := range map[string]func(){
		"All":        func() { v.Tables()[0].All(0, 3, new(qwp.Row)) },
		"AppendPart": func() { v.AppendPart(nil, qwp.Part{Table: 0, First: -1, Last: 1}) },
	} {
		func() {
			defer func() {
				if s, ok := recover().(string); !ok || !strings.HasPrefix(s, "bug: rows [") {
					t.Errorf("%s: recovered %q", name, s)
				}
			}()
			use()
		}()
	}
}

func TestAPartLeavesOutColumnsWithoutAValueInIt(t *testing.T) {
	msg := rawMessage(0, nil, rawBlock{"t", 3, []col{
		{"l", qwp.TypeLong, join(noNulls, le64(1, minInt64, 3))},
		{"d", qwp.TypeDouble, join(middle, le64(1, 2))},
		{"n", qwp.TypeVarchar, join([]byte{1, 0b111}, le32(0))},
		{"b", qwp.TypeByte, []byte{0, 1, 0, 3}},
	}})
	v := parse(t, msg, nil)
	for part, want := range map[qwp.Part][]string{
		{Table: 0, First: 0, Last: 3}: {"l", "d", "n", "b"},
		{Table: 0, First: 0, Last: 2}: {"l", "d", "b"},
		{Table: 0, First: 1, Last: 2}: {"b"},
	} {
		var got []string
		for _, c := range parse(t, v.AppendPart(nil, part), nil).Tables()[0].Columns {
			got = append(got, c.Name)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%v: columns %q, want %q", part, got, want)
		}
	}
}
