// SPDX-License-Identifier: MIT

package link

import (
	"net/http"

	"github.com/questdb-sf/questdb_sf/internal/qwp"
)

// Encoder is the line protocol encoder of an ILP connection.
type Encoder struct{ e encoder }

func NewEncoder(limit int) *Encoder {
	x := new(Encoder)
	x.e.resize(limit, limit)
	return x
}

// Widen has a link know that its hosts take large requests.
func Widen(l *Link) {
	for _, h := range l.hosts {
		h.pace.size, h.stream.size = h.pace.most, h.stream.most
	}
}

func (x *Encoder) Add(v *qwp.View, p qwp.Part) error { return x.e.add(v, p, nil) }

func (x *Encoder) Bytes() []byte { return x.e.buf }

func (x *Encoder) Reset() { x.e.reset() }

// Classify is the verdict on an answer to a write.
func Classify(status int, body []byte) *Refusal {
	return classifyHTTP("h:9000", status, http.Header{}, false, body)
}

const HardCapFactor = hardCapFactor

// AppendLine encodes one row.
func AppendLine(dst []byte, row *qwp.Row) ([]byte, error) {
	dst, bad := appendLine(dst, row, added{})
	if bad != nil {
		bad.Table = row.Table
		return nil, bad
	}
	return dst, nil
}
