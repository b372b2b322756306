// SPDX-License-Identifier: MIT

package link_test

import (
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/questdb-sf/questdb_sf/internal/link"
	"github.com/questdb-sf/questdb_sf/internal/qwp"
)

func answer400(message string) []byte {
	text, err := json.Marshal(message)
	if err != nil {
		panic(err)
	}
	return []byte(`{"code":"invalid","message":` + string(text) + `,"line":7,"errorId":"a-1"}`)
}

// TestTextsOfQuestDBHaveTheirClass holds answers of QuestDB 9.3.4, except for
// the two about creating being disabled, which are made of its strings.
func TestTextsOfQuestDBHaveTheirClass(t *testing.T) {
	const prefix = "failed to parse line protocol:errors encountered on line(s):\nerror in line 7: "
	for text, want := range map[string]struct {
		class  link.Class
		column string
	}{
		"table: a_ok, column: v; cast error from protocol type: STRING to column type: LONG":       {link.RowFault, "v"},
		"table: p16, column: i; line protocol value: 3000000000 is out bounds of column type: INT": {link.RowFault, "i"},
		"table: p6#; invalid column name: ho-st":                                                   {link.RowFault, "ho-st"},
		"table: r1; invalid column name: k,k":                                                      {link.RowFault, "k,k"},
		"Could not parse entire line, field value is invalid. Field: h; value: 1u":                 {link.RowFault, "h"},
		"Could not parse entire line, tag value is invalid. Tag: h; value: x":                      {link.RowFault, "h"},
		"Could not parse entire line. Field value is missing: b\"":                                 {link.RowFault, ""},
		"Could not parse timestamp: 1700000000123456789123":                                        {link.RowFault, ""},
		"table: t6, timestamp: 9; designated timestamp overflow, max[9214646399999999999]":         {link.RowFault, ""},
		"table: t7, timestamp: -1; designated timestamp before 1970-01-01 is not allowed":          {link.RowFault, ""},
		"long overflow, timestamp: 9223372036854775807":                                            {link.RowFault, ""},
		"table: p7 x,y=z; invalid table name":                                                      {link.RowFault, ""},
		"No fields were provided":                                                                  {link.RowFault, ""},
		"table: r13; cannot insert in non-WAL table":                                               {link.ServerState, ""},
		"table: r14; cannot modify view: r14":                                                      {link.ServerState, ""},
		"table: m1; cannot modify materialized view: m1":                                           {link.ServerState, ""},
		"table: t; table does not exist, creating new tables is disabled":                          {link.ServerState, ""},
		"table: t, column: c does not exist, creating new columns is disabled":                     {link.ServerState, "c"},
		"table: t, column: c; something new":                                                       {link.RowFault, "c"},
		"INCOMPLETE_TAG":                                                                           {link.Unclear, ""},
		// A value that quotes another text changes nothing.
		"Could not parse entire line, field value is invalid. Field: h; value: creating new tables is disabled": {link.RowFault, "h"},
	} {
		r := link.Classify(400, answer400(prefix+text))
		if r.Class != want.class || r.Column != want.column || r.Line != 7 {
			t.Errorf("%s: %v, column %q, line %d", text, r.Class, r.Column, r.Line)
		}
	}
}

func TestStatusesHaveTheirClass(t *testing.T) {
	for status, want := range map[int]link.Class{
		400: link.ServerState, // not in QuestDB's words
		401: link.ServerState, 403: link.ServerState, 404: link.ServerState, 405: link.ServerState,
		413: link.Unclear, 415: link.ServerState, 421: link.ServerState, 429: link.ServerState,
		500: link.ServerState, 503: link.ServerState, 301: link.ServerState, 200: link.ServerState,
	} {
		if r := link.Classify(status, []byte("words")); r.Class != want || r.HTTPStatus != status || r.Message != "words" {
			t.Errorf("%d: %+v", status, r)
		}
	}
	if r := link.Classify(204, nil); r != nil {
		t.Errorf("204: %v", r)
	}
	if r := link.Classify(204, []byte("x")); r == nil {
		t.Error("204 with a body is an ack")
	}
}

func TestLineNumbersThatMakeNoSenseAreUnknown(t *testing.T) {
	for _, line := range []string{"-1", "99999999999999999999", "1.5", "1e3", "null"} {
		body := strings.Replace(refusal400, `"line":2`, `"line":`+line, 1)
		if r := link.Classify(400, []byte(body)); r.Line != 0 || r.Class != link.RowFault {
			t.Errorf("%s: %+v", line, r)
		}
	}
}

func TestRetryAfterIsReadInBothFormsAndBounded(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"": 0, "7": 7 * time.Second, "-7": 0, "soon": 0, "999999": time.Hour,
		"Mon, 02 Jan 2006 15:04:05 GMT": 0, "Fri, 31 Dec 2999 23:59:59 GMT": time.Hour,
	} {
		s := newServer(t)
		s.write = func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", text)
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		c := connect(t, newLink(t, ilpConfig(s.URL)))
		if r := exchange(t, c, frame(t, simpleRow("a", 1))).Refusal; r == nil || r.RetryAfter != want {
			t.Errorf("%q: %+v", text, r)
		}
	}
}

// A box whose clock stopped at 1970 or runs an hour ahead waits as long as the
// server meant.
func TestRetryAfterGoesByTheServersClock(t *testing.T) {
	for date, want := range map[string]time.Duration{
		"Sat, 01 Jan 2000 00:00:00 GMT": 40 * time.Second, "Fri, 31 Dec 1999 23:59:30 GMT": 70 * time.Second,
		"Sat, 01 Jan 2000 00:01:00 GMT": 0,
	} {
		s := newServer(t)
		s.write = func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Date", date)
			w.Header().Set("Retry-After", "Sat, 01 Jan 2000 00:00:40 GMT")
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		c := connect(t, newLink(t, ilpConfig(s.URL)))
		if r := exchange(t, c, frame(t, simpleRow("a", 1))).Refusal; r == nil || r.RetryAfter != want {
			t.Errorf("Date %q: %+v, want %s", date, r, want)
		}
	}
}

// TestErrorsNameTheHostAndTheReason keeps every text of this package in one
// place for the eye.
func TestErrorsNameTheHostAndTheReason(t *testing.T) {
	const host = "h:9000"
	broken := errors.New("broken")
	for _, err := range []error{
		&link.LostError{Host: host, Err: broken},
		&link.ProtocolError{Host: host, Err: broken},
		&link.ConnectError{Host: host, Err: broken},
		&link.ClosedError{Host: host, Code: 1009, Text: "broken"},
		&link.NotQuestDBError{Host: host, Status: 200, Excerpt: "broken"},
		&link.RoleError{Host: host, Role: "broken"},
		&link.Refusal{Host: host, Status: qwp.StatusWriteError, Class: link.ServerState, Message: "broken"},
		&link.Refusal{Host: host, HTTPStatus: 503, Class: link.ServerState, Message: "broken"},
		&link.RoundError{Errs: []error{&link.ConnectError{Host: host, Err: broken}}},
	} {
		if text := err.Error(); !strings.Contains(text, host) || !strings.Contains(text, "broken") {
			t.Errorf("%T: %s", err, text)
		}
	}
	dial := &net.OpError{Op: "dial", Net: "tcp", Addr: &net.TCPAddr{IP: net.IPv4(10, 0, 0, 5), Port: 9000}, Err: broken}
	for at, want := range map[string]string{
		"10.0.0.5:9000": "connect to 10.0.0.5:9000: broken", "questdb:9000": "connect to questdb:9000: dial tcp 10.0.0.5:9000: broken",
	} {
		if text := (&link.ConnectError{Host: at, Err: dial}).Error(); text != want {
			t.Errorf("%q, want %q", text, want)
		}
	}
	for want, r := range map[string]*link.Refusal{
		"refused the credentials (HTTP 401": {HTTPStatus: 401}, "refused the rows (HTTP 403": {HTTPStatus: 403},
		"refused the rows (HTTP 400": {HTTPStatus: 400},
	} {
		if text := r.Error(); !strings.Contains(text, want) {
			t.Errorf("%q does not say %q", text, want)
		}
	}
	if err := (&link.LostError{Host: host, Err: broken}); !errors.Is(err, broken) {
		t.Error("LostError hides its reason")
	}
	timeout := &link.TimeoutError{Host: host, What: "answer", After: time.Second}
	var timed net.Error
	if !errors.As(&link.LostError{Host: host, Err: timeout}, &timed) || !timed.Timeout() {
		t.Error("TimeoutError is no timeout to package net")
	}
}

func FuzzAnswerToAWrite(f *testing.F) {
	f.Add(400, []byte(refusal400))
	f.Add(400, answer400("table: t, column: "))
	f.Add(400, []byte(`{"code":"invalid","message":"\u0000","line":"7","errorId":"x"}`))
	f.Add(500, []byte("<html>"))
	f.Add(204, []byte{})
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		r := link.Classify(status, body)
		if r == nil {
			if status != 204 || len(body) != 0 {
				t.Fatalf("ack for %d %q", status, body)
			}
			return
		}
		if r.Class < link.RowFault || r.Class > link.Unclear || r.Line < 0 {
			t.Fatalf("%+v", r)
		}
		if r.Class == link.RowFault && status != 400 {
			t.Fatalf("rows are blamed for a %d", status)
		}
		text := r.Error()
		if len(r.Message) > 410 || !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl) {
			t.Fatalf("message %q", text)
		}
	})
}
