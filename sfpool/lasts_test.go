// SPDX-License-Identifier: MIT

package sfpool

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/vfs"
	"github.com/questdb-sf/questdb_sf/internal/vfs/vfstest"
)

// Months of little load must not hide that there is more of it now.
func TestThePresentRateIsThatOfTheLastTenMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c pace
		c.begin()
		bytes := int64(0)
		load := func(perSecond int64, lasts, every time.Duration) {
			for ; lasts > 0; lasts -= every {
				time.Sleep(every)
				bytes += perSecond * int64(every.Seconds())
				c.rate(bytes)
			}
		}
		for _, one := range []struct {
			perSecond    int64
			lasts, every time.Duration
			want         float64
		}{
			{1000, 90 * 24 * time.Hour, time.Hour, 1000},
			{2000, 10 * time.Minute, 10 * time.Second, 2000},
			{500, 10 * time.Minute, 10 * time.Second, 500},
			{0, 10 * time.Minute, 10 * time.Second, 0},
		} {
			load(one.perSecond, one.lasts, one.every)
			if got := c.rate(bytes); got < one.want*0.9 || got > one.want*1.1 {
				t.Errorf("%.0f bytes a second after %s of %d", got, one.lasts, one.perSecond)
			}
		}
	})
}

// roomy is a pool with a cap of 10 GiB whose server is away, on a disk of 40 MiB.
func roomy(t testing.TB, b *bed, fsys vfs.FS) *Pool {
	t.Helper()
	cfg := tight(b, FullDropOldest)
	cfg.MaxSegmentBytes, cfg.MaxTotalBytes, cfg.FS = 256<<10, 10<<30, fsys // 31 rows fill a segment
	cfg.MinFreeSpace = FreeSpace{Bytes: 4 << 20}
	return (&server{down: true}).open(t, cfg)
}

func TestTheTimeToFullEndsWithTheDiskAndNotWithTheCap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, mem := newBed(t), vfstest.NewMem()
		mem.SetCapacity(40 << 20)
		p := roomy(t, b, mem)
		s := b.take(p, 1)[0]
		id, said := int64(0), time.Duration(0)
		for ; p.Stats().Evicted == 0; id++ { // 8.2 KiB each 10 s
			if id == 2000 {
				said = p.Stats().TimeToFull
			}
			flushRows(t, p, id, 1, s)
			time.Sleep(10 * time.Second)
		}
		st := p.Stats()
		if took := time.Duration(id-2000) * 10 * time.Second; said < took*9/10 || said > took*11/10 {
			t.Errorf("it was full after %s, and %s were told", took, said)
		}
		if most := time.Duration(id) * 10 * time.Second; st.Lasts < most*9/10 || st.Lasts > most*11/10 {
			t.Errorf("it lasts %s, and %s were told", most, st.Lasts)
		}
		if two := 2 * 31 * 10 * time.Second; st.TimeToFull < time.Second || st.TimeToFull > two*11/10 { // that were given up
			t.Errorf("a store that is full is so in %s", st.TimeToFull)
		}
		s.Return()
	})
}

func TestADiskThatOthersFillIsHeeded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, mem := newBed(t), vfstest.NewMem()
		mem.SetCapacity(40 << 20)
		p := roomy(t, b, mem)
		s := b.take(p, 1)[0]
		flushRows(t, p, 0, 10, s)
		for id := int64(10); id < 20; id++ {
			flushRows(t, p, id, 1, s)
			time.Sleep(10 * time.Second)
		}
		before := p.Stats()
		mem.SetCapacity(20 << 20) // as if others had taken the rest
		time.Sleep(30 * time.Second)
		after := p.Stats()
		if after.Lasts >= before.Lasts*2/3 || after.TimeToFull >= before.TimeToFull*2/3 || after.TimeToFull == 0 {
			t.Errorf("lasts %s, before %s; full in %s, before %s", after.Lasts, before.Lasts, after.TimeToFull, before.TimeToFull)
		}
		s.Return()
	})
}

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
