// SPDX-License-Identifier: MIT

package slot

import (
	"errors"
	"slices"
)

// errEnough ends a visit that has seen what it may.
var errEnough = errors.New("enough was read")

// Newest visits frames of the newest files first, settled or not, until it has read so
// many bytes of them, and then those that are kept of acked segments. It goes by files:
// within one, the oldest frame comes first. What cannot be read is left out.
func (e *Examination) Newest(bytes int64, visit func(*Framed)) error {
	each := func(f *Framed) error {
		if bytes <= 0 {
			return errEnough
		}
		bytes -= int64(len(f.Bytes))
		visit(f)
		return nil
	}
	w := Wish{To: e.Stats.Published, Pending: true, Settled: true, Skipped: func(string, string) {}}
	for _, g := range slices.Backward(e.chain()) {
		w.From = g.base
		if _, err := e.eachIn(g, w, each); errors.Is(err, errEnough) {
			return nil
		} else if err != nil {
			return err
		}
	}
	w.From = 0
	if err := e.eachKept(w, map[head]FSN{}, each); !errors.Is(err, errEnough) {
		return err
	}
	return nil
}
