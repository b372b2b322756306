// SPDX-License-Identifier: MIT

package link_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/questdb-sf/questdb_sf/internal/link"
	"github.com/questdb-sf/questdb_sf/internal/qwp"
)

func TestARequestTakesAboutFiveSecondsWhateverTheLink(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rate := rapid.IntRange(1500, 100_000).Draw(t, "bytes per second")
		trip := time.Duration(rapid.IntRange(0, 1500).Draw(t, "round trip")) * time.Millisecond
		p := link.NewPace(1 << 20)
		var took time.Duration
		for range 12 {
			took = trip + time.Duration(p.Bytes())*time.Second/time.Duration(rate)
			p.Took(p.Bytes(), took)
		}
		if took < 4*time.Second || took > 6*time.Second {
			t.Errorf("%d bytes take %s", p.Bytes(), took)
		}
	})
}

func TestTheSizeOfRequestsStaysWithinItsBounds(t *testing.T) {
	p := link.NewPace(1 << 20)
	for range 10 {
		p.Took(p.Bytes(), time.Millisecond)
	}
	if p.Bytes() != 1<<20 {
		t.Errorf("%d bytes on a good link", p.Bytes())
	}
	p.Took(1000, time.Second) // a small one says nothing of larger ones
	if p.Bytes() != 1<<20 {
		t.Errorf("%d bytes after a small request", p.Bytes())
	}
	p.Failed(p.Bytes())
	if p.Bytes() != 1<<19 {
		t.Errorf("%d bytes after silence", p.Bytes())
	}
	for range 30 {
		p.Failed(p.Bytes())
	}
	if p.Bytes() != 4<<10 {
		t.Errorf("%d bytes after much silence", p.Bytes())
	}
	if p = link.NewPace(100); p.Bytes() != 100 {
		t.Errorf("%d bytes where 100 are the most", p.Bytes())
	}
	if p.Failed(100); p.Bytes() != 100 {
		t.Errorf("%d bytes where 100 are the most", p.Bytes())
	}
}

// A frame of megabytes goes over a link of 8 kB/s in requests of a few seconds, and
// what got no answer goes again in smaller ones, the same lines.
func TestALargeFrameIsSplitForANarrowLink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net, s := newPipeNet(t), newHandler()
		var longest atomic.Int64
		var mute atomic.Bool
		s.write = func(w http.ResponseWriter, r *http.Request) {
			body := s.seen("/write")
			took := time.Duration(len(body[len(body)-1].body)) * time.Second / 8000
			longest.Store(max(longest.Load(), int64(took)))
			time.Sleep(took)
			if mute.Load() {
				<-r.Context().Done()
				return
			}
			w.WriteHeader(http.StatusNoContent)
		}
		net.serve(s)
		cfg := ilpConfig("http://h:9000")
		cfg.Dial, cfg.Compression = net.dial, link.CompressionNone
		l := newLink(t, cfg)
		v := largeFrame(t, 8000)
		sent := sendAll(t, l, v, 8000)
		if most := time.Duration(longest.Load()); most > 12*time.Second || sent < 10 {
			t.Errorf("%d requests, the longest took %s", sent, most)
		}
		before := len(s.seen("/write"))
		mute.Store(true)
		c := connect(t, l)
		addFrom(t, c, v, 0, 8000)
		if _, err := c.Send(context.Background()); err == nil {
			t.Fatal("an answer that never came")
		}
		lost := s.seen("/write")[before].body
		mute.Store(false)
		if sendAll(t, l, v, 8000); !strings.HasPrefix(bodies(s, before+1), lost) {
			t.Error("other lines were sent for those without an answer")
		}
		if again := s.seen("/write")[before+1].body; len(again) >= len(lost) {
			t.Errorf("%d bytes after %d got no answer", len(again), len(lost))
		}
	})
}

func largeFrame(t testing.TB, rows int) *qwp.View {
	list := make([]*qwp.Row, rows)
	for i := range list {
		list[i] = row(func(r *qwp.Row) {
			r.Symbol("host", fmt.Sprintf("host-%d", i%7))
			r.Varchar("text", fmt.Sprintf("%064d", i))
			r.At(stamp + int64(i))
		})
	}
	return frame(t, list...)
}

// addFrom adds as many rows from one on as a request takes, and returns the first that
// is not in it.
func addFrom(t testing.TB, c link.Conn, v *qwp.View, from, to int) int {
	t.Helper()
	for {
		err := c.Add(v, qwp.Part{Table: 0, First: from, Last: to})
		if err == nil {
			return to
		}
		if _, large := err.(*link.TooLargeError); !large {
			t.Fatal(err)
		}
		to = from + (to-from)/2
	}
}

// sendAll sends so many rows, and counts the requests.
func sendAll(t testing.TB, l *link.Link, v *qwp.View, rows int) (requests int) {
	t.Helper()
	c := connect(t, l)
	for from := 0; from < rows; requests++ {
		from = addFrom(t, c, v, from, rows)
		send(t, c)
		if o := recv(t, c); o.Refusal != nil {
			t.Fatal(o.Refusal)
		}
	}
	_ = c.Close()
	return requests
}

// bodies joins what was written from a request on.
func bodies(s *server, from int) string {
	var all strings.Builder
	for _, r := range s.seen("/write")[from:] {
		_, _ = io.WriteString(&all, r.body)
	}
	return all.String()
}
