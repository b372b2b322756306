// SPDX-License-Identifier: MIT

package link

import (
	"net/http"
	"time"

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

// Durability is what a connection in durable-ack mode knows.
type Durability struct{ d *durability }

func NewDurability(maxNeeds int) *Durability {
	d := newDurability()
	d.maxNeeds = maxNeeds
	return &Durability{d}
}

func (x *Durability) Launched(size int) { x.d.launched(size) }

func (x *Durability) Okay(seq int64, list []qwp.TableTxn) error {
	_, err := x.d.okay(seq, list, time.Now())
	return err
}

func (x *Durability) Announced(list []qwp.TableTxn) error { return x.d.announced(list, time.Now()) }

func (x *Durability) Pop() (seq int64, ok bool) { return x.d.pop(time.Now()) }

func (x *Durability) Window() int { return x.d.window() }

// Held returns how many needs and OKs are kept.
func (x *Durability) Held() (needs, okays int) { return len(x.d.needs), len(x.d.queue) }

// Pace finds sizes of requests.
type Pace struct{ p *pace }

func NewPace(most int) Pace { return Pace{newPace(most)} }

func (p Pace) Bytes() int { return p.p.bytes() }

func (p Pace) Took(bytes int, d time.Duration) { p.p.took(bytes, d) }

func (p Pace) Failed(bytes int) { p.p.failed(bytes) }
