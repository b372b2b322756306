// SPDX-License-Identifier: MIT

package verdict

import (
	"cmp"
	"slices"
)

// Barred is a table of which a server takes no rows now, with its words.
type Barred struct{ Host, Table, Words string }

// List returns what stands now, sorted, at most so many of each.
func (b *Book) List(most int) (verdicts []Verdict, bars []Barred) {
	b.mu.Lock()
	for _, e := range b.verdicts {
		if !e.lifted {
			verdicts = append(verdicts, e.Verdict)
		}
	}
	for at, bar := range b.bars {
		bars = append(bars, Barred{Host: at.host, Table: at.table, Words: bar.words})
	}
	b.mu.Unlock()
	slices.SortFunc(verdicts, func(x, y Verdict) int {
		return cmp.Or(cmp.Compare(x.Host, y.Host), cmp.Compare(x.Table, y.Table), cmp.Compare(x.Column, y.Column), cmp.Compare(x.Type, y.Type))
	})
	slices.SortFunc(bars, func(x, y Barred) int {
		return cmp.Or(cmp.Compare(x.Host, y.Host), cmp.Compare(x.Table, y.Table))
	})
	return verdicts[:min(most, len(verdicts))], bars[:min(most, len(bars))]
}
