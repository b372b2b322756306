// SPDX-License-Identifier: MIT

package sqlhttp_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"

	"github.com/questdb-sf/questdb_sf/internal/link"
	"github.com/questdb-sf/questdb_sf/internal/sqlhttp"
)

// canned is a host that answers the same to everything.
type canned struct {
	answer link.Answer
	err    error
	host   string
	path   string
}

func (c *canned) Get(_ context.Context, host, path string) (link.Answer, error) {
	c.host, c.path = host, path
	return c.answer, c.err
}

func exec(t *testing.T, status int, body string) (*sqlhttp.Result, error) {
	return sqlhttp.New(&canned{answer: link.Answer{Status: status, Body: []byte(body)}}).Exec(t.Context(), "db:9000", "select 1")
}

func TestExecReadsRowsAndNothing(t *testing.T) {
	r, err := exec(t, 200, `{"query":"x","columns":[{"name":"a","type":"LONG"},{"name":"b","type":"STRING"},{"name":"c","type":"BOOLEAN"}],"timestamp":-1,"dataset":[[9007199254740993,"x",true],[null,null,false]],"count":2}`)
	want := [][]any{{json.Number("9007199254740993"), "x", true}, {nil, nil, false}}
	if err != nil || !reflect.DeepEqual(r.Rows, want) || r.Columns[1] != (sqlhttp.Column{Name: "b", Type: "STRING"}) {
		t.Errorf("%+v, error %v", r, err)
	}
	r, err = exec(t, 200, `{"query":"x","columns":[{"name":"a","type":"LONG"}],"timestamp":-1,"dataset":[],"count":0}`)
	if err != nil || len(r.Rows) != 0 || len(r.Columns) != 1 {
		t.Errorf("no rows: %+v, error %v", r, err)
	}
	for _, body := range []string{`{"ddl":"OK"}`, `{"dml":"OK"}`} {
		if r, err := exec(t, 200, body); err != nil || len(r.Rows) != 0 {
			t.Errorf("%s: %+v, error %v", body, r, err)
		}
	}
}

func TestExecSendsTheStatementAsItIs(t *testing.T) {
	c := &canned{answer: link.Answer{Status: 200, Body: []byte(`{"ddl":"OK"}`)}}
	sql := `select '%20+&=#;' , "ü"` + "\n"
	if _, err := sqlhttp.New(c).Exec(t.Context(), "db:9000", sql); err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(c.path)
	if err != nil || c.host != "db:9000" || u.Path != "/exec" || u.Query().Get("query") != sql || len(u.Query()) != 1 {
		t.Errorf("asked %s for %s, error %v", c.host, c.path, err)
	}
}

func TestWhatIsNotQuestDBsIsAnErrorAndNeverAnEmptyResult(t *testing.T) {
	for _, body := range []string{
		"", "<html>Please log in</html>", "null", "[]", "{}", `"OK"`, `{"columns":[]}`,
		`{"columns":[{"name":"a","type":"LONG"}]}`, `{"dataset":[]}`, `{"columns":[],"dataset":[]}`,
		`{"columns":[{"name":"a","type":"LONG"}],"dataset":[[1,2]]}`,
		`{"columns":[{"name":"a","type":"LONG"}],"dataset":null}`,
		`{"ddl":"OK"} and more`, `{"ddl":"OK"}{"ddl":"OK"}`, `{"columns":[{"name":"a"`,
	} {
		r, err := exec(t, 200, body)
		var said *sqlhttp.Error
		if !errors.As(err, &said) || said.QuestDB || said.Definite() || r != nil {
			t.Errorf("%q: result %+v, error %v", body, r, err)
		}
	}
	if _, err := exec(t, 503, `{"ddl":"OK"}`); err == nil {
		t.Error("a 503 counts as success")
	}
}

func TestErrorTellsDefiniteFromPassing(t *testing.T) {
	for _, c := range []struct {
		status            int
		body              string
		definite, noTable bool
		text              string
	}{
		{400, `{"query":"x","error":"table does not exist [table=nope]","position":14}`, false, true, "table does not exist [table=nope]"},
		{400, `{"query":"x","error":"unexpected\n token","position":1}`, false, false, "unexpected token"},
		{200, `{"error":"empty query","query":"","position":"0"}`, false, false, "empty query"},
		{403, `{"query":"x","error":"Access denied","position":0}`, true, false, "Access denied"},
		{400, `{"query":"x","error":"Could not create table, Write permission denied","position":27}`, true, false, "permission denied"},
		{404, "<html>table does not exist</html>", true, false, "HTTP 404"},
		{405, "", true, false, "HTTP 405"},
		{500, "oops", false, false, "HTTP 500"},
		{503, "", false, false, "HTTP 503"},
		{302, "", false, false, "HTTP 302"},
		{421, `{"code":"x"}`, false, false, "HTTP 421"},
	} {
		_, err := exec(t, c.status, c.body)
		var said *sqlhttp.Error
		if !errors.As(err, &said) {
			t.Errorf("%d %s: %v", c.status, c.body, err)
			continue
		}
		if said.Definite() != c.definite || said.NoTable() != c.noTable || said.Status != c.status ||
			!strings.Contains(err.Error(), c.text) || !strings.Contains(err.Error(), "db:9000") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%d %s: definite %v, no table %v, %q", c.status, c.body, said.Definite(), said.NoTable(), err)
		}
	}
}

func TestWrongCredentialsAreNoAnswerAboutSQL(t *testing.T) {
	_, err := exec(t, http.StatusUnauthorized, "Unauthorized")
	var refused *link.AuthError
	if !errors.As(err, &refused) || errors.As(err, new(*sqlhttp.Error)) || !strings.Contains(err.Error(), "db:9000") {
		t.Error(err)
	}
}

func TestTroubleOnTheWayIsReturnedAsItIs(t *testing.T) {
	lost := &link.ConnectError{Host: "db:9000", Err: errors.New("refused")}
	_, err := sqlhttp.New(&canned{err: lost}).Exec(t.Context(), "db:9000", "select 1")
	if !errors.Is(err, lost) {
		t.Error(err)
	}
}

func TestQuotedNamesAndTextsEndWhereTheyEnd(t *testing.T) {
	for name, want := range map[string]string{`cpu`: `"cpu"`, `a b`: `"a b"`, `a"; drop`: `"a""; drop"`, ``: `""`} {
		if got := sqlhttp.Quote(name); got != want {
			t.Errorf("%s became %s", name, got)
		}
	}
	for text, want := range map[string]string{`cpu`: `'cpu'`, `it's`: `'it''s'`, `\`: `'\'`} {
		if got := sqlhttp.Literal(text); got != want {
			t.Errorf("%s became %s", text, got)
		}
	}
}

func FuzzExec(f *testing.F) {
	f.Add(200, []byte(`{"ddl":"OK"}`))
	f.Add(400, []byte(`{"error":"x","position":"1"}`))
	f.Add(200, []byte(`{"columns":[{"name":"a"}],"dataset":[[{}]]}`))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		c := &canned{answer: link.Answer{Status: status, Body: body}}
		r, err := sqlhttp.New(c).Exec(t.Context(), "db:9000", "select 1")
		if (r == nil) == (err == nil) {
			t.Fatalf("result %+v and error %v", r, err)
		}
		if err != nil && strings.ContainsAny(err.Error(), "\n\r") {
			t.Fatalf("error of several lines: %q", err)
		}
		if r != nil {
			for _, row := range r.Rows {
				if len(row) != len(r.Columns) {
					t.Fatalf("row of %d values in %d columns", len(row), len(r.Columns))
				}
			}
		}
	})
}
