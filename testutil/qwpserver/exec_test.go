// SPDX-License-Identifier: MIT

package qwpserver_test

import (
	"io"
	"net/http"
	"net/url"
	"testing"

	"github.com/questdb-sf/questdb_sf/testutil/qwpserver"
)

func TestStatementsAreAnsweredByTheHookAndWithoutOneNotAtAll(t *testing.T) {
	srv := start(t, qwpserver.Options{})
	exec := func(sql string) (int, string) {
		resp, err := http.Get(srv.URL() + "/exec?query=" + url.QueryEscape(sql))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(body)
	}
	if status, _ := exec("select 1"); status != http.StatusNotFound {
		t.Errorf("without a hook: status %d", status)
	}
	srv.Configure(func(o *qwpserver.Options) {
		o.Exec = func(sql string) (int, string) { return http.StatusBadRequest, "refused: " + sql }
	})
	if status, body := exec(`drop table "a b"`); status != http.StatusBadRequest || body != `refused: drop table "a b"` {
		t.Errorf("status %d, %s", status, body)
	}
	srv.Configure(func(o *qwpserver.Options) { o.Token = "secret" })
	if status, _ := exec("select 1"); status != http.StatusUnauthorized {
		t.Errorf("without the token: status %d", status)
	}
}
