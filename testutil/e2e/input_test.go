// SPDX-License-Identifier: MIT

package e2e

import (
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/questdb-sf/questdb_sf/testutil/execd"
	"github.com/questdb-sf/questdb_sf/testutil/gen"
	"github.com/questdb-sf/questdb_sf/testutil/questdb"
	"github.com/questdb-sf/questdb_sf/testutil/qwpserver"
)

func TestOddButLegalInputArrivesInQuestDBWithItsValues(t *testing.T) {
	ctx := realParts(t)
	srv := startQuestDB(ctx, t, questdb.Options{})
	long := strings.Repeat("seventy kilobytes ", 4000)
	input := "odd,path=C:\\Users\\x id=1i,s=\"" + long + "\" 1700000000000000000\n" +
		"odd,path=a\\ b\\,c\\=d id=2i,s=\"two\nlines\tand \\\"quotes\\\" and a \\\\ backslash\" 1700000001000000000\n" +
		"odd,path=größe id=3i,timestamp=7i,s=\"\" 1700000002000000000\n" +
		"odd,path=x id=4i,timestamp=8i,cpu-usage.5m=0.5,s=\"ends in \\\\\" 1700000003000000000\n"
	p := runExecd(ctx, t, config(srv.HTTP(), t.TempDir(), stayUntilSent), []byte(input))
	if n := strings.Count(p.Log(), "from=timestamp to=timestamp_"); n != 1 {
		t.Errorf("the renamed field is said %d times:\n%s", n, p.Log())
	}
	check(t, srv.WaitApplied(ctx))
	res := must(srv.Query(ctx, "SELECT path, id, s, timestamp_ ts, cpu_usage_5m u FROM odd ORDER BY id"))(t)
	want := [][]any{
		{`C:\Users\x`, "1", long, nil, nil},
		{"a b,c=d", "2", "two\nlines\tand \"quotes\" and a \\ backslash", nil, nil},
		{"größe", "3", "", "7", nil},
		{"x", "4", `ends in \`, "8", "0.5"},
	}
	if len(res.Rows) != len(want) {
		t.Fatalf("%d rows, want %d", len(res.Rows), len(want))
	}
	for i, row := range res.Maps() {
		for j, col := range []string{"path", "id", "s", "ts", "u"} {
			if got := text(row[col]); got != text(want[i][j]) {
				t.Errorf("row %d %s: %.100q, want %.100q", i+1, col, got, text(want[i][j]))
			}
		}
	}
}

// text compares what JSON makes a number of with what was written.
func text(v any) string {
	switch v := v.(type) {
	case nil:
		return "<null>"
	case interface{ String() string }:
		return v.String()
	case string:
		return v
	}
	return "?"
}

func TestAPortalThatAnswersHTMLLosesNothing(t *testing.T) {
	ctx := realParts(t)
	addr := freeAddr(t)
	answers := map[string]http.HandlerFunc{
		"200 with a page": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			_, _ = w.Write([]byte("<html>please log in</html>"))
		},
		"redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://"+addr+"/login", http.StatusFound)
		},
	}
	for name, handler := range answers {
		t.Run(name, func(t *testing.T) {
			l := must(net.Listen("tcp", addr))(t)
			portal := &http.Server{Handler: handler}
			served := make(chan error, 1)
			go func() { served <- portal.Serve(l) }()

			set := gen.Set{Seed: 10}
			p := must(execd.Start(config("http://"+addr, t.TempDir(), stayUntilSent)))(t)
			defer p.Close()
			send(ctx, t, p, set, 0, 500)
			check(t, p.WaitLog(ctx, "like QuestDB"))
			check(t, portal.Close())
			<-served

			srv := startQWP(t, qwpserver.Options{Addr: addr})
			check(t, p.Finish(ctx))
			none(t, set.Check(readBackQWP(srv), 0, 500), 0)
			srv.Close()
		})
	}
}

func TestAnSfDirThatCannotBeUsedIsSaidOnceAndWaitedFor(t *testing.T) {
	ctx := realParts(t)
	srv := startQWP(t, qwpserver.Options{})
	notADir := writeFile(t, "a file")
	dir := filepath.Join(notADir, "sf")
	p := must(execd.Start(config(srv.URL(), dir, stayUntilSent, `sf_unavailable = "wait"`)))(t)
	defer p.Close()
	set := gen.Set{Seed: 11}
	_, err := p.Stdin.Write(set.Lines(0, 100))
	check(t, err)
	check(t, p.WaitLog(ctx, "the store cannot be opened yet"))
	if !strings.Contains(p.Log(), dir) {
		t.Errorf("the directory is not named:\n%s", p.Log())
	}
	check(t, os.Remove(notADir))
	check(t, p.WaitDurable(ctx, 100))
	check(t, p.Finish(ctx))
	if n := strings.Count(p.Log(), "cannot be opened"); n != 1 {
		t.Errorf("said %d times:\n%s", n, p.Log())
	}
	none(t, set.Check(readBackQWP(srv), 0, 100), 0)
}

func TestAnSfDirThatCannotBeUsedIsSaidOnceAndRowsGoOnFromRAM(t *testing.T) {
	ctx := realParts(t)
	srv := startQWP(t, qwpserver.Options{})
	dir := filepath.Join(writeFile(t, "a file"), "sf")
	p := must(execd.Start(config(srv.URL(), dir, stayUntilSent)))(t)
	defer p.Close()
	set := gen.Set{Seed: 14}
	_, err := p.Stdin.Write(set.Lines(0, 100))
	check(t, err)
	check(t, p.WaitLog(ctx, "rows are kept in RAM"))
	check(t, p.Finish(ctx))
	if n := strings.Count(p.Log(), dir); n == 0 || strings.Count(p.Log(), "rows are kept in RAM") != 1 {
		t.Errorf("the directory is named %d times:\n%s", n, p.Log())
	}
	none(t, set.Check(readBackQWP(srv), 0, 100), 0)
}
