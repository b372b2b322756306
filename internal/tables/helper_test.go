// SPDX-License-Identifier: MIT

package tables_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/questdb-sf/questdb_sf/internal/sqlhttp"
	"github.com/questdb-sf/questdb_sf/internal/tables"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// column is a row of table_columns().
type column struct {
	name, kind      string
	designated, key bool
}

// fake is a QuestDB of one host or more that keeps columns only.
type fake struct {
	mu         sync.Mutex
	tables     map[string][]column // by host/table
	questions  int
	surveys    int
	states     map[string][]any // rows of tables(), by host/table
	stopped    []any            // what wal_tables() says
	parameters map[string]string
	broken     bool // those are refused
	statements []string
	down       error                           // what is said to everything
	before     func(host, sql string) error    // before a statement; an error refuses it
	after      func(host string)               // after one that was run
	wait       func(ctx context.Context) error // before a question
}

func newFake() *fake { return &fake{tables: map[string][]column{}} }

// The shapes that tables have in tests.
var (
	plain  = []column{{"host", "SYMBOL", false, false}, {"timestamp", "TIMESTAMP", true, false}}
	keyed  = []column{{"timestamp", "TIMESTAMP", true, true}, {"sf_row_id", "LONG", false, true}}
	others = []column{{"timestamp", "TIMESTAMP", true, true}, {"host", "SYMBOL", false, true}}
)

func (f *fake) set(name string, columns []column) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if columns == nil {
		delete(f.tables, name)
		return
	}
	f.tables[name] = columns
}

func (f *fake) silence(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.down = err
}

func (f *fake) asked() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.questions
}

func (f *fake) ran() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return strings.Join(f.statements, "; ")
}

func (f *fake) Exec(ctx context.Context, host, sql string) (*sqlhttp.Result, error) {
	if f.wait != nil {
		if err := f.wait(ctx); err != nil {
			return nil, err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if m := questionText.FindStringSubmatch(sql); m != nil {
		f.questions++
		if f.down != nil {
			return nil, f.down
		}
		return f.describe(host, strings.ReplaceAll(m[1], "''", "'"))
	}
	if f.down != nil {
		return nil, f.down
	}
	if r, aside, err := f.asides(host, sql); aside {
		return r, err
	}
	f.statements = append(f.statements, sql)
	if f.before != nil {
		if err := f.before(host, sql); err != nil {
			return nil, err
		}
	}
	err := f.change(host, sql)
	if f.after != nil {
		f.after(host)
	}
	return &sqlhttp.Result{}, err
}

var (
	questionText = regexp.MustCompile(`(?s)FROM table_columns\('(.*)'\) WHERE`)
	createText   = regexp.MustCompile(`^CREATE TABLE IF NOT EXISTS "(.*?)" \("(.*?)" (TIMESTAMP(?:_NS)?)(, "sf_row_id" LONG)?\) TIMESTAMP`)
	addText      = regexp.MustCompile(`^ALTER TABLE "(.*?)" ADD COLUMN IF NOT EXISTS "sf_row_id" LONG$`)
	enableText   = regexp.MustCompile(`^ALTER TABLE "(.*?)" DEDUP ENABLE UPSERT KEYS\("(.*?)", "sf_row_id"\)$`)
)

func refusal(format string, args ...any) error {
	return &sqlhttp.Error{Host: "db:9000", Status: 400, Message: fmt.Sprintf(format, args...), QuestDB: true}
}

func (f *fake) describe(host, table string) (*sqlhttp.Result, error) {
	columns, ok := f.tables[host+"/"+table]
	if !ok {
		return nil, refusal("table does not exist [table=%s]", table)
	}
	r := &sqlhttp.Result{Columns: make([]sqlhttp.Column, 4)}
	for _, c := range columns {
		if c.designated || c.key || strings.EqualFold(c.name, "sf_row_id") {
			r.Rows = append(r.Rows, []any{c.name, c.kind, c.designated, c.key})
		}
	}
	return r, nil
}

func (f *fake) change(host, sql string) error {
	if m := createText.FindStringSubmatch(sql); m != nil {
		if _, ok := f.tables[host+"/"+m[1]]; !ok {
			columns := []column{{m[2], m[3], true, m[4] != ""}, {"sf_row_id", "LONG", false, true}}
			if m[4] == "" {
				columns = columns[:1]
			}
			f.tables[host+"/"+m[1]] = columns
		}
		return nil
	}
	if m := addText.FindStringSubmatch(sql); m != nil {
		f.tables[host+"/"+m[1]] = append(f.tables[host+"/"+m[1]][:len(f.tables[host+"/"+m[1]]):len(f.tables[host+"/"+m[1]])], column{"sf_row_id", "LONG", false, false})
		return nil
	}
	if m := enableText.FindStringSubmatch(sql); m != nil {
		for i := range f.tables[host+"/"+m[1]] {
			c := &f.tables[host+"/"+m[1]][i]
			c.key = c.name == m[2] || c.name == "sf_row_id"
		}
		return nil
	}
	return refusal("unexpected token")
}

// bed is a Keeper over a fake, with its log.
type bed struct {
	testing.TB
	*fake
	k   *tables.Keeper
	log bytes.Buffer
}

func newBed(tb testing.TB, c tables.Config) *bed {
	tb.Helper()
	b := &bed{TB: tb, fake: newFake()}
	c.SQL, c.Log = b.fake, slog.New(slog.NewTextHandler(&b.log, nil))
	k, err := tables.New(c)
	if err != nil {
		tb.Fatal(err)
	}
	b.k = k
	return b
}

// on asks for a table of db:9000 on a connection made at since.
func (b *bed) on(since time.Time, table string) string {
	return said(b.k.Ready(context.Background(), "db:9000", table, since))
}

// ready asks on a connection as old as the test.
func (b *bed) ready(table string) string { return b.on(time.Time{}, table) }

// said puts an answer into a word: id, plain, or why the rows wait.
func said(a tables.Answer, err error) string {
	var hold *tables.HoldError
	switch {
	case errors.As(err, &hold):
		return "hold: " + hold.Reason
	case err != nil:
		return "error: " + err.Error()
	case a.RowID:
		return "id"
	}
	return "plain"
}

func (b *bed) want(got, want string) {
	b.Helper()
	if (want == "hold" || want == "error") && strings.HasPrefix(got, want+": ") {
		return
	}
	if got != want {
		b.Errorf("%s, want %s", got, want)
	}
}

// lines returns the number of lines that were logged with a text.
func (b *bed) lines(text string) int {
	n := 0
	for line := range strings.Lines(b.log.String()) {
		if strings.Contains(line, text) {
			n++
		}
	}
	return n
}
