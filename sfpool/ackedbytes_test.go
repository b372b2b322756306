// SPDX-License-Identifier: MIT

package sfpool

import (
	"context"
	"testing"
	"testing/synctest"
)

func TestBytesThatWereDroppedDoNotCountAsAcked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		srv := &server{down: true}
		p := srv.open(t, tight(b, FullDropOldest))
		two := b.take(p, 2)
		flushRows(t, p, 0, 200, two...)
		st := adds(t, p)
		if st.Evicted == 0 || st.AckedBytes != 0 || st.Slots[0].AckedBytes != 0 {
			t.Errorf("the server was never there, and has %d bytes: %+v", st.AckedBytes, st)
		}
		srv.is(false)
		do(t, p.WaitAcked(context.Background()))
		if got := p.Stats(); got.AckedBytes != st.PendingBytes {
			t.Errorf("%d bytes are acked, %d were pending", got.AckedBytes, st.PendingBytes)
		}
		giveBack(two...)
	})
}

func TestBytesThatMoveFromRAMToDiskAreAckedOnceTheServerHasThem(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed, _ *script) {
		mv := newMoving(t, b)
		if _, err := mv.ram.MoveTo(context.Background(), mv.disk); err != nil {
			t.Fatal(err)
		}
		if r, d := mv.ram.Stats(), mv.disk.Stats(); r.AckedBytes != 0 || d.AckedBytes != 0 {
			t.Errorf("in RAM %d bytes are acked, on disk %d", r.AckedBytes, d.AckedBytes)
		}
		mv.srv.is(false)
		do(t, mv.disk.WaitAcked(context.Background()))
		if r, d := mv.ram.Stats(), mv.disk.Stats(); r.AckedBytes != 0 || d.AckedBytes != r.AppendedBytes || d.AppendedBytes != 0 {
			t.Errorf("in RAM %d of %d bytes are acked, on disk %d of %d", r.AckedBytes, r.AppendedBytes, d.AckedBytes, d.AppendedBytes)
		}
	})
}
