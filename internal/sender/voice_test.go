// SPDX-License-Identifier: MIT

package sender_test

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/link"
	"github.com/questdb-sf/questdb_sf/internal/qwp"
	"github.com/questdb-sf/questdb_sf/internal/sender"
	"github.com/questdb-sf/questdb_sf/internal/vfs/vfstest"
)

// diary is a log that may be read while it is written.
type diary struct {
	mu   sync.Mutex
	text strings.Builder
}

func (d *diary) Write(b []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.text.Write(b)
}

func (d *diary) String() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.text.String()
}

// choir is four slots of a pool, with one voice.
type choir struct {
	log  diary
	beds []*bed
}

func newChoir(t testing.TB, srv func(i int) *server) *choir {
	c := &choir{}
	voice := sender.NewVoice(slog.New(slog.NewTextHandler(&c.log, nil)))
	for i := range 4 {
		b := startSlot(t, vfstest.NewMem(), fmt.Sprintf("/sf/default-%d", i), srv(i), sender.Config{Voice: voice})
		c.beds = append(c.beds, b)
	}
	return c
}

func (c *choir) store() {
	for _, b := range c.beds {
		b.store(1)
	}
}

// lines returns what was said so far; the senders are at rest.
func (c *choir) lines() []string {
	synctest.Wait()
	return strings.Split(strings.TrimSpace(c.log.String()), "\n")
}

func count(lines []string, text string) (n int) {
	for _, l := range lines {
		if strings.Contains(l, text) {
			n++
		}
	}
	return n
}

func TestFourSlotsSpeakOfAnOutageOfTenMinutesInTwentyLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var down atomic.Bool
		var attempts atomic.Int64
		down.Store(true)
		c := newChoir(t, func(int) *server {
			return &server{refuseConnect: func(int) error {
				if down.Load() {
					return fmt.Errorf("connection refused %d", attempts.Add(1))
				}
				return nil
			}}
		})
		c.store()
		synctest.Wait()
		if lines := c.lines(); len(lines) != 1 || count(lines, "no connection") != 1 {
			t.Errorf("at the start: %q", lines)
		}
		time.Sleep(10 * time.Minute)
		down.Store(false)
		for _, b := range c.beds {
			b.drained()
		}
		lines := c.lines()
		if n := len(lines); n > 20 || n < 10 || attempts.Load() < 400 {
			t.Errorf("%d lines of %d attempts: %q", n, attempts.Load(), lines)
		}
		last := lines[len(lines)-1]
		for _, part := range []string{"rows are taken again", "outage=10m", "host=server", "transport=qwp", "pending_rows=0", "slot=default-"} {
			if !strings.Contains(last, part) || count(lines, "taken again") != 1 {
				t.Errorf("the last line lacks %q: %s", part, last)
			}
		}
	})
}

func TestTheFirstSlotThatIsServedAgainWakesTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var down atomic.Bool
		down.Store(true)
		c := newChoir(t, func(int) *server {
			return &server{refuseConnect: func(int) error {
				if down.Load() {
					return errors.New("connection refused")
				}
				return nil
			}}
		})
		for _, b := range c.beds { // each tries at times of its own
			b.store(1)
			time.Sleep(1100 * time.Millisecond)
		}
		time.Sleep(time.Minute)
		down.Store(false)
		pending := func() (n int64) {
			synctest.Wait()
			for _, b := range c.beds {
				n += b.slot.Stats().Pending
			}
			return n
		}
		for pending() == 4 {
			time.Sleep(10 * time.Millisecond)
		}
		if n := pending(); n != 0 {
			t.Errorf("%d slots wait on although the server is back", n)
		}
	})
}

func TestAnOutageWithOneReasonIsSaidOnceAnHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newChoir(t, func(int) *server {
			return &server{refuseConnect: func(int) error { return errors.New("connection refused") }}
		})
		c.store()
		time.Sleep(3*time.Hour + time.Minute)
		if lines := c.lines(); len(lines) != 4 {
			t.Errorf("%q", lines)
		}
	})
}

// TestAServerThatComesAndGoesDoesNotFillTheLog fails every ten seconds.
func TestAServerThatComesAndGoesDoesNotFillTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newChoir(t, func(int) *server {
			return &server{refuseConnect: func(n int) error {
				if n%2 == 1 {
					return errors.New("connection refused")
				}
				return nil
			}}
		})
		for range 60 {
			c.store()
			time.Sleep(10 * time.Second)
			for _, b := range c.beds {
				b.loop.Recycle()
			}
		}
		if lines := c.lines(); len(lines) > 22 || len(lines) < 10 || count(lines, "taken again") != len(lines)/2 {
			t.Errorf("%d lines: %q", len(lines), lines)
		}
	})
}

func refuses(text func() string) *server {
	return &server{answer: func(_ int, seq int64) *link.Outcome {
		if said := text(); said != "" {
			return &link.Outcome{Seq: seq, Refusal: &link.Refusal{Host: "server", Status: qwp.StatusInternalError, Message: said}}
		}
		return &link.Outcome{Seq: seq}
	}}
}

func TestTheSameRefusalOfFourSlotsIsOneLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var healthy atomic.Bool
		c := newChoir(t, func(int) *server {
			return refuses(func() string {
				if healthy.Load() {
					return ""
				}
				return "disk full"
			})
		})
		c.store()
		time.Sleep(10 * time.Minute)
		if lines := c.lines(); len(lines) != 1 || count(lines, "the server refused rows") != 1 {
			t.Errorf("%q", lines)
		}
		healthy.Store(true)
		for _, b := range c.beds {
			b.drained()
		}
		if lines := c.lines(); len(lines) != 2 || count(lines, "rows are taken again") != 1 {
			t.Errorf("%q", lines)
		}
	})
}

func TestEachSlotSpeaksOfARefusalOfItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newChoir(t, func(i int) *server {
			return refuses(func() string { return fmt.Sprintf("table %d is a view", i) })
		})
		c.store()
		time.Sleep(10 * time.Minute)
		if lines := c.lines(); len(lines) != 4 || count(lines, "is a view") != 4 {
			t.Errorf("%q", lines)
		}
	})
}

// TestTheEndOfAnOutageIsSaidEvenIfItsSenderIsGone stops the one that was heard.
func TestTheEndOfAnOutageIsSaidEvenIfItsSenderIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newChoir(t, func(i int) *server {
			return &server{refuseConnect: func(int) error {
				if i == 0 {
					return errors.New("connection refused")
				}
				return nil
			}}
		})
		c.beds[0].store(1)
		time.Sleep(time.Minute)
		c.beds[0].loop.Stop()
		c.beds[1].store(1)
		c.beds[1].drained()
		if lines := c.lines(); len(lines) != 2 || count(lines, "taken again") != 1 {
			t.Errorf("%q", lines)
		}
	})
}

// TestVoicesOfManySenders is for the race detector.
func TestVoicesOfManySenders(t *testing.T) {
	var turn atomic.Int64
	voice := sender.NewVoice(nil)
	var wg sync.WaitGroup
	for i := range 4 {
		b := startSlot(t, vfstest.NewMem(), fmt.Sprintf("/sf/default-%d", i), refuses(func() string {
			return []string{"", "a", "b"}[turn.Add(1)%3]
		}), sender.Config{Voice: voice})
		wg.Go(func() {
			for range 3 {
				b.store(1)
				b.drained()
			}
		})
	}
	wg.Wait()
}
