// SPDX-License-Identifier: MIT

package qwpserver_test

import (
	"fmt"
	"testing"

	"github.com/questdb-sf/questdb_sf/internal/qwp"
	"github.com/questdb-sf/questdb_sf/testutil/qwpserver"
)

// BenchmarkRows sends messages of 1,000 rows with 5 symbols and 6 doubles: what
// a benchmark of a client must subtract.
func BenchmarkRows(b *testing.B) {
	for name, keep := range map[string]int{"kept": 1000, "counted": -1} {
		b.Run(name, func(b *testing.B) {
			bed := start(b, qwpserver.Options{KeepRows: keep})
			c := bed.connect()
			first, second := c.message(wideRows(1000)...), c.message(wideRows(1000)...)
			c.write(first)
			for n := int64(0); b.Loop(); n++ {
				c.write(second)
				bed.wait(func(s *qwpserver.State) bool { return s.Rows >= (n+1)*1000 })
			}
			b.ReportMetric(float64(b.N)*1000/b.Elapsed().Seconds(), "rows/s")
		})
	}
}

func wideRows(n int) (rows []*qwp.Row) {
	for i := range n {
		rows = append(rows, point("cpu", int64(i), func(r *qwp.Row) {
			for j := range 5 {
				r.Symbol(fmt.Sprintf("tag%d", j), fmt.Sprintf("value-%d", (i+j)%200))
			}
			for j := range 6 {
				r.Double(fmt.Sprintf("field%d", j), float64(i*j))
			}
		}))
	}
	return rows
}
