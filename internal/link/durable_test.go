// SPDX-License-Identifier: MIT

package link_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/gorilla/websocket"

	"github.com/questdb-sf/questdb_sf/internal/link"
	"github.com/questdb-sf/questdb_sf/internal/qwp"
)

func txns(list ...any) (out []qwp.TableTxn) {
	for i := 0; i < len(list); i += 2 {
		out = append(out, qwp.TableTxn{Name: list[i].(string), SeqTxn: int64(list[i+1].(int))})
	}
	return out
}

func okOf(seq int64, tables ...any) qwp.Response {
	return qwp.Response{Status: qwp.StatusOK, Sequence: seq, Tables: txns(tables...)}
}

func durableAck(tables ...any) qwp.Response {
	return qwp.Response{Status: qwp.StatusDurableAck, Tables: txns(tables...)}
}

// durableServer lets talk speak for a server that offers durable acks.
func durableServer(tb testing.TB, talk func(ws *websocket.Conn)) link.Config {
	cfg := qwpServer(tb, talk, map[string]string{"X-Qwp-Durable-Ack": "enabled"})
	cfg.RequestDurableAck = true
	return cfg
}

func sendRows(tb testing.TB, c link.Conn, n int) {
	tb.Helper()
	for i := range n {
		add(tb, c, frame(tb, simpleRow("a", int64(i))))
		send(tb, c)
	}
}

func hearMessages(ws *websocket.Conn, n int) {
	for range n {
		_, _, _ = ws.ReadMessage()
	}
}

func TestAnOutcomeIsWhatIsDurable(t *testing.T) {
	for name, tc := range map[string]struct {
		answers []qwp.Response
		want    []int64
	}{
		"OK, then durable":      {[]qwp.Response{okOf(3, "t", 4), durableAck("t", 4)}, []int64{3}},
		"durable before the OK": {[]qwp.Response{durableAck("t", 9), okOf(3, "t", 4)}, []int64{3}},
		"step by step": {
			[]qwp.Response{okOf(1, "t", 2), okOf(3, "t", 4), durableAck("t", 1), durableAck("t", 3), durableAck("t", 4)}, []int64{1, 3},
		},
		"of several tables the last counts": {
			[]qwp.Response{okOf(0, "t", 1, "u", 7), okOf(1, "u", 8), okOf(3), durableAck("u", 8), durableAck("v", 1), durableAck("t", 1)},
			[]int64{3},
		},
		"an OK without tables":   {[]qwp.Response{okOf(0), okOf(3, "t", 1), durableAck("t", 1)}, []int64{0, 3}},
		"an OK that comes twice": {[]qwp.Response{okOf(1, "t", 2), okOf(1, "t", 2), okOf(3, "t", 4), durableAck("t", 4)}, []int64{3}},
		"a table that was made anew when nothing waited for it": {
			[]qwp.Response{okOf(0, "t", 8), durableAck("t", 8), okOf(1, "t", 1), okOf(3, "t", 2), durableAck("t", 1), durableAck("t", 2)},
			[]int64{0, 1, 3},
		},
		"a table that was made anew, and is durable before the OK": {
			[]qwp.Response{okOf(0, "t", 8), durableAck("t", 8), durableAck("t", 2), okOf(3, "t", 2)}, []int64{0, 3},
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := connect(t, newLink(t, durableServer(t, func(ws *websocket.Conn) {
				hearMessages(ws, 4)
				for _, r := range tc.answers {
					reply(ws, r)
				}
				hear(ws)
			})))
			sendRows(t, c, 4)
			for _, want := range tc.want {
				if o := recv(t, c); o.Seq != want || o.Refusal != nil {
					t.Errorf("outcome %+v, want %d", o, want)
				}
			}
		})
	}
}

func TestATableMadeAnewBeforeItsRowsWereDurableEndsTheConnection(t *testing.T) {
	c := connect(t, newLink(t, durableServer(t, func(ws *websocket.Conn) {
		hearMessages(ws, 2)
		reply(ws, okOf(0, "t", 8))
		reply(ws, okOf(1, "t", 1))
		reply(ws, durableAck("t", 1))
		hear(ws)
	})))
	sendRows(t, c, 2)
	_, err := c.Recv(context.Background())
	var lost *link.LostError
	if !errors.As(err, &lost) || !strings.Contains(err.Error(), `"t" was made anew`) {
		t.Errorf("Recv: %v", err)
	}
}

func TestARefusalComesBehindWhatBecomesDurable(t *testing.T) {
	refuse := qwp.Response{Status: qwp.StatusSchemaMismatch, Sequence: 2, Message: "no"}
	for name, tc := range map[string]struct {
		behind []qwp.Response
		bye    bool
		want   []int64
	}{
		"all of it":               {[]qwp.Response{durableAck("t", 1), durableAck("t", 2)}, false, []int64{0, 1, 2}},
		"some, then it is closed": {[]qwp.Response{durableAck("t", 1)}, true, []int64{0, 2}},
	} {
		t.Run(name, func(t *testing.T) {
			c := connect(t, newLink(t, durableServer(t, func(ws *websocket.Conn) {
				hearMessages(ws, 3)
				for _, r := range append([]qwp.Response{okOf(0, "t", 1), okOf(1, "t", 2), refuse}, tc.behind...) {
					reply(ws, r)
				}
				if !tc.bye {
					hear(ws)
				}
			})))
			sendRows(t, c, 3)
			for _, want := range tc.want {
				if o := recv(t, c); o.Seq != want || (o.Refusal != nil) != (want == 2) {
					t.Errorf("outcome %+v, want %d", o, want)
				}
			}
			if err := c.Add(frame(t, simpleRow("a", 1)), qwp.WholeMessage); err == nil {
				t.Error("the connection takes more")
			}
		})
	}
}

func TestAServerWithoutDurableAcksIsNotUsed(t *testing.T) {
	for name, tc := range map[string]struct {
		upgrade http.HandlerFunc
		want    string
	}{
		"it does not offer them": {speakQWP(hear, nil), "does not offer durable acks"},
		"it says something else": {speakQWP(hear, map[string]string{"X-Qwp-Durable-Ack": "disabled"}), "does not offer durable acks"},
		"it has no QWP":          {http.NotFound, "request_durable_ack is on, which needs QWP: HTTP 404"},
		"it is a replica":        {role("REPLICA"), "role REPLICA"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t)
			s.upgrade = tc.upgrade
			cfg := config(s.URL)
			cfg.RequestDurableAck = true
			_, err := newLink(t, cfg).Connect(context.Background())
			if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), s.host()) {
				t.Fatalf("Connect: %v", err)
			}
			var refused *link.ConnectError
			if errors.As(err, &refused) && !strings.Contains(err.Error(), "rows are kept") {
				t.Errorf("does not say what becomes of the rows: %v", err)
			}
			if n := len(s.seen("/settings")) + len(s.seen("/write")); n != 0 {
				t.Errorf("%d other requests", n)
			}
			if got := s.seen("/write/v4")[0].header.Get("X-QWP-Request-Durable-Ack"); got != "true" {
				t.Errorf("asked with %q", got)
			}
		})
	}
}

func TestAServerThatHasDurableAcksIsFoundBehindOneThatHasNone(t *testing.T) {
	plain, old, good := newServer(t), newServer(t), newServer(t)
	plain.upgrade = speakQWP(hear, nil)
	good.upgrade = speakQWP(hear, map[string]string{"X-Qwp-Durable-Ack": "enabled"})
	cfg := config(plain.URL, old.URL, good.URL)
	cfg.RequestDurableAck = true
	if c := connect(t, newLink(t, cfg)); c.Host() != good.host() {
		t.Errorf("bound to %s", c.Host())
	}
}

func TestDurableAcksAreNotAskedForUnlessWanted(t *testing.T) {
	s := newServer(t)
	s.upgrade = speakQWP(hear, nil)
	connect(t, newLink(t, config(s.URL)))
	if got := s.seen("/write/v4")[0].header.Get("X-QWP-Request-Durable-Ack"); got != "" {
		t.Errorf("asked with %q", got)
	}
}

func TestBytesThatAreNotDurableAreBounded(t *testing.T) {
	d := link.NewDurability(100)
	sent := int64(0)
	for ; d.Window() > 0; sent++ {
		d.Launched(1 << 20)
	}
	if sent != 64 {
		t.Errorf("%d MiB went out", sent)
	}
	if err := d.Okay(sent-1, txns("t", 1)); err != nil || d.Window() != 0 {
		t.Errorf("%v, window %d after the OK", err, d.Window())
	}
	_ = d.Announced(txns("t", 1))
	if seq, ok := d.Pop(); !ok || seq != sent-1 || d.Window() != 1024 {
		t.Errorf("%d, %t, window %d", seq, ok, d.Window())
	}
}

func TestAnOKMakesRoomOnANarrowLinkBeforeAnythingIsDurable(t *testing.T) {
	c := connect(t, newLink(t, durableServer(t, func(ws *websocket.Conn) {
		hearMessages(ws, 3)
		reply(ws, okOf(2, "t", 3))
		hearMessages(ws, 1)
		reply(ws, durableAck("t", 3))
		hear(ws)
	})))
	long := strings.Repeat("x", 15<<10)
	for i := range 3 {
		if c.Window() == 0 {
			t.Fatalf("no room for message %d", i)
		}
		add(t, c, frame(t, row(func(r *qwp.Row) { r.Varchar("v", long); r.At(1) })))
		send(t, c)
	}
	if n := c.Window(); n != 0 {
		t.Errorf("room for %d with 45 KiB on the way", n)
	}
	if o := recv(t, c); o.Seq != -1 || o.Refusal != nil || c.Window() == 0 {
		t.Errorf("outcome %+v, window %d", o, c.Window())
	}
	sendRows(t, c, 1)
	if o := recv(t, c); o.Seq != 2 {
		t.Errorf("outcome %+v", o)
	}
}

func TestWhatManyTablesNeedIsBounded(t *testing.T) {
	const tables, limit = 100, 1000
	d := link.NewDurability(limit)
	list := make([]qwp.TableTxn, tables)
	for seq := range int64(200) {
		d.Launched(1)
		for i := range list {
			list[i] = qwp.TableTxn{Name: fmt.Sprint("t", i), SeqTxn: seq}
		}
		if err := d.Okay(seq, list); err != nil {
			t.Fatal(err)
		}
	}
	if needs, okays := d.Held(); needs > limit+2*tables || okays < 2 {
		t.Errorf("%d needs of %d OKs are kept", needs, okays)
	}
	for i := range list {
		list[i].SeqTxn = 0
	}
	_ = d.Announced(list)
	if seq, ok := d.Pop(); !ok || seq != 0 {
		t.Errorf("the first is not let go: %d, %t", seq, ok)
	}
	for i := range list {
		list[i].SeqTxn = 199
	}
	_ = d.Announced(list)
	if seq, ok := d.Pop(); !ok || seq != 199 {
		t.Errorf("the last is not let go: %d, %t", seq, ok)
	}
}

func TestTablesThatAnswersNameAreBounded(t *testing.T) {
	d := link.NewDurability(100)
	for i := 0; ; i++ {
		if err := d.Announced([]qwp.TableTxn{{Name: fmt.Sprint(i), SeqTxn: 1}}); err != nil {
			if i != 1<<18 {
				t.Errorf("%v after %d", err, i)
			}
			return
		}
	}
}

func TestWaitingForDurabilityAllocatesNothingInTheLongRun(t *testing.T) {
	d := link.NewDurability(100)
	list := txns("t", 0, "u", 0)
	seq := int64(0)
	round := func() {
		for range 10 {
			d.Launched(100)
			list[0].SeqTxn++
			list[1].SeqTxn++
			_ = d.Okay(seq, list)
			seq++
		}
		_ = d.Announced(list)
		if got, ok := d.Pop(); !ok || got != seq-1 {
			t.Fatalf("%d, %t", got, ok)
		}
	}
	for range 100 {
		round()
	}
	if n := testing.AllocsPerRun(1000, round); n > 0 {
		t.Errorf("%v allocations a round", n)
	}
}
