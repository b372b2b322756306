// SPDX-License-Identifier: MIT

package slot_test

import (
	"errors"
	"os"
	"testing"

	"github.com/questdb-sf/questdb_sf/internal/slot"
	"github.com/questdb-sf/questdb_sf/internal/vfs"
)

func TestTheLedgerOfASlotIsReadBesideItsOwnerWithoutTouchingIt(t *testing.T) {
	mem := newMem()
	if st, err := slot.LedgerOf(mem, "/not/there"); err != nil || st.Accepted != 0 || st.Published != -1 {
		t.Errorf("of no slot %+v, %v", st, err)
	}
	s := open(t, options(mem))
	fill(t, s, 0, 12, 1000)
	settle(t, s, 0, 5)
	for _, when := range []string{"while it is open", "when it was closed"} {
		st, err := slot.LedgerOf(vfs.ReadOnly(mem), s.Dir())
		do(t, err)
		if st.Accepted != 12 || st.Acked != 6 || st.Pending != 6 || st.PendingFrames != 0 || st.Published != -1 || st.Watermark != -1 {
			t.Errorf("%s %+v", when, st)
		}
		do(t, s.Close())
	}
	f, err := mem.OpenFile(s.Dir()+"/.symbol-dict", os.O_RDWR|os.O_CREATE, 0o600)
	do(t, err)
	do(t, f.Close())
	if st, err := slot.LedgerOf(mem, s.Dir()); !errors.As(err, new(*slot.ForeignError)) || st.Accepted != 0 {
		t.Errorf("of another client %+v, %v", st, err)
	}
}
