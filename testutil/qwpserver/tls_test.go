// SPDX-License-Identifier: MIT

package qwpserver_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gorilla/websocket"

	"github.com/questdb-sf/questdb_sf/testutil/qwpserver"
)

func TestServerSpeaksTLSAndCanStillBeCut(t *testing.T) {
	// httptest has a certificate for 127.0.0.1 and a client that trusts it.
	donor := httptest.NewTLSServer(http.NotFoundHandler())
	defer donor.Close()
	b := start(t, qwpserver.Options{TLS: donor.TLS})
	b.Script(qwpserver.CutAfterBytes(20))
	dialer := websocket.Dialer{TLSClientConfig: donor.Client().Transport.(*http.Transport).TLSClientConfig}
	dial := func() *client {
		ws, _, err := dialer.DialContext(b.ctx, strings.Replace(b.URL(), "https", "wss", 1)+"/api/v4/write", nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = ws.Close() })
		return &client{TB: t, ws: ws}
	}
	cut := dial()
	cut.send(long("t", 0, 0))
	_ = cut.end()
	c := dial()
	c.send(long("t", 0, 0))
	c.until(0)
	if got := b.Total(); got != 1 {
		t.Errorf("%d rows, want 1", got)
	}
}
