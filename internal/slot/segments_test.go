// SPDX-License-Identifier: MIT

package slot_test

import (
	"fmt"
	"testing"

	"github.com/questdb-sf/questdb_sf/internal/slot"
)

func TestSegmentsTellWhatOfThemIsSettled(t *testing.T) {
	s := open(t, options(newMem()))
	fill(t, s, 0, 12, 1000) // four frames each
	settle(t, s, 0, 4)
	for _, fsn := range []slot.FSN{6, 9, 11} {
		do(t, s.Settle(fsn, 1, slot.Acked))
	}
	var got []string
	pending := int64(0)
	for _, g := range s.Segments() {
		got = append(got, fmt.Sprintf("%d+%d/%d", g.First, g.Frames, g.Settled))
		pending += g.Frames - g.Settled
		if g.Used > g.Size || g.Rows != g.Frames {
			t.Errorf("%+v", g)
		}
	}
	if want := "[4+4/2 8+4/2]"; fmt.Sprint(got) != want {
		t.Errorf("%v, want %s", got, want)
	}
	if st := s.Stats(); pending != st.PendingFrames {
		t.Errorf("%d frames pending, want %d", pending, st.PendingFrames)
	}
}
