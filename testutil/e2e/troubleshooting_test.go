// SPDX-License-Identifier: MIT

package e2e

import (
	"context"
	"fmt"
	"os"
	osexec "os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/questdb-sf/questdb_sf/testutil/child"
	"github.com/questdb-sf/questdb_sf/testutil/execd"
	"github.com/questdb-sf/questdb_sf/testutil/questdb"
)

// advice is a row of the troubleshooting table of the README.
type advice struct {
	symptom, command string
	says             []string // what the command prints, in code spans
	remedies         []string // code spans of the last column
}

var codeSpan = regexp.MustCompile("`([^`]+)`")

func spans(cell string) (list []string) {
	for _, m := range codeSpan.FindAllStringSubmatch(cell, -1) {
		list = append(list, m[1])
	}
	return list
}

// troubleshooting reads the table.
func troubleshooting(t testing.TB) (list []advice) {
	t.Helper()
	_, table, _ := strings.Cut(string(must(os.ReadFile("../../README.md"))(t)), "\n| Symptom |")
	table, _, _ = strings.Cut(table, "\n\n")
	for _, line := range strings.Split(table, "\n")[2:] {
		cells := strings.Split(strings.Trim(line, "| "), " | ")
		if len(cells) != 4 || len(spans(cells[1])) != 1 || len(spans(cells[2])) == 0 {
			t.Fatalf("a row of the table is no row: %s", line)
		}
		list = append(list, advice{strings.ReplaceAll(cells[0], "`", ""), spans(cells[1])[0], spans(cells[2]), spans(cells[3])})
	}
	return list
}

// patient is a box in trouble, with a way to the server of its own.
type patient struct {
	testing.TB
	ctx context.Context
	srv *questdb.Server
	via *relay
	bin string // the binary

	advice
	root, conf, sf string // its directory, configuration and sf_dir
	address, more  string // of the server; lines of the configuration
	box            *execd.Process
	since          string // a time in the past
	said           string // what the command said
	code           int    // with which the last command ended
}

// trouble makes a symptom. What it returns does what the row says against it, and fails
// unless the symptom is gone.
type trouble func(p *patient) (mend func())

const login, password = "joe", "right"

// configure writes the configuration.
func (p *patient) configure(more ...string) {
	p.Helper()
	if len(more) > 0 {
		p.more = strings.Join(more, "\n")
	}
	text := config(p.address, p.sf, `username = "`+login+`"`, `transport = "ilp"`, p.more)
	if !strings.Contains(text, "password") {
		text += `password = "` + password + `"`
	}
	check(p, os.WriteFile(p.conf, []byte(text), 0o600))
}

// start runs the box with its configuration.
func (p *patient) start() *execd.Process {
	p.Helper()
	box := must(execd.Start(string(must(os.ReadFile(p.conf))(p))))(p)
	p.Cleanup(func() {
		if p.Failed() {
			p.Logf("log of the box:\n%s", box.Log())
		}
		box.Close()
	})
	p.box = box
	return box
}

// begin configures and starts the box.
func (p *patient) begin(more ...string) *execd.Process {
	p.Helper()
	p.configure(more...)
	return p.start()
}

// end ends the box; what is not sent stays in the store.
func (p *patient) end() {
	p.Helper()
	check(p, p.box.Finish(p.ctx))
}

// feed stores lines.
func (p *patient) feed(lines ...string) {
	p.Helper()
	before := p.box.Durable()
	_, err := p.box.Stdin.Write([]byte(strings.Join(lines, "\n") + "\n"))
	check(p, err)
	check(p, p.box.WaitDurable(p.ctx, before+int64(len(lines))))
}

// logs waits for what the symptom says of the log.
func (p *patient) logs() {
	p.Helper()
	check(p, p.box.WaitLog(p.ctx, strings.TrimPrefix(p.symptom, "the log says ")))
}

// has waits until a table has n rows.
func (p *patient) has(table string, n int) {
	p.Helper()
	until(p.ctx, p, fmt.Sprint(n, " rows in ", table), func() bool {
		res, err := p.srv.Query(p.ctx, "SELECT count() FROM "+questdb.Quote(table))
		return err == nil && fmt.Sprint(res.Rows[0][0]) == fmt.Sprint(n)
	})
}

// exactly fails unless a table has n rows when all that was written is applied. Others may
// be suspended meanwhile.
func (p *patient) exactly(table string, n int) {
	p.Helper()
	until(p.ctx, p, table, func() bool {
		return number(p.ctx, p, p.srv, "SELECT sequencerTxn - writerTxn FROM wal_tables() WHERE name = '"+table+"'") == 0
	})
	if got := number(p.ctx, p, p.srv, "SELECT count() FROM "+questdb.Quote(table)); got != n {
		p.Errorf("%d rows in %s, want %d", got, table, n)
	}
}

func (p *patient) sql(statement string) {
	p.Helper()
	exec(p.ctx, p, p.srv, statement)
}

// types types a command as it stands in the README, and returns what it says. One that
// shows again and again is ended when it has said everything.
func (p *patient) types(command string, until ...string) string {
	p.Helper()
	args := strings.Fields(command)
	for i, arg := range args {
		if is, ok := map[string]string{"FILE": p.conf, "S": "default-0", "F": filepath.Join(p.root, "carried.qsf"), "TIME": p.since}[arg]; ok {
			args[i] = is
		}
	}
	var out record
	cmd := osexec.Command(p.bin, args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	typed := must(child.Start(cmd))(p)
	defer func() { _ = typed.Kill() }()
	for {
		select {
		case <-typed.Done():
			p.code = cmd.ProcessState.ExitCode()
			return out.String()
		case <-p.ctx.Done():
			p.Fatalf("%s does not end:\n%s", command, out.String())
		case <-time.After(50 * time.Millisecond):
			if args[0] == "top" && containsAll(out.String(), until) {
				check(p, typed.Signal(syscall.SIGTERM))
				check(p, typed.Wait(p.ctx))
				return out.String()
			}
		}
	}
}

func containsAll(text string, words []string) bool {
	return !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(text, w) })
}

// sent waits until nothing is pending in the store.
func (p *patient) sent() {
	p.Helper()
	until(p.ctx, p, "an empty store", func() bool { return strings.Contains(p.types("slots -config FILE"), "total: 0 rows in 0 frames") })
}

// silent fails if the command of the row still says a word.
func (p *patient) silent(word string) {
	p.Helper()
	if said := p.types(p.command); strings.Contains(said, word) {
		p.Errorf("%q is still said after the remedy:\n%s", word, said)
	}
}

// printed are the statements that the command has printed.
func (p *patient) printed() (list []string) {
	for _, m := range regexp.MustCompile(`(?m)-> .*run (ALTER TABLE .*?)(, or .*)?$`).FindAllStringSubmatch(p.said, -1) {
		list = append(list, m[1])
	}
	return list
}

// Each row of the table is made true, and then what it says is done. Where a row is about
// a clock or a certificate it is the proxy in front of the server that has the wrong one.
func TestEachRowOfTheTroubleshootingTableHelps(t *testing.T) {
	t.Parallel() // it waits for a server of its own
	ctx := realParts(t)
	srv := startQuestDB(ctx, t, questdb.Options{Settings: map[string]string{"dev.mode.enabled": "true", "http.user": login, "http.password": password}})
	bin := must(execd.Build())(t)
	left := map[string]bool{}
	for symptom := range troubles {
		left[symptom] = true
	}
	for _, row := range troubleshooting(t) {
		one, known := troubles[row.symptom]
		if !known {
			t.Errorf("nothing tries the row %q", row.symptom)
		}
		delete(left, row.symptom)
		t.Run(row.symptom, func(t *testing.T) {
			if !known {
				t.FailNow()
			}
			t.Parallel()
			root := t.TempDir()
			via := startRelay(t, srv.HTTP())
			p := &patient{TB: t, ctx: realParts(t), srv: srv, via: via, bin: bin, advice: row, root: root, address: via.URL,
				conf: filepath.Join(root, "questdb_sf.conf"), sf: filepath.Join(root, "sf")}
			mend := one(p)
			p.said = p.types(p.command, p.says...)
			t.Logf("%s says\n%s", p.command, p.said)
			if !containsAll(p.said, p.says) {
				t.Fatalf("it does not say all of %q", p.says)
			}
			mend()
		})
	}
	for symptom := range left {
		t.Errorf("the table has no row %q", symptom)
	}
}
