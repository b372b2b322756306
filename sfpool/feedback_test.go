// SPDX-License-Identifier: MIT

package sfpool

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/deadletter"
	"github.com/questdb-sf/questdb_sf/internal/qwp"
	"github.com/questdb-sf/questdb_sf/internal/sender"
	"github.com/questdb-sf/questdb_sf/internal/slot"
	"github.com/questdb-sf/questdb_sf/internal/vfs/vfstest"
)

func TestARefusedRowIsTriedAgainAfterLongerAndLongerPauses(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed, _ *script) {
		s := newPicky(t, b, b.config(), "v")
		s.send("v", 0, 1)
		after(24 * time.Hour)
		s.letters(1)
		var gaps []string
		for i := range s.trials[1:] {
			gaps = append(gaps, s.trials[i+1].Sub(s.trials[i]).Round(time.Minute).String())
		}
		t.Logf("pauses: %v", gaps)
		if got := strings.Join(gaps[:8], " "); got != "1m0s 2m0s 4m0s 8m0s 16m0s 32m0s 1h0m0s 1h0m0s" {
			t.Errorf("pauses %s", got)
		}
		if n := len(gaps); n > 35 {
			t.Errorf("%d trials in a day", n)
		}
		s.accepts("v")
		after(time.Hour)
		s.letters(0)
		s.took(0, 1, 1)
	})
}

func TestWhenOneRowIsAcceptedTheOthersOfItsReasonFollowAndNoOthers(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed, _ *script) {
		s := newPicky(t, b, b.config(), "v", "w")
		s.send("v", 0, 10_000)
		s.send("w", 10_000, 10_500)
		s.letters(10_500)
		s.accepts("v")
		after(30 * time.Minute)
		s.letters(500)
		s.took(0, 10_000, 1)
		if n := b.log.count("were fed back"); n != 1 || b.log.count("rows=9999") != 1 {
			t.Errorf("log: %s", &b.log)
		}
		if st := s.p.Stats(); st.Pending != 0 {
			t.Errorf("stats %+v", st)
		}
		w := 0
		for _, at := range s.trials[10_500:] {
			if at.After(epoch) {
				w++
			}
		}
		if w > 8 {
			t.Errorf("%d rows were tried in half an hour that are refused still", w)
		}
	})
}

func TestWhatTheServerIsSeenToAcceptIsFedAtOnce(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed, _ *script) {
		s := newPicky(t, b, b.config(), "v")
		s.send("v", 0, 6000)
		after(10 * time.Minute)
		s.accepts("v")
		s.p.Accepted("db", "t", "v", qwp.TypeDouble)
		after(5 * time.Second)
		s.letters(0)
		s.took(0, 6000, 1)
	})
}

func TestAcceptedTooEarlyCostsABatchOfTrialsAndLosesNothing(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed, _ *script) {
		s := newPicky(t, b, b.config(), "v")
		s.send("v", 0, 9000)
		s.p.Accepted("db", "t", "v", qwp.TypeDouble)
		after(30 * time.Second)
		s.letters(9000)
		if n := len(s.trials) - 9000; n == 0 || n > maxFeedRows {
			t.Errorf("%d trials", n)
		}
		s.accepts("v")
		after(time.Hour)
		s.letters(0)
		s.took(0, 9000, 1)
	})
}

func TestLettersOfAnEarlierRunAreTriedWhenTheServerHasTakenSomething(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed, _ *script) {
		cfg := b.config()
		s := newPicky(t, b, cfg, "v")
		s.send("v", 0, 20)
		do(t, s.p.Close(context.Background()))

		s = newPicky(t, b, cfg)
		after(24 * time.Hour)
		s.letters(0) // it has not even looked
		b.connect(0, sender.State{Connected: true, Connects: 1})
		s.send("x", 100, 101)
		after(time.Minute)
		s.letters(0)
		s.took(0, 20, 1)
	})
}

// A letter whose row is stored and that cannot be removed must not be fed again.
func TestALetterThatCannotBeRemovedIsNotFedTwice(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed, _ *script) {
		cfg := b.config()
		var mu sync.Mutex
		broken := false
		cfg.FS = vfstest.Wrap(cfg.FS, func(op vfstest.Op) error {
			mu.Lock()
			defer mu.Unlock()
			if broken && strings.HasSuffix(op.Path, ".tmp") {
				return syscall.ENOSPC
			}
			return nil
		})
		s := newPicky(t, b, cfg, "v")
		s.send("v", 0, 50)
		s.accepts("v")
		mu.Lock()
		broken = true
		mu.Unlock()
		after(20 * time.Minute)
		s.letters(50)
		s.took(0, 1, 1) // the one that was tried
		s.took(1, 50, 0)
		if b.log.count("could not be fed back; trying again") == 0 {
			t.Errorf("log: %s", &b.log)
		}
		mu.Lock()
		broken = false
		mu.Unlock()
		after(5 * time.Minute)
		s.letters(0)
		s.took(0, 50, 1)
	})
}

func TestFeedBackStoresSoManyOfTheOldestLetters(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed, _ *script) {
		s := newPicky(t, b, b.config(), "v", "w")
		s.send("v", 0, 5000)
		s.send("w", 5000, 10_000)
		s.accepts("v")
		n, err := s.p.FeedBack(context.Background(), 4990)
		if n != 4990 || err != nil {
			t.Errorf("%d rows, %v", n, err)
		}
		s.letters(5010)
		s.took(0, 4990, 1)
		s.took(4990, 10_000, 0)
		n, err = s.p.FeedBack(context.Background(), 0)
		if n != 5010 || err != nil {
			t.Errorf("%d rows, %v", n, err)
		}
		s.letters(5000)
		s.took(0, 5000, 1)
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if n, err := s.p.FeedBack(ctx, 0); n != 0 || !errors.Is(err, context.Canceled) {
			t.Errorf("%d rows with a context that has ended", n)
		}
	})
}

func TestFeedingWaitsWhileTheServerIsSilentAndEndsWithThePool(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed, _ *script) {
		s := newPicky(t, b, b.config(), "v")
		s.send("v", 0, 100)
		s.mu.Lock()
		s.mute = true
		s.mu.Unlock()
		after(3 * time.Hour)
		if v := s.p.Stats(); v.Pending > 8 {
			t.Errorf("%d rows are under way though nothing was answered", v.Pending)
		}
		s.p.Accepted("db", "t", "v", qwp.TypeDouble)
		after(time.Second)
		began := time.Now()
		do(t, s.p.Close(context.Background()))
		if d := time.Since(began); d > time.Second {
			t.Errorf("Close took %s", d)
		}
	})
}

// Their letters are more than are tried at a time.
func TestEachOfManyReasonsHasItsTurn(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed, _ *script) {
		s := newPicky(t, b, b.config())
		s.send("x", 1000, 1001)
		var list []deadletter.Letter
		for id := range int64(100) {
			r := &Row{}
			r.Reset("t")
			r.Long("id", id)
			r.Varchar("padding", strings.Repeat("x", 40_000))
			list = append(list, deadletter.Letter{
				Key: &deadletter.Key{FSN: id}, Row: r, Class: deadletter.Refused, Column: fmt.Sprint("c", id),
			})
		}
		do(t, s.p.letters.Add(list))
		after(5 * time.Minute)
		s.letters(0)
		s.took(0, 100, 1)
	})
}

func TestLettersWaitWhileThereIsABacklog(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed, _ *script) {
		s := newPicky(t, b, b.config(), "v")
		s.send("v", 0, 10)
		backlog := func(bytes int64) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.pending[0] += bytes
		}
		backlog(1 << 40)
		s.accepts("v")
		after(time.Hour)
		s.letters(10)
		backlog(-1 << 40)
		after(2 * time.Minute)
		s.letters(0)
		s.took(0, 10, 1)
		if n := b.log.count("could not be fed back"); n != 0 {
			t.Errorf("a backlog is no failure: %s", &b.log)
		}
	})
}

func TestRowsThatOnlyAFrameCanSayAreFedBackInIt(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed, _ *script) {
		s := newPicky(t, b, b.config())
		frame := uuidFrame()
		var v qwp.View
		do(t, v.Parse(frame, nil))
		var list []deadletter.Letter
		for i := range int64(3) {
			var row Row
			for range v.Tables()[0].All(0, 1, &row) {
			}
			list = append(list, deadletter.Letter{
				Key: &deadletter.Key{FSN: i}, Row: &row, Frame: frame, Class: deadletter.Refused, Host: "db", Column: "uuid", Type: qwp.TypeUUID,
			})
		}
		var named Row // a name that Batch.Add refuses, and a slot of another client may hold
		named.Reset("t")
		named.Long("a.b", 7)
		list = append(list, deadletter.Letter{Key: &deadletter.Key{FSN: 9}, Row: &named, Class: deadletter.Refused, Host: "db", Column: "a.b"})
		do(t, s.p.letters.Add(list))
		got := 0
		answer := b.sent
		b.sent = func(index int, first slot.FSN, frames [][]byte) {
			for _, f := range frames {
				if string(f) == string(frame) {
					got++
				}
			}
			answer(index, first, frames)
		}
		n, err := s.p.FeedBack(context.Background(), 0)
		if n != 4 || err != nil || got != 3 {
			t.Errorf("%d rows, %v, %d frames", n, err, got)
		}
		s.letters(0)
	})
}

// uuidFrame is a message of a table "u" with one row and one column "uuid".
func uuidFrame() []byte {
	payload := append([]byte{0, 0, 1, 'u', 1, 1, 4}, "uuid"...)
	payload = append(payload, byte(qwp.TypeUUID), 0)
	payload = append(payload, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16)
	return append([]byte{'Q', 'W', 'P', '1', 1, qwp.FlagDeltaDict, 1, 0, byte(len(payload)), 0, 0, 0}, payload...)
}
