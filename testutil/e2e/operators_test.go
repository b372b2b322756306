// SPDX-License-Identifier: MIT

package e2e

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/questdb-sf/questdb_sf/sfpool"
	"github.com/questdb-sf/questdb_sf/testutil/questdb"
)

// operatorsPage runs docs/operators.md.
type operatorsPage struct {
	*testing.T
	ctx context.Context
	srv *questdb.Server
	box *wire // a connection that is kept, as a box does
}

// statementsOf returns what stands in the blocks of SQL of a page, in order.
func statementsOf(page string) (list []string) {
	for _, block := range regexp.MustCompile("(?s)```sql\n(.*?)```").FindAllStringSubmatch(page, -1) {
		for _, sql := range strings.Split(block[1], ";\n") {
			if sql = strings.TrimSpace(sql); sql != "" {
				list = append(list, sql)
			}
		}
	}
	return list
}

// TestStatementsOfTheOperatorsPageRunAndDoWhatItSays runs all of them in their order;
// after some it looks at what they did.
func TestStatementsOfTheOperatorsPageRunAndDoWhatItSays(t *testing.T) {
	t.Parallel()
	ctx := realParts(t)
	srv := startQuestDB(ctx, t, questdb.Options{Settings: map[string]string{"dev.mode.enabled": "true"}})
	p := &operatorsPage{T: t, ctx: ctx, srv: srv, box: dialWire(t, srv)}
	p.before()
	after := map[string]func(){
		"CREATE MATERIALIZED VIEW cpu_1h": func() {
			p.write(`cpu,host=late usage=1 1795255200000000000`) // 21 November 2026
			p.seen("late", true)
		},
		"ALTER MATERIALIZED VIEW cpu_1h SET REFRESH LIMIT": func() {
			// The limit holds once it is seen, and a refresh takes what is applied by then.
			p.comes("the limit", "SELECT count() FROM materialized_views() WHERE refresh_limit > 0")
			p.write(`cpu,host=later usage=1 1795341600000000000`) // the 22nd
			p.comes("the row", "SELECT count() FROM cpu WHERE host = 'later'")
		},
		"REFRESH MATERIALIZED VIEW cpu_1h INCREMENTAL": func() { p.refreshed(); p.seen("later", false) },
		"REFRESH MATERIALIZED VIEW cpu_1h RANGE":       func() { p.seen("later", true) },
		"ALTER TABLE \"stopped\" RESUME WAL":           func() { p.has("stopped", 1) },
		"DROP TABLE \"old_dropped\"": func() {
			p.write("old v=1i", "old v=2i")
			p.has("old", 2)
		},
		"TRUNCATE TABLE": func() {
			p.write("old v=3i")
			p.has("old", 1)
			if n := number(ctx, t, srv, "SELECT count() FROM table_columns('old') WHERE upsertKey"); n != 2 {
				t.Errorf("%d keys are left", n)
			}
		},
	}
	list := statementsOf(string(must(os.ReadFile("../../docs/operators.md"))(t)))
	for _, sql := range list {
		exec(ctx, t, srv, sql)
		for begin, look := range after {
			if strings.HasPrefix(sql, begin) {
				look()
				delete(after, begin)
			}
		}
	}
	if len(list) < 30 || len(after) > 0 {
		t.Errorf("%d statements; never came: %d of those that are looked at", len(list), len(after))
	}
	p.dropped()
	p.full()
}

// before makes the tables that the page speaks of.
func (p *operatorsPage) before() {
	p.write(fmt.Sprintf("cpu,host=live usage=1 %d", time.Now().UnixNano()), "old v=0i", "stopped v=0i")
	check(p, p.srv.WaitApplied(p.ctx))
	exec(p.ctx, p, p.srv, `TRUNCATE TABLE stopped`)
	exec(p.ctx, p, p.srv, `ALTER TABLE stopped SUSPEND WAL WITH 28, 'no space left on device'`)
	p.write("stopped v=1i")
}

// write sends each line by itself, over the one connection.
func (p *operatorsPage) write(lines ...string) {
	p.Helper()
	for _, line := range lines {
		if status, text, err := p.box.write(line); err != nil || status != http.StatusNoContent {
			p.Fatalf("%s: %d %s, %v", line, status, text, err)
		}
	}
}

// has waits until a table has n rows.
func (p *operatorsPage) has(table string, n int) {
	p.Helper()
	if got := count(p.ctx, p, p.srv, table); got != n {
		p.Errorf("table %s has %d rows, want %d", table, got, n)
	}
}

func (p *operatorsPage) inView(host string) bool {
	return number(p.ctx, p, p.srv, "SELECT count() FROM cpu_1h WHERE host = '"+host+"'") > 0
}

// seen waits until the view has the rows of a host, or finds that it has not.
func (p *operatorsPage) seen(host string, want bool) {
	p.Helper()
	if !want {
		if p.inView(host) {
			p.Errorf("the view has what its refresh limit leaves out")
		}
		return
	}
	until(p.ctx, p, "rows of "+host+" in the view", func() bool { return p.inView(host) })
}

// comes waits until a question is answered with a number that is not 0.
func (p *operatorsPage) comes(what, sql string) {
	p.Helper()
	until(p.ctx, p, what, func() bool { return number(p.ctx, p, p.srv, sql) > 0 })
}

// refreshed waits until the view has seen all commits.
func (p *operatorsPage) refreshed() {
	p.Helper()
	until(p.ctx, p, "the view", func() bool {
		return number(p.ctx, p, p.srv, "SELECT count() FROM materialized_views() WHERE view_status = 'valid' AND base_table_txn = refresh_base_table_txn") == 1
	})
}

// dropped shows why a table is to be renamed first.
func (p *operatorsPage) dropped() {
	p.write("gone v=1i")
	check(p, p.srv.WaitApplied(p.ctx))
	exec(p.ctx, p, p.srv, "DROP TABLE gone")
	p.write("gone v=2i", "gone v=3i")
	p.has("gone", 1)
}

// full shows what FULL does to a view that has more than its table.
func (p *operatorsPage) full() {
	exec(p.ctx, p, p.srv, `CREATE TABLE short (timestamp TIMESTAMP, v LONG) TIMESTAMP(timestamp) PARTITION BY DAY WAL`)
	exec(p.ctx, p, p.srv, `CREATE MATERIALIZED VIEW short_1d AS (SELECT timestamp, count() AS n FROM short SAMPLE BY 1d) PARTITION BY MONTH`)
	p.write(fmt.Sprintf("short v=1i %d", time.Now().AddDate(0, 0, -9).UnixNano()))
	p.hasDays(1)
	exec(p.ctx, p, p.srv, `ALTER TABLE short SET TTL 1 DAY`)
	p.write(fmt.Sprintf("short v=2i %d", time.Now().UnixNano()))
	p.has("short", 1)
	p.hasDays(2)
	exec(p.ctx, p, p.srv, `REFRESH MATERIALIZED VIEW short_1d FULL`)
	p.hasDays(1)
}

func (p *operatorsPage) hasDays(n int) {
	p.Helper()
	until(p.ctx, p, fmt.Sprint(n, " days in the view"), func() bool {
		return number(p.ctx, p, p.srv, "SELECT count() FROM short_1d") == n
	})
}

// wire is one HTTP connection that is seen as it is.
type wire struct {
	net.Conn
	r *bufio.Reader
}

func dialWire(t testing.TB, srv *questdb.Server) *wire {
	t.Helper()
	c := must(net.Dial("tcp", strings.TrimPrefix(srv.HTTP(), "http://")))(t)
	t.Cleanup(func() { _ = c.Close() })
	return &wire{c, bufio.NewReader(c)}
}

// write sends a line of a row; ask asks for a path. They wait for ten seconds.
func (w *wire) write(line string) (status int, body string, err error) {
	return w.say(fmt.Sprintf("POST /write HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s\n", len(line)+1, line))
}

func (w *wire) ask(path string) (status int, body string, err error) {
	return w.say("GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n")
}

func (w *wire) say(request string) (status int, body string, err error) {
	_ = w.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(w, request); err != nil {
		return 0, "", err
	}
	res, err := http.ReadResponse(w.r, nil)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	return res.StatusCode, string(text), err
}

// TestConnectionLimitsOfTheOperatorsPageAreMetAsItSays has a server for six connections,
// four of them for rows.
func TestConnectionLimitsOfTheOperatorsPageAreMetAsItSays(t *testing.T) {
	t.Parallel() // it waits for five seconds
	ctx := realParts(t)
	srv := startQuestDB(ctx, t, questdb.Options{Settings: map[string]string{
		"http.net.connection.limit": "6", "http.ilp.connection.limit": "4", "http.net.idle.connection.timeout": "60000",
	}})
	srv.CloseIdle()
	var boxes []*wire
	for i := range 4 {
		boxes = append(boxes, dialWire(t, srv))
		if status, text, err := boxes[i].write("held v=1i"); status != http.StatusNoContent {
			t.Fatal(status, text, err)
		}
	}
	excess := dialWire(t, srv)
	if status, text, err := excess.write("held v=1i"); status != http.StatusTooManyRequests || !strings.Contains(text, "name=http_ilp_connections") {
		t.Errorf("one box more is told %d %q, %v", status, text, err)
	}
	if _, err := excess.r.ReadByte(); err != io.EOF {
		t.Errorf("its connection goes on: %v", err)
	}
	p, log := openRefused(ctx, t, srv.HTTP(), nil)
	storeBatches(ctx, t, p, 1, 1, func(b *sfpool.Batch, i int) error { return b.Table("ours").Int64Column("v", 1).At(second(i)) })
	until(ctx, t, "the 429", func() bool { return strings.Contains(log.String(), "HTTP 429") })
	if status, text, err := dialWire(t, srv).ask("/exec?query=select+1"); status != http.StatusOK {
		t.Errorf("SQL meanwhile: %d %s, %v", status, text, err)
	}
	_ = boxes[0].Close()
	until(ctx, t, "the row, with a connection free", func() bool { return p.Stats().Pending == 0 })
	if st := p.Stats(); st.Acked != 1 || st.DeadLettered != 0 {
		t.Errorf("%+v", st)
	}
	allTaken(t, srv)
}

// allTaken takes what connections there are, and looks what others meet.
func allTaken(t *testing.T, srv *questdb.Server) {
	began, addr := time.Now(), strings.TrimPrefix(srv.HTTP(), "http://")
	var held []*wire
	for len(held) < 6 {
		w := dialWire(t, srv)
		if status, _, err := w.ask("/exec?query=select+1"); err != nil || status != http.StatusOK {
			t.Logf("connection %d of those here meets: %v, after %s", len(held)+1, err, time.Since(began).Round(time.Second))
			break
		}
		held = append(held, w)
	}
	for {
		c, err := net.DialTimeout("tcp", addr, 10*time.Second)
		if err != nil {
			t.Logf("and then nobody comes in: %v, after %s", err, time.Since(began).Round(time.Second))
			break
		}
		_ = c.Close()
		if time.Since(began) > 20*time.Second {
			t.Fatal("the listener is never closed")
		}
		time.Sleep(100 * time.Millisecond)
	}
	for _, w := range held {
		_ = w.Close()
	}
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			_ = c.Close()
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("it does not listen again: %v", err)
		}
	}
}
