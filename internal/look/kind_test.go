// SPDX-License-Identifier: MIT

package look

import "testing"

func TestNamesTellWhoseASlotIs(t *testing.T) {
	s := Store{SenderID: "box", Senders: 2}
	for name, want := range map[string]string{
		"box-0": "own box", "box-1": "own box", "box-2": "other box", "box-01": "other ", "box": "other ", "other-0": "other other",
		"box-imported-3": "imported box", "box-rewind-1": "rewind box", "other-rewind-1": "other other",
	} {
		kind, owner := s.kindOf(name)
		if got := kind + " " + owner; got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}
