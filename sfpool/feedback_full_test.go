// SPDX-License-Identifier: MIT

package sfpool

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/deadletter"
)

// A letter is safe where it is: it is no reason to drop rows, and is not dropped
// itself, whatever sf_full says of new rows.
func TestLettersAreNotFedIntoAFullStore(t *testing.T) {
	for _, full := range []Full{FullBlock, FullDropOldest, FullDropNewest} {
		t.Run(full.String(), func(t *testing.T) { synctest.Test(t, func(t *testing.T) { feedFull(t, full) }) })
	}
}

func feedFull(t *testing.T, full Full) {
	b := newBed(t)
	srv := &server{down: true}
	p := srv.open(t, tight(b, full))
	s := b.take(p, 1)[0]
	id := int64(0)
	for err := error(nil); err == nil && p.Stats().Evicted == 0; id++ {
		err = s.Flush(context.Background(), timedRow(t, p, id))
	}
	s.Return()
	before := adds(t, p)
	do(t, p.letters.Add(wideLetters(20)))
	n, err := p.FeedBack(context.Background(), 0) // some may fit into the last segment
	if !errors.Is(err, ErrStoreFull) {
		t.Errorf("%d rows, error %v", n, err)
	}
	if st := adds(t, p); st.Evicted != before.Evicted || st.Pending != before.Pending+int64(n) || st.Letters.Refused.Letters != int64(20-n) {
		t.Errorf("%d rows, %+v, before %+v", n, st, before)
	}
	srv.is(false)
	time.Sleep(10 * time.Minute)
	synctest.Wait()
	if st := adds(t, p); st.Evicted != before.Evicted || st.Letters.Refused.Letters != 0 || st.Pending != 0 {
		t.Errorf("after the outage %+v", st)
	}
}

// Letters that are more than the whole store go back in small portions.
func TestLettersThatAreMoreThanTheStoreAreFedBackAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		srv := &server{}
		p := srv.open(t, tight(b, FullDropOldest))
		do(t, p.letters.Add(wideLetters(60)))
		n, err := 0, ErrStoreFull
		for range 100 {
			var more int
			if more, err = p.FeedBack(context.Background(), 0); !errors.Is(err, ErrStoreFull) {
				n += more
				break
			}
			n += more
			time.Sleep(time.Second)
		}
		if n != 60 || err != nil {
			t.Errorf("%d rows, error %v", n, err)
		}
		do(t, p.WaitAcked(context.Background()))
		if st := adds(t, p); st.Evicted != 0 || len(srv.took()) != 60 {
			t.Errorf("%d arrived, %+v", len(srv.took()), st)
		}
	})
}

// wideLetters are of one reason, 8 KiB each.
func wideLetters(n int64) (list []deadletter.Letter) {
	for id := range n {
		r := &Row{}
		r.Reset("t")
		r.Long("id", 1000+id)
		r.Varchar("text", strings.Repeat("x", 8<<10))
		r.At((1000 + id) * 1_000_000)
		list = append(list, deadletter.Letter{Key: &deadletter.Key{FSN: id}, Row: r, Class: deadletter.Refused, Column: "text"})
	}
	return list
}
