// SPDX-License-Identifier: MIT

package qwpserver

import (
	"errors"
	"maps"
	"slices"

	"github.com/gorilla/websocket"

	"github.com/questdb-sf/questdb_sf/internal/qwp"
)

// ackEvery is the number of processed messages after which an OK goes out even
// though more are waiting.
const ackEvery = 8

// pendingOK is what the next OK will say.
type pendingOK struct {
	committed int64 // last sequence that may be acknowledged, -1 = none
	sent      int64 // last sequence acknowledged, -1 = none
	messages  int   // processed since the last OK
	txns      map[string]int64
	held      <-chan struct{} // no OK goes out before it is closed; nil = no hold
	lose      int64           // an OK up to this sequence is not sent, -1 = none
	twice     bool            // the next OK is sent twice
	broken    bool            // the next OK is cut in the middle
}

func newPendingOK() pendingOK {
	return pendingOK{committed: -1, sent: -1, lose: -1, txns: make(map[string]int64)}
}

func (p *pendingOK) add(txns map[string]int64) { maps.Copy(p.txns, txns) }

// done marks everything committed as acknowledged.
func (p *pendingOK) done() {
	p.sent, p.messages = p.committed, 0
	clear(p.txns)
}

// refusal is an error response.
type refusal struct {
	status  qwp.Status
	message string
}

// acknowledge counts a processed message and sends an OK when it is due: after
// eight of them, or at once when the message committed a deferred group.
func (c *conn) acknowledge(f *Frame) error {
	if f.Deferred {
		return nil
	}
	closesGroup := f.Seq > c.ok.committed+1
	c.ok.committed = f.Seq
	c.ok.messages++
	if closesGroup || c.ok.messages >= ackEvery {
		return c.flush()
	}
	return nil
}

// flush sends the pending OK, if there is one and nothing holds it back.
func (c *conn) flush() error {
	if c.dead || c.ok.held != nil || c.ok.committed == c.ok.sent {
		return nil
	}
	payload, lost, twice := c.response().Append(nil), c.ok.lose >= c.ok.committed, c.ok.twice
	c.wrote(c.ok.txns)
	c.ok.done()
	switch {
	case lost:
		return nil
	case c.ok.broken:
		return c.writeHalf(payload)
	case twice:
		c.ok.twice = false
		return errors.Join(c.write(payload), c.write(payload))
	}
	return c.write(payload)
}

// response builds the OK for everything committed.
func (c *conn) response() *qwp.Response {
	r := &qwp.Response{Status: qwp.StatusOK, Sequence: c.ok.committed}
	for _, name := range slices.Sorted(maps.Keys(c.ok.txns)) {
		r.Tables = append(r.Tables, qwp.TableTxn{Name: name, SeqTxn: c.ok.txns[name]})
	}
	return r
}

// refuse answers a message with an error, after the OKs of those before it, and
// ends the processing of this connection. Uncommitted rows are forgotten.
func (c *conn) refuse(seq int64, why *refusal) error {
	if held := c.ok.held; held != nil {
		if !c.until(held) {
			return errDone
		}
		c.ok.held = nil
	}
	if err := c.flush(); err != nil {
		return err
	}
	c.dead, c.group = true, group{}
	r := qwp.Response{Status: why.status, Sequence: seq, Message: why.message}
	return c.write(r.Append(nil))
}

// until waits for release; false if the server stops before.
func (c *conn) until(release <-chan struct{}) bool {
	select {
	case <-release:
		return true
	case <-c.stopped:
		return false
	}
}

func (c *conn) write(payload []byte) error {
	return c.ws.WriteMessage(websocket.BinaryMessage, payload)
}

// writeHalf sends the first half of a websocket frame and cuts the connection.
func (c *conn) writeHalf(payload []byte) error {
	frame := append(websocketHeader(len(payload)), payload...)
	_, _ = c.ws.NetConn().Write(frame[:len(frame)/2])
	return errDone
}

// websocketHeader is the header of a final, unmasked binary frame (RFC 6455,
// section 5.2) of less than 64 KiB.
func websocketHeader(n int) []byte {
	if n < 126 {
		return []byte{0x82, byte(n)}
	}
	return []byte{0x82, 126, byte(n >> 8), byte(n)}
}
