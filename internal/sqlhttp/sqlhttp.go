// SPDX-License-Identifier: MIT

// Package sqlhttp runs SQL statements over QuestDB's HTTP endpoint /exec and reads
// its JSON (probed on 9.3.4). It keeps nothing between two statements.
package sqlhttp

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/url"

	"github.com/questdb-sf/questdb_sf/internal/link"
)

// Getter asks one endpoint for a path; *link.Link is one.
type Getter interface {
	Get(ctx context.Context, host, path string) (link.Answer, error)
}

// Client runs statements. It is safe for concurrent use if its Getter is.
type Client struct{ g Getter }

// New returns a Client that asks through g.
func New(g Getter) *Client { return &Client{g: g} }

// Column is a column of a Result. Type is as QuestDB names it, such as LONG.
type Column struct {
	Name string `json:"name"`
	Type string `json:"type"`
}

// Result is what a statement returned. One that only changes something, such as
// CREATE TABLE, returns neither columns nor rows.
type Result struct {
	Columns []Column
	// Rows hold as many values as there are columns: nil, bool, string, json.Number,
	// or []any for an array.
	Rows [][]any
}

// Exec runs one statement on the endpoint called host. A refusal, and an answer
// that does not prove to be QuestDB's, is an *Error; wrong credentials are a
// *link.AuthError, as for rows; trouble on the way is the Getter's error. It may
// have run although the answer did not arrive.
func (c *Client) Exec(ctx context.Context, host, sql string) (*Result, error) {
	a, err := c.g.Get(ctx, host, "/exec?query="+url.QueryEscape(sql))
	if err != nil {
		return nil, err
	}
	if a.Status == http.StatusUnauthorized {
		return nil, &link.AuthError{Host: host, Status: a.Status}
	}
	r, fault := parse(a)
	if fault != nil {
		fault.Host = host
		return nil, fault
	}
	return r, nil
}

// reply is the JSON of /exec. A failure has error, a statement without rows has ddl
// or dml, a query has columns and dataset.
type reply struct {
	Error    *string     `json:"error"`
	Position json.Number `json:"position"` // 9.3.4 writes it as a text now and then
	DDL      string      `json:"ddl"`
	DML      string      `json:"dml"`
	Columns  []Column    `json:"columns"`
	Dataset  *[][]any    `json:"dataset"`
}

// parse accepts nothing but what QuestDB says: a portal's page must never be taken
// for an empty result.
func parse(a link.Answer) (*Result, *Error) {
	var r reply
	d := json.NewDecoder(bytes.NewReader(a.Body))
	d.UseNumber()
	err := d.Decode(&r)
	switch {
	case err != nil || d.More():
		return nil, stranger(a)
	case r.Error != nil:
		position, _ := r.Position.Int64()
		return nil, &Error{Status: a.Status, Message: link.OneLine(*r.Error, maxMessage), Position: int(position), QuestDB: true}
	case a.Status != http.StatusOK:
		return nil, stranger(a)
	case r.Dataset != nil && len(r.Columns) > 0 && rectangular(*r.Dataset, len(r.Columns)):
		return &Result{r.Columns, *r.Dataset}, nil
	case r.DDL != "" || r.DML != "":
		return &Result{}, nil
	}
	return nil, stranger(a)
}

func rectangular(rows [][]any, width int) bool {
	for _, row := range rows {
		if len(row) != width {
			return false
		}
	}
	return true
}
