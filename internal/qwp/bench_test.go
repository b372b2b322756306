// SPDX-License-Identifier: MIT

package qwp_test

import (
	"testing"

	"github.com/questdb-sf/questdb_sf/internal/qwp"
)

// Rows of 13 columns: 2 symbols, 8 doubles, long, bool, varchar, and the time.
const benchRows = 2000

func perRow(b *testing.B) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/benchRows, "ns/row")
}

func BenchmarkBuild(b *testing.B) {
	rows, builder, frame := steadyRows(benchRows), qwp.NewBuilder(1<<22), []byte(nil)
	b.ReportAllocs()
	for b.Loop() {
		for _, r := range rows {
			if err := builder.Add(r); err != nil {
				b.Fatal(err)
			}
		}
		frame = builder.AppendFrame(frame[:0])
		builder.Reset()
	}
	perRow(b)
	b.ReportMetric(float64(len(frame))/benchRows, "bytes/row")
}

func BenchmarkParse(b *testing.B) {
	frame, v := build(b, steadyRows(benchRows)...), new(qwp.View)
	b.ReportAllocs()
	for b.Loop() {
		if err := v.Parse(frame, nil); err != nil {
			b.Fatal(err)
		}
	}
	perRow(b)
}

func BenchmarkRows(b *testing.B) {
	v, r, cells := parse(b, build(b, steadyRows(benchRows)...), nil), new(qwp.Row), 0
	b.ReportAllocs()
	for b.Loop() {
		tables := v.Tables()
		for i := range tables {
			for r := range tables[i].All(0, tables[i].Rows, r) {
				cells += len(r.Cells)
			}
		}
	}
	perRow(b)
}

func BenchmarkTranslate(b *testing.B) {
	v, msg := parse(b, build(b, steadyRows(benchRows)...), nil), []byte(nil)
	var dict qwp.ConnDict
	b.ReportAllocs()
	for b.Loop() {
		msg = dict.AppendMessage(msg[:0], v, qwp.WholeMessage)
		dict.Commit()
	}
	perRow(b)
}
