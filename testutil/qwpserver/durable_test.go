// SPDX-License-Identifier: MIT

package qwpserver_test

import (
	"slices"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/questdb-sf/questdb_sf/internal/qwp"
	"github.com/questdb-sf/questdb_sf/testutil/qwpserver"
)

const (
	asksDurable   = "X-QWP-Request-Durable-Ack"
	offersDurable = "X-QWP-Durable-Ack"
)

func (c *client) ping() {
	c.Helper()
	if err := c.ws.WriteControl(websocket.PingMessage, nil, time.Now().Add(10*time.Second)); err != nil {
		c.Fatal(err)
	}
}

// durable pings, and reads the next response as a DURABLE_ACK of these.
func (c *client) durable(want ...qwp.TableTxn) {
	c.Helper()
	c.ping()
	if r := c.answer(); r.Status != qwp.StatusDurableAck || !slices.Equal(r.Tables, want) {
		c.Fatalf("answer %+v, want the durable ack of %v", r, want)
	}
}

func TestDurableAcksAreOfferedToWhoAsks(t *testing.T) {
	for _, c := range []struct {
		durable     qwpserver.Durability
		asked, want string
	}{
		{qwpserver.DurableAtOnce, "true", "enabled"},
		{qwpserver.DurableOnCall, "true", "enabled"},
		{qwpserver.DurableAtOnce, "", ""},
		{qwpserver.NotOffered, "true", ""},
	} {
		b := start(t, qwpserver.Options{Durable: c.durable})
		for _, faulty := range []bool{true, false} {
			want := c.want
			if faulty {
				want = ""
				b.Script(qwpserver.WithoutDurableAck())
			}
			_, resp, err := b.dial(asksDurable, c.asked)
			if err != nil {
				t.Fatal(err)
			}
			if got := resp.Header.Get(offersDurable); got != want {
				t.Errorf("%+v, faulty: %t: header %q", c, faulty, got)
			}
		}
	}
}

func TestDurableAcksComeWithPingsForWhatIsDurable(t *testing.T) {
	b := start(t, qwpserver.Options{Durable: qwpserver.DurableOnCall})
	plain, c := b.connect(), b.connect(asksDurable, "true")
	c.send(long("a", 0, 0), long("b", 0, 0))
	c.until(0)
	plain.send(long("a", 1, 1), long("other", 1, 1))
	plain.until(0)
	b.MakeDurable("a")
	c.durable(qwp.TableTxn{Name: "a", SeqTxn: 2})
	b.MakeDurable()
	c.durable(qwp.TableTxn{Name: "b", SeqTxn: 1})
	plain.nothingMore()
	b.Drop("a")
	c.send(long("a", 2, 2))
	if r := c.answer(); r.Sequence != 1 || !slices.Equal(r.Tables, []qwp.TableTxn{{Name: "a", SeqTxn: 1}}) {
		t.Errorf("answer of the new table: %+v", r)
	}
	b.MakeDurable()
	c.durable(qwp.TableTxn{Name: "a", SeqTxn: 1})
	c.nothingMore()
}

func TestRowsThatAreNotDurableCanBeLost(t *testing.T) {
	b := start(t, qwpserver.Options{Durable: qwpserver.DurableOnCall, DedupKeys: []string{"v"}})
	c := b.connect(asksDurable, "true")
	c.send(long("t", 0, 0))
	c.until(0)
	b.MakeDurable()
	c.send(long("t", 1, 1))
	if r := c.answer(); r.Status != qwp.StatusDurableAck {
		t.Errorf("with a message: %+v", r)
	}
	c.until(1)
	b.Stop()
	b.LoseUndurable()
	if err := b.Restart(); err != nil {
		t.Fatal(err)
	}
	if rows := b.Rows("t"); len(rows) != 1 || rows[0].Values["v"] != int64(0) {
		t.Errorf("left are %v", rows)
	}
	again := b.connect(asksDurable, "true")
	again.send(long("t", 1, 1))
	if r := again.answer(); r.Tables[0].SeqTxn != 2 || len(b.Rows("t")) != 2 {
		t.Errorf("%+v, %v", r, b.Rows("t"))
	}
}
