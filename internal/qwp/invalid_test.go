// SPDX-License-Identifier: MIT

package qwp_test

import (
	"encoding/binary"
	"errors"
	"runtime"
	"strings"
	"testing"

	"github.com/questdb-sf/questdb_sf/internal/qwp"
)

// one is a message with one block of one column.
func one(rows int, name string, kind qwp.Type, data ...byte) []byte {
	return rawMessage(0, nil, rawBlock{"t", rows, []col{{name, kind, data}}})
}

func TestInvalidMessagesAreRefusedByNameOfTheFault(t *testing.T) {
	long := strings.Repeat("n", 128)
	huge := binary.AppendUvarint(nil, 1_000_001)
	for _, c := range []struct {
		want string
		msg  []byte
	}{
		{"32-bit number", []byte("QW")},
		{"magic", []byte("QWP2\x01\x00\x00\x00\x00\x00\x00\x00")},
		{"version 2", []byte("QWP1\x02\x00\x00\x00\x00\x00\x00\x00")},
		{"flags 0x10", rawMessage(0x10, nil)},
		{"payload length is 9", []byte("QWP1\x01\x00\x00\x00\x09\x00\x00\x00")},
		{"behind the end of the last table block", rawMessage(0, []byte{0})},
		{"name is empty", rawMessage(0, nil, rawBlock{"", 0, nil})},
		{"name is not valid UTF-8", rawMessage(0, nil, rawBlock{"\xFF", 0, nil})},
		{"table name: 128 is above", rawMessage(0, nil, rawBlock{long, 0, nil})},
		{"column name: 128 is above", one(1, long, qwp.TypeByte, 0, 0)},
		{"without a column", rawMessage(0, nil, rawBlock{"t", 1, nil})},
		{"rows: 1000001 is above", one(1_000_001, "c", qwp.TypeByte)},
		{"columns: 4 bytes wanted", rawMessage(0, nil, rawBlock{"t", 8, []col{{"", 0, nil}}})},
		{"unknown type 0x08", one(1, "c", 8, 0, 0)},
		{"designated timestamp has the type LONG", one(1, "", qwp.TypeLong, make([]byte, 9)...)},
		{"second designated", rawMessage(0, nil, rawBlock{"t", 1, []col{
			{"", qwp.TypeTimestamp, make([]byte, 9)}, {"", qwp.TypeTimestamp, make([]byte, 9)}}})},
		{`table "t", column "c": null bitmap`, one(9, "c", qwp.TypeVarchar, 1, 0xFF)},
		{"values: 12 bytes wanted", one(3, "c", qwp.TypeInt, 0, 1)},
		{"timestamp encoding 2", rawMessage(4, nil, rawBlock{"t", 1, []col{{"c", qwp.TypeTimestamp, []byte{0, 2}}}})},
		{"gorilla stream ends after 2 of 3", rawMessage(4, nil, rawBlock{"t", 3, []col{{"c", qwp.TypeTimestamp, join([]byte{0, 1}, le64(1, 2))}}})},
		{"gorilla stream ends after 3 of 4", rawMessage(4, nil, rawBlock{"t", 4, []col{{"c", qwp.TypeTimestamp, join([]byte{0, 1}, le64(1, 2), []byte{0b00011110})}}})},
		{"precision of a geohash is 0", one(1, "c", qwp.TypeGeohash, 0, 0, 0)},
		{"precision of a geohash: 61 is above", one(1, "c", qwp.TypeGeohash, 0, 61, 0)},
		{"0 dimensions", one(1, "c", qwp.TypeLongArray, 0, 0)},
		{"33 dimensions", one(1, "c", qwp.TypeLongArray, 0, 33)},
		{"negative length", one(1, "c", qwp.TypeLongArray, join([]byte{0, 1}, le32(1<<31))...)},
		{"larger than the 8 bytes left", one(1, "c", qwp.TypeDoubleArray, join([]byte{0, 2}, le32(1<<31-1, 1<<31-1), le64(0))...)},
		{"first offset is 1", one(1, "c", qwp.TypeVarchar, join(noNulls, le32(1, 1), []byte("a"))...)},
		{"values: 4294967295 bytes wanted", one(1, "c", qwp.TypeVarchar, join(noNulls, le32(0, 1<<32-1))...)},
		{"offset 2 is not between 0 and 1", one(2, "c", qwp.TypeVarchar, join(noNulls, le32(0, 2, 1), []byte("a"))...)},
		{"offset 1 is inside a character", one(2, "c", qwp.TypeVarchar, join(noNulls, le32(0, 1, 2), []byte("ä"))...)},
		{"text is not valid UTF-8", one(1, "c", qwp.TypeVarchar, join(noNulls, le32(0, 1), []byte{0xFF})...)},
		{"symbol is not valid UTF-8", rawMessage(8, delta(0, "\xC3"))},
		{"symbol id 1 is outside the dictionary of 1", one(1, "c", qwp.TypeSymbol, 0, 1, 1, 'a', 1)},
		{"symbol id 0 is outside the dictionary of 0", rawMessage(8, delta(0), rawBlock{"t", 1, []col{{"c", qwp.TypeSymbol, []byte{0, 0}}}})},
		{"varint is cut off or longer", one(1, "c", qwp.TypeSymbol, join([]byte{0, 1, 1, 'a'}, []byte(strings.Repeat("\xFF", 10)))...)},
		{"dictionary entries: 1000001 is above", rawMessage(8, join([]byte{0}, huge))},
		{"dictionary: 99 bytes wanted", rawMessage(8, []byte{0, 99})},
	} {
		v := new(qwp.View)
		err := v.Parse(c.msg, nil)
		var at *qwp.FormatError
		if !errors.As(err, &at) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %q", err, c.want)
		} else if at.Offset > len(c.msg) {
			t.Errorf("%v: offset is behind the message of %d bytes", err, len(c.msg))
		}
	}
}

// hostileMessages claim as much as their few bytes can.
func hostileMessages() map[string][]byte {
	million := binary.AppendUvarint(nil, 1_000_000)
	claim := append([]byte("QWP1\x01\x00\x01\x00"), le32(uint32(2+len(million)+1+4+3))...)
	claim = join(claim, []byte{1, 't'}, million, []byte{1, 1, 'c', byte(qwp.TypeLong), 0}, []byte{0, 0, 0})
	columns := make([]col, 2048)
	for i := range columns {
		columns[i] = col{string(rune('a' + i%26)), qwp.TypeByte, []byte{1, 1}}
	}
	nulls := make([]byte, 1+125_000+4)
	for i := range 1 + 125_000 {
		nulls[i] = 0xFF
	}
	return map[string][]byte{
		"a million rows in three bytes": claim,
		"a million nulls":               one(1_000_000, "c", qwp.TypeVarchar, nulls...),
		"a million equal steps": rawMessage(4, nil, rawBlock{"t", 1_000_000, []col{
			{"", qwp.TypeTimestamp, join([]byte{0, 1}, make([]byte, 16+125_000))}}}),
		"65535 blocks in no bytes": []byte("QWP1\x01\x00\xFF\xFF\x00\x00\x00\x00"),
		"narrow columns":           rawMessage(0, nil, rawBlock{"t", 1, columns}, rawBlock{"u", 1, columns}, rawBlock{"v", 1, columns}),
		"empty symbols":            rawMessage(8, join([]byte{0}, binary.AppendUvarint(nil, 100_000), make([]byte, 100_000))),
	}
}

func TestParseAllocatesNoMoreThanASmallMultipleOfItsInput(t *testing.T) {
	for name, msg := range hostileMessages() {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		err := new(qwp.View).Parse(msg, nil)
		runtime.ReadMemStats(&after)
		got := after.TotalAlloc - before.TotalAlloc
		t.Logf("%s: %d bytes, %d allocated, %v", name, len(msg), got, err)
		if limit := uint64(64*len(msg) + 16<<10); got > limit {
			t.Errorf("%s: %d bytes made Parse allocate %d, limit %d", name, len(msg), got, limit)
		}
	}
}
