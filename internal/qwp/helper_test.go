// SPDX-License-Identifier: MIT

package qwp_test

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"pgregory.net/rapid"

	"github.com/questdb-sf/questdb_sf/internal/qwp"
)

// bytesOf reads hex with spaces and comments behind '#'.
func bytesOf(tb rapid.TB, text string) []byte {
	tb.Helper()
	var digits strings.Builder
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		digits.WriteString(strings.Join(strings.Fields(line), ""))
	}
	b, err := hex.DecodeString(digits.String())
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// col is a column written by hand: null flag and everything behind it.
type col struct {
	name string
	kind qwp.Type
	data []byte
}

// rawBlock is a table block written by hand.
type rawBlock struct {
	table string
	rows  int
	cols  []col
}

// rawMessage builds a message the Builder would not: any type, any flags. The
// dictionary is what stands behind the header, given as bytes.
func rawMessage(flags byte, dict []byte, blocks ...rawBlock) []byte {
	body := slices.Clone(dict)
	for _, k := range blocks {
		body = text(body, k.table)
		body = binary.AppendUvarint(body, uint64(k.rows))
		body = binary.AppendUvarint(body, uint64(len(k.cols)))
		for _, c := range k.cols {
			body = append(text(body, c.name), byte(c.kind))
		}
		for _, c := range k.cols {
			body = append(body, c.data...)
		}
	}
	msg := append([]byte("QWP1\x01"), flags)
	msg = binary.LittleEndian.AppendUint16(msg, uint16(len(blocks)))
	msg = binary.LittleEndian.AppendUint32(msg, uint32(len(body)))
	return append(msg, body...)
}

func text(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

func delta(start int, symbols ...string) []byte {
	b := binary.AppendUvarint(nil, uint64(start))
	b = binary.AppendUvarint(b, uint64(len(symbols)))
	for _, s := range symbols {
		b = text(b, s)
	}
	return b
}

// build packs rows into one frame that has room for them.
func build(tb rapid.TB, rows ...*qwp.Row) []byte {
	tb.Helper()
	b := qwp.NewBuilder(1 << 20)
	for _, r := range rows {
		if err := b.Add(r); err != nil {
			tb.Fatal(err)
		}
	}
	return b.AppendFrame(nil)
}

func row(table string, set func(r *qwp.Row)) *qwp.Row {
	r := new(qwp.Row)
	r.Reset(table)
	set(r)
	return r
}

func parse(tb rapid.TB, msg []byte, dict *qwp.Dict) *qwp.View {
	tb.Helper()
	v := new(qwp.View)
	if err := v.Parse(msg, dict); err != nil {
		tb.Fatalf("%v\n%x", err, msg)
	}
	return v
}

// format writes a row down so that equal rows give equal strings. A false is not
// written: an absent BOOLEAN cannot be told from it.
func format(r *qwp.Row) string {
	cells := make([]string, 0, len(r.Cells))
	for _, c := range r.Cells {
		if c.Type == qwp.TypeBoolean && !c.Bool() {
			continue
		}
		cells = append(cells, fmt.Sprintf("%q:%v=%x/%x/%d", strings.ToLower(c.Name), c.Type, c.Num, c.Text, c.Scale))
	}
	slices.Sort(cells)
	return fmt.Sprintf("%s %v@%d %s", r.Table, r.TimeType, r.Time, strings.Join(cells, " "))
}

// contents returns the rows of a message, sorted.
func contents(v *qwp.View) []string {
	var list []string
	tables := v.Tables()
	for i := range tables {
		for r := range tables[i].All(0, tables[i].Rows, new(qwp.Row)) {
			list = append(list, format(r))
		}
	}
	slices.Sort(list)
	return list
}

func sameRows(tb rapid.TB, what string, got, want []string) {
	tb.Helper()
	if !slices.Equal(got, want) {
		tb.Fatalf("%s:\ngot  %d %q\nwant %d %q", what, len(got), got, len(want), want)
	}
}
