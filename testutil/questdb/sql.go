// SPDX-License-Identifier: MIT

package questdb

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

// Column is a column of a result.
type Column struct {
	Name string `json:"name"`
	Type string `json:"type"` // as QuestDB names it: LONG, DOUBLE, SYMBOL …
}

// Result is what a query returned. A statement without rows has neither.
type Result struct {
	Columns []Column `json:"columns"`
	// Rows holds nil, bool, string or json.Number; timestamps are strings in
	// RFC 3339 with the digits of their precision.
	Rows [][]any `json:"dataset"`
}

// SQLError is the server's refusal of a statement.
type SQLError struct {
	Status   int // of HTTP
	SQL      string
	Position int
	Message  string
}

func (e *SQLError) Error() string {
	return fmt.Sprintf("questdb: status %d, %s at %d: %s", e.Status, e.Message, e.Position, e.SQL)
}

// Query runs one statement over /exec. A refusal is a *[SQLError].
func (s *Server) Query(ctx context.Context, sql string) (*Result, error) {
	u := s.HTTP() + "/exec?query=" + url.QueryEscape(sql)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u, nil)
	if err != nil {
		return nil, err
	}
	if user := s.opts.Settings["http.user"]; user != "" {
		req.SetBasicAuth(user, s.opts.Settings["http.password"])
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("questdb: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	return parseResult(sql, resp)
}

func parseResult(sql string, resp *http.Response) (*Result, error) {
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("questdb: read answer to %q: %w", sql, err)
	}
	var answer struct {
		Result
		Error    string `json:"error"`
		Position int    `json:"position"`
	}
	d := json.NewDecoder(strings.NewReader(string(body)))
	d.UseNumber()
	if err := d.Decode(&answer); err != nil {
		return nil, &SQLError{Status: resp.StatusCode, SQL: sql, Message: string(body)}
	}
	if resp.StatusCode != http.StatusOK || answer.Error != "" {
		return nil, &SQLError{resp.StatusCode, sql, answer.Position, answer.Error}
	}
	return &answer.Result, nil
}

// Rows reads a whole table in the order of its timestamp.
func (s *Server) Rows(ctx context.Context, table string) (*Result, error) {
	return s.Query(ctx, "select * from "+Quote(table))
}

// Quote makes an identifier of SQL of a name.
func Quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// Maps returns the rows by column name, without the nulls.
func (r *Result) Maps() []map[string]any {
	rows := make([]map[string]any, len(r.Rows))
	for i, row := range r.Rows {
		rows[i] = make(map[string]any, len(row))
		for j, v := range row {
			if v != nil {
				rows[i][r.Columns[j].Name] = v
			}
		}
	}
	return rows
}

// ErrSuspended says that a table does not apply its log any more.
var ErrSuspended = errors.New("table is suspended")

// WaitApplied returns when every table has applied what was written to its log:
// only then do counts mean anything. A suspended table is [ErrSuspended].
func (s *Server) WaitApplied(ctx context.Context) error {
	for {
		behind, err := s.behind(ctx)
		if err != nil || behind == "" {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("questdb: %s: %w", behind, ctx.Err())
		case <-time.After(pollEvery):
		}
	}
}

// behind describes one table that has transactions to apply; empty if none has.
func (s *Server) behind(ctx context.Context) (string, error) {
	r, err := s.Query(ctx, "select name, suspended, writerTxn, sequencerTxn, errorMessage from wal_tables()")
	if err != nil {
		return "", err
	}
	behind := ""
	for _, row := range r.Rows {
		if suspended, _ := row[1].(bool); suspended {
			return "", fmt.Errorf("questdb: %v: %w: %v", row[0], ErrSuspended, row[4])
		}
		if row[2] != row[3] {
			behind = fmt.Sprintf("table %v has applied transaction %v of %v", row[0], row[2], row[3])
		}
	}
	return behind, nil
}

// logTail returns the end of the server's log, for errors.
func (s *Server) logTail() string {
	const most = 4 << 10
	f, err := os.Open(s.LogPath())
	if err != nil {
		return err.Error()
	}
	defer func() { _ = f.Close() }()
	if end, err := f.Seek(0, io.SeekEnd); err == nil {
		_, _ = f.Seek(max(0, end-most), io.SeekStart)
	}
	tail, _ := io.ReadAll(f)
	return "end of " + s.LogPath() + ":\n" + string(tail)
}
