// SPDX-License-Identifier: MIT

package link

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/questdb-sf/questdb_sf/internal/qwp"
)

// Class says whose fault a refusal is (DESIGN.md 12). Zero is no class.
type Class uint8

// The classes.
const (
	// RowFault: a row as it stands will never be taken.
	RowFault Class = iota + 1
	// ServerState: the server, its operator or something in between has to
	// change first; the rows are good.
	ServerState
	// Unclear: the server does not say enough to blame a row.
	Unclear
)

var classNames = [...]string{RowFault: "row's fault", ServerState: "server's state", Unclear: "unclear"}

// String returns the class in words.
func (c Class) String() string {
	if c >= RowFault && int(c) < len(classNames) {
		return classNames[c]
	}
	return fmt.Sprintf("class %d", uint8(c))
}

// Refusal is the answer of a server that did not take a request. It is an error.
// Over QWP Status is set, over ILP HTTPStatus.
type Refusal struct {
	Host       string
	Status     qwp.Status
	HTTPStatus int
	Class      Class
	Message    string // the server's words on one line
	Line       int    // ILP: the first bad line of the request, from 1; 0 unknown
	Column     string // ILP: the column it names
	RetryAfter time.Duration

	foreign *NotQuestDBError
	role    string // what a host that takes no writes calls itself
}

func (r *Refusal) Error() string {
	if r.foreign != nil {
		return r.foreign.Error()
	}
	status := "HTTP " + strconv.Itoa(r.HTTPStatus)
	if r.HTTPStatus == 0 {
		status = r.Status.String()
	}
	what := "the rows"
	if r.HTTPStatus == http.StatusUnauthorized {
		what = "the credentials"
	}
	return fmt.Sprintf("%s refused %s (%s, %v): %s", r.Host, what, status, r.Class, r.Message)
}

// Unwrap returns a *NotQuestDBError when the answer does not prove to be
// QuestDB's.
func (r *Refusal) Unwrap() error {
	if r.foreign == nil {
		return nil
	}
	return r.foreign
}

// classifyQWP is the verdict on a status byte of a QWP error response.
func classifyQWP(s qwp.Status) Class {
	switch s {
	case qwp.StatusSchemaMismatch:
		return RowFault // a type clash is the same at every attempt
	case qwp.StatusInternalError, qwp.StatusWriteError:
		return ServerState // disk, suspended table, auto-create off
	case qwp.StatusSecurityError:
		return ServerState // a grant is the operator's business
	case qwp.StatusNotWritable:
		return ServerState // a replica, or a primary on its way down
	case qwp.StatusDictionaryGap:
		return ServerState // heals on a new connection, whose dictionary is empty
	case qwp.StatusParseError:
		return Unclear // bad bytes of ours, or a limit of the server's
	}
	return Unclear // a status that this version does not know
}

// The limits of what is quoted, in bytes.
const (
	maxMessage = 400
	maxExcerpt = 100
	maxWait    = time.Hour
)

// classifyHTTP turns the answer to a write into a refusal, nil for an ack.
func classifyHTTP(host string, status int, h http.Header, coded bool, body []byte) *Refusal {
	if proves204(status, h, coded, body) {
		return nil
	}
	r := &Refusal{Host: host, HTTPStatus: status, RetryAfter: retryAfter(h), role: h.Get("X-QuestDB-Role")}
	answer, ok := parseAnswer(body)
	if ok {
		r.Message, r.Line = OneLine(answer.Message, maxMessage), answer.line()
	} else {
		r.Message = OneLine(string(body[:min(len(body), 4*maxMessage)]), maxExcerpt)
	}
	r.Class = classifyStatus(r, answer, ok)
	return r
}

// proves204: success of a write is exactly 204 with nothing in it (DESIGN.md
// 14). Go drops the body of a 204, but not the headers that announce one.
func proves204(status int, h http.Header, coded bool, body []byte) bool {
	length := h.Get("Content-Length")
	return status == http.StatusNoContent && len(body) == 0 && !coded && (length == "" || length == "0")
}

func classifyStatus(r *Refusal, a answer, questdb bool) Class {
	switch {
	case r.HTTPStatus == http.StatusRequestEntityTooLarge:
		return Unclear // one huge row, or a limit of a proxy: smaller requests tell
	case r.HTTPStatus == http.StatusUnauthorized, r.HTTPStatus == http.StatusForbidden,
		r.HTTPStatus == http.StatusMisdirectedRequest, r.HTTPStatus == http.StatusTooManyRequests,
		r.HTTPStatus == http.StatusUnsupportedMediaType, r.HTTPStatus >= 500:
		return ServerState // credentials, role, load, configuration, trouble
	case r.HTTPStatus == http.StatusBadRequest && questdb:
		class, column := classify400(a.Message)
		r.Column = column
		return class
	}
	// Any other 2xx, a redirect, a portal's page, a 404 of something in between.
	r.foreign = &NotQuestDBError{Host: r.Host, Status: r.HTTPStatus, Excerpt: r.Message}
	return ServerState
}

// refusalText is a text of a 400 and what it means. The column stands between
// before and after; an empty after means to the end of the line.
type refusalText struct {
	text          string
	class         Class
	before, after string
}

// refusalTexts holds the texts of QuestDB 9.3.4 (probed, and read from the
// strings of LineHttpProcessorState, LineHttpTudCache, LineWalAppender and
// LineProtocolException). The first that occurs decides; texts that quote values
// come first, so that no value can be taken for a text.
var refusalTexts = []refusalText{
	// The value does not fit the column, or the line cannot be read.
	{"field value is invalid. Field: ", RowFault, "Field: ", "; value: "},
	{"tag value is invalid. Tag: ", RowFault, "Tag: ", "; value: "},
	{"Could not parse timestamp: ", RowFault, "", ""},
	{"Could not parse entire line", RowFault, "", ""},
	{"; cast error from protocol type: ", RowFault, ", column: ", "; cast error"},
	{" is out bounds of column type: ", RowFault, ", column: ", "; line protocol value"},
	{"; value error: ", RowFault, ", column: ", "; value error"},
	{"; invalid column name: ", RowFault, "; invalid column name: ", ""},
	{"decimal columns cannot be created automatically", RowFault, ", columnName=", "]"},
	// The row as such.
	{"invalid table name", RowFault, "", ""},
	{"designated timestamp before 1970", RowFault, "", ""},
	{"designated timestamp overflow", RowFault, "", ""},
	{"long overflow, timestamp: ", RowFault, "", ""},
	{"No fields were provided", RowFault, "", ""},
	// An operator can mend these; the rows are good.
	{"creating new columns is disabled", ServerState, ", column: ", " does not exist"},
	{"creating new tables is disabled", ServerState, "", ""},
	{"cannot insert in non-WAL table", ServerState, "", ""},
	{"cannot modify view", ServerState, "", ""},
	{"cannot modify materialized view", ServerState, "", ""},
	{"unsupported precision", ServerState, "", ""},
	{"gzip decompression", ServerState, "", ""},
	{"failed to initialise gzip", ServerState, "", ""},
	{"retry the operation", ServerState, "", ""},
	// A text of another version that still names the column.
	{", column: ", RowFault, ", column: ", ";"},
}

// classify400 reads the message of a 400. Texts that no table entry knows blame
// nobody.
func classify400(message string) (Class, string) {
	for i := range refusalTexts {
		t := &refusalTexts[i]
		if strings.Contains(message, t.text) {
			return t.class, t.column(message)
		}
	}
	return Unclear, ""
}

func (t *refusalText) column(message string) string {
	if t.before == "" {
		return ""
	}
	_, rest, found := strings.Cut(message, t.before)
	if !found {
		return ""
	}
	end := t.after
	if end == "" {
		end = "\n"
	}
	name, _, _ := strings.Cut(rest, end)
	return name
}

// answer is the JSON that QuestDB gives with a refused write.
type answer struct {
	Code    string      `json:"code"`
	Message string      `json:"message"`
	Line    json.Number `json:"line"`
	ErrorID string      `json:"errorId"`
}

// parseAnswer accepts what has QuestDB's shape: code and errorId beside the
// message.
func parseAnswer(body []byte) (answer, bool) {
	var a answer
	if json.Unmarshal(body, &a) != nil || a.Code == "" || a.ErrorID == "" {
		return answer{}, false
	}
	return a, true
}

func (a *answer) line() int {
	n, err := strconv.ParseInt(a.Line.String(), 10, 32)
	if err != nil || n < 0 {
		return 0
	}
	return int(n)
}

// retryAfter is for how long a host asks to be left alone; where there are others, they
// are asked meanwhile.
func (l *Link) retryAfter(h http.Header) time.Duration {
	if len(l.hosts) > 1 {
		return 0
	}
	return retryAfter(h)
}

// retryAfter reads both forms of the header (RFC 9110 §10.2.3). A date is the
// server's, and so is the clock that it is taken from: Date, where that is there.
func retryAfter(h http.Header) time.Duration {
	text := h.Get("Retry-After")
	if text == "" {
		return 0
	}
	var wait time.Duration
	if seconds, err := strconv.ParseUint(text, 10, 31); err == nil {
		wait = time.Duration(seconds) * time.Second
	} else if at, err := http.ParseTime(text); err == nil {
		now, err := http.ParseTime(h.Get("Date"))
		if err != nil {
			now = time.Now()
		}
		wait = at.Sub(now)
	}
	return min(max(wait, 0), maxWait)
}

// OneLine makes what a server said printable, on one line of at most limit bytes.
func OneLine(s string, limit int) string {
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
	s = strings.Join(strings.Fields(s), " ")
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit] + "…"
}
