// SPDX-License-Identifier: MIT

package link_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/questdb-sf/questdb_sf/internal/link"
	"github.com/questdb-sf/questdb_sf/internal/qwp"
)

// qwpServer lets talk speak for a server, with headers added to its 101.
func qwpServer(tb testing.TB, talk func(ws *websocket.Conn), headers map[string]string) link.Config {
	s := newServer(tb)
	s.upgrade = speakQWP(talk, headers)
	return config("ws" + strings.TrimPrefix(s.URL, "http"))
}

func ok(seq int64) qwp.Response { return qwp.Response{Status: qwp.StatusOK, Sequence: seq} }

// ackAll answers each of n messages.
func ackAll(ws *websocket.Conn) {
	for seq := int64(0); ; seq++ {
		if _, _, err := ws.ReadMessage(); err != nil {
			return
		}
		reply(ws, ok(seq))
	}
}

func TestQWPSendsEachSymbolOncePerConnection(t *testing.T) {
	type seen struct {
		rows []string
		size int
	}
	messages := make(chan seen, 3)
	c := connect(t, newLink(t, qwpServer(t, func(ws *websocket.Conn) {
		var dict qwp.Dict
		for seq := int64(0); ; seq++ {
			_, msg, err := ws.ReadMessage()
			if err != nil {
				return
			}
			var v qwp.View
			if err := v.Parse(msg, &dict); err != nil {
				messages <- seen{rows: []string{err.Error()}}
				return
			}
			messages <- seen{rowsOf(&v), len(msg)}
			reply(ws, ok(seq))
		}
	}, nil)))
	long := strings.Repeat("x", 200)
	for i, host := range []string{long, "b", long} {
		if o := exchange(t, c, frame(t, simpleRow(host, int64(i)))); o.Seq != int64(i) || o.Refusal != nil {
			t.Errorf("outcome %+v", o)
		}
		m := <-messages
		if want := fmt.Sprintf("cpu host=%s v=%d", host, i); len(m.rows) != 1 || m.rows[0] != want {
			t.Errorf("message %d: %v, want %s", i, m.rows, want)
		}
		if i == 2 && m.size > 100 {
			t.Errorf("%d bytes: the string was sent again", m.size)
		}
	}
}

func rowsOf(v *qwp.View) []string {
	var list []string
	var r qwp.Row
	tables := v.Tables()
	for i := range tables {
		for row := range tables[i].All(0, tables[i].Rows, &r) {
			text := row.Table
			for _, c := range row.Cells {
				if c.Type == qwp.TypeSymbol {
					text += fmt.Sprintf(" %s=%s", c.Name, c.Text)
				} else {
					text += fmt.Sprintf(" %s=%d", c.Name, c.Int())
				}
			}
			list = append(list, text)
		}
	}
	return list
}

func TestOneOKAcksSeveralMessages(t *testing.T) {
	c := connect(t, newLink(t, qwpServer(t, func(ws *websocket.Conn) {
		for range 5 {
			_, _, _ = ws.ReadMessage()
		}
		_ = ws.WriteMessage(websocket.TextMessage, []byte("hello")) // ignored
		reply(ws, qwp.Response{Status: qwp.StatusDurableAck})       // ignored
		reply(ws, ok(-1))                                           // settles nothing
		reply(ws, ok(3))
		reply(ws, ok(2)) // settles nothing new
		reply(ws, ok(4))
		hear(ws)
	}, nil)))
	for i := range 5 {
		add(t, c, frame(t, simpleRow("a", int64(i))))
		if err := c.Add(frame(t, simpleRow("a", 1)), qwp.WholeMessage); !errors.Is(err, link.ErrRequestFull) {
			t.Errorf("second Add: %v", err)
		}
		if seq := send(t, c); seq != int64(i) {
			t.Errorf("message %d has number %d", i, seq)
		}
	}
	for _, want := range []int64{3, 4} {
		if o := recv(t, c); o.Seq != want || o.Refusal != nil {
			t.Errorf("outcome %+v, want %d", o, want)
		}
	}
}

func TestRefusalUsesUpTheConnection(t *testing.T) {
	for status, class := range map[qwp.Status]link.Class{
		qwp.StatusSchemaMismatch: link.RowFault,
		qwp.StatusParseError:     link.Unclear,
		qwp.StatusInternalError:  link.ServerState,
		qwp.StatusSecurityError:  link.ServerState,
		qwp.StatusWriteError:     link.ServerState,
		qwp.StatusNotWritable:    link.ServerState,
		qwp.StatusDictionaryGap:  link.ServerState,
		0x77:                     link.Unclear,
	} {
		c := connect(t, newLink(t, qwpServer(t, func(ws *websocket.Conn) {
			_, _, _ = ws.ReadMessage()
			_, _, _ = ws.ReadMessage()
			reply(ws, ok(0))
			reply(ws, qwp.Response{Status: status, Sequence: 1, Message: "two\nlines"})
			hear(ws)
		}, nil)))
		for range 2 {
			add(t, c, frame(t, simpleRow("a", 1)))
			send(t, c)
		}
		if o := recv(t, c); o.Seq != 0 || o.Refusal != nil {
			t.Errorf("%v: first outcome %+v", status, o)
		}
		o := recv(t, c)
		if o.Seq != 1 || o.Refusal == nil || o.Refusal.Class != class || o.Refusal.Status != status || o.Refusal.Message != "two lines" {
			t.Errorf("%v: %+v", status, o.Refusal)
		}
		if err := c.Add(frame(t, simpleRow("a", 1)), qwp.WholeMessage); !errors.Is(err, link.ErrReconnect) {
			t.Errorf("Add after a refusal: %v", err)
		}
	}
}

func TestAnswersThatBreakTheProtocolEndTheConnection(t *testing.T) {
	for name, answer := range map[string][]byte{
		"an ack of what was not sent":    (&qwp.Response{Status: qwp.StatusOK, Sequence: 1}).Append(nil),
		"a refusal of what was not sent": (&qwp.Response{Status: qwp.StatusWriteError, Sequence: 7, Message: "x"}).Append(nil),
		"a number below -1":              (&qwp.Response{Status: qwp.StatusOK, Sequence: -2}).Append(nil),
		"a short response":               {0, 1, 2},
		"an empty response":              {},
	} {
		c := connect(t, newLink(t, qwpServer(t, func(ws *websocket.Conn) {
			_, _, _ = ws.ReadMessage()
			_ = ws.WriteMessage(websocket.BinaryMessage, answer)
			hear(ws)
		}, nil)))
		add(t, c, frame(t, simpleRow("a", 1)))
		send(t, c)
		var broken *link.ProtocolError
		if _, err := c.Recv(context.Background()); !errors.As(err, &broken) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCloseCodesAreTyped(t *testing.T) {
	for code, orderly := range map[int]bool{1000: true, 1001: true, 1002: false, 1009: false, 1011: false} {
		c := connect(t, newLink(t, qwpServer(t, func(ws *websocket.Conn) {
			_, _, _ = ws.ReadMessage()
			reply(ws, ok(0))
			_ = ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, "so\nlong"), time.Now().Add(time.Second))
			hear(ws)
		}, nil)))
		add(t, c, frame(t, simpleRow("a", 1)))
		send(t, c)
		if o := recv(t, c); o.Seq != 0 {
			t.Errorf("the ack before the close is lost: %+v", o)
		}
		_, err := c.Recv(context.Background())
		var closed *link.ClosedError
		if !errors.As(err, &closed) || closed.Code != code || closed.Orderly != orderly || closed.Text != "so long" {
			t.Errorf("code %d: %v", code, err)
		}
		if _, err := c.Send(context.Background()); !errors.As(err, &closed) {
			t.Errorf("Send: %v", err)
		}
	}
}

func TestMessageOverTheServersLimitIsNotSent(t *testing.T) {
	c := connect(t, newLink(t, qwpServer(t, ackAll, map[string]string{"X-Qwp-Max-Batch-Size": "500"})))
	large := frame(t, simpleRow(strings.Repeat("x", 1000), 1))
	var tooLarge *link.TooLargeError
	if err := c.Add(large, qwp.WholeMessage); !errors.As(err, &tooLarge) || tooLarge.Limit != 500 || tooLarge.Size < 1000 {
		t.Fatalf("Add: %v", err)
	}
	if _, err := c.Send(context.Background()); !errors.Is(err, link.ErrEmptyRequest) {
		t.Errorf("Send: %v", err)
	}
	if o := exchange(t, c, frame(t, simpleRow("a", 1))); o.Seq != 0 || o.Refusal != nil {
		t.Errorf("outcome %+v", o)
	}
}

func TestLimitIsTheDefaultWhenTheServerNamesNone(t *testing.T) {
	for _, header := range []string{"", "many", "-1", "0"} {
		c := connect(t, newLink(t, qwpServer(t, ackAll, map[string]string{"X-Qwp-Max-Batch-Size": header})))
		var tooLarge *link.TooLargeError
		err := c.Add(frame(t, simpleRow(strings.Repeat("x", 2<<20), 1)), qwp.WholeMessage)
		if !errors.As(err, &tooLarge) || tooLarge.Limit != 19<<20/10 {
			t.Errorf("header %q: %v", header, err)
		}
	}
}

func TestDictionaryIsBoundedByStringsAndBytes(t *testing.T) {
	many := make([]*qwp.Row, 30_000)
	for name, next := range map[string]func(round int) []*qwp.Row{
		"strings": func(round int) []*qwp.Row {
			for i := range many {
				many[i] = simpleRow(fmt.Sprintf("%d-%d", round, i), 1)
			}
			return many
		},
		"bytes": func(round int) []*qwp.Row {
			return []*qwp.Row{simpleRow(fmt.Sprint(round)+strings.Repeat("x", 3<<20), 1)}
		},
	} {
		l := newLink(t, qwpServer(t, ackAll, map[string]string{"X-Qwp-Max-Batch-Size": "9000000"}))
		link.Widen(l)
		c := connect(t, l)
		rounds := 0
		for ; ; rounds++ {
			err := c.Add(frame(t, next(rounds)...), qwp.WholeMessage)
			if errors.Is(err, link.ErrReconnect) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			send(t, c)
			recv(t, c)
		}
		if rounds != 3 {
			t.Errorf("%s: %d messages went out, want 3", name, rounds)
		}
		_ = c.Close()
	}
}

func TestServerPingIsAnswered(t *testing.T) {
	ponged := make(chan string, 1)
	c := connect(t, newLink(t, qwpServer(t, func(ws *websocket.Conn) {
		ws.SetPongHandler(func(data string) error { ponged <- data; return nil })
		_ = ws.WriteControl(websocket.PingMessage, []byte("are you there"), time.Now().Add(time.Minute))
		hear(ws)
	}, nil)))
	if data := <-ponged; data != "are you there" {
		t.Errorf("PONG carries %q", data)
	}
	_ = c.Close()
}

func TestCloseUnblocksQWP(t *testing.T) {
	codes := make(chan int, 1)
	c := connect(t, newLink(t, qwpServer(t, func(ws *websocket.Conn) {
		for {
			_, _, err := ws.ReadMessage()
			var closed *websocket.CloseError
			if errors.As(err, &closed) {
				codes <- closed.Code
			}
			if err != nil {
				return
			}
		}
	}, nil)))
	add(t, c, frame(t, simpleRow("a", 1)))
	send(t, c)
	result := make(chan error, 1)
	go func() { _, err := c.Recv(context.Background()); result <- err }()
	_ = c.Close()
	if err := <-result; !errors.Is(err, link.ErrClosed) {
		t.Errorf("Recv: %v", err)
	}
	if code := <-codes; code != websocket.CloseNormalClosure {
		t.Errorf("the server heard code %d", code)
	}
	if err := c.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
}
