// SPDX-License-Identifier: MIT

package sfpool

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// In their files letters are kept longer than rows in a store, which has an age and a
// cap: an outage must not move them there one by one.
func TestNoLetterIsFedDuringAnOutageToAgeInTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		srv := &server{}
		p, _, _ := aging(t, b, srv)
		s := b.take(p, 1)[0]
		flushRows(t, p, 0, 1, s) // the server has taken something
		do(t, p.WaitAcked(context.Background()))
		list := wideLetters(20)
		for i := range list {
			list[i].Column = fmt.Sprint("c", i) // a reason each
		}
		do(t, p.letters.Add(list))
		srv.is(true)
		flushRows(t, p, 1, 1, s)
		s.Return()
		time.Sleep(3 * 24 * time.Hour)
		synctest.Wait()
		if st := adds(t, p); st.Letters.Refused.Letters != 20 || st.Evicted > 1 {
			t.Errorf("after three days %d letters, %d rows dropped", st.Letters.Refused.Letters, st.Evicted)
		}
		srv.is(false)
		time.Sleep(4 * time.Hour)
		synctest.Wait()
		if st := adds(t, p); st.Letters.Refused.Letters != 0 || st.Evicted > 1 {
			t.Errorf("at the end %d letters, %d rows dropped", st.Letters.Refused.Letters, st.Evicted)
		}
		if n := b.log.count("could not be fed back"); n != 0 {
			t.Errorf("an outage is no failure: %s", &b.log)
		}
	})
}
