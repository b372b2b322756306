// SPDX-License-Identifier: MIT

package sfpool

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestHowLongTheStoreLastsIsToldAfterTenMinutesOfWriting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		cfg := tight(b, FullDropOldest)
		cfg.MaxSenders, cfg.MaxTotalBytes = 2, 64<<20
		srv := &server{down: true}
		p := srv.open(t, cfg)
		if log := b.log.String(); strings.Contains(log, "hours") {
			t.Errorf("a rate of nothing:\n%s", log)
		}
		s := b.take(p, 1)[0]
		for id := range int64(61) { // 8 KiB each 10 s
			flushRows(t, p, id, 1, s)
			time.Sleep(10 * time.Second)
		}
		want := float64(64<<20) / (8.2 * 1024 / 10) / 3600
		st := p.Stats()
		if got := st.Lasts.Hours(); got < want*0.9 || got > want*1.1 || st.TimeToFull >= st.Lasts || st.TimeToFull <= 0 {
			t.Errorf("lasts %s, want %.1f h; full in %s", st.Lasts, want, st.TimeToFull)
		}
		if n := b.log.count("how long an outage the store bridges"); n != 1 {
			t.Errorf("said %d times:\n%s", n, b.log.String())
		}
		s.Return()
		if err := p.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
		cfg.MinSenders = 1
		again := srv.open(t, cfg)
		if b.log.count("lasts_hours=") != 1 {
			t.Errorf("nothing of it at the next start, %s:\n%s", again.Stats().Lasts, b.log.String())
		}
	})
}
