// SPDX-License-Identifier: MIT

package intake

import (
	"github.com/questdb-sf/questdb_sf/internal/qwp"
	"github.com/questdb-sf/questdb_sf/sfpool"
)

// part is a batch that is being filled, and why the first of its dead letters is
// one.
type part struct {
	*sfpool.Batch
	reason string
}

// add takes a row; one that can never be stored becomes a dead letter.
func (p *part) add(row *qwp.Row) {
	if err := p.Add(row); err != nil {
		p.refuse(row, err)
	}
}

func (p *part) refuse(row *qwp.Row, err error) {
	if p.Rejected() == 0 {
		p.reason = err.Error()
	}
	p.Reject(row, err.Error())
}

func (p *part) empty() bool { return p.Rows()+p.Rejected() == 0 }

// fold moves what is behind the first n parts into them.
func fold(parts []*part, n int) []*part {
	for last := len(parts) - 1; last >= n; last-- {
		parts[last%n].Merge(parts[last].Batch)
		parts = parts[:last]
	}
	return parts
}
