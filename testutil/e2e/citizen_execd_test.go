// SPDX-License-Identifier: MIT

//go:build linux

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/questdb-sf/questdb_sf/testutil/agent"
	"github.com/questdb-sf/questdb_sf/testutil/execd"
	"github.com/questdb-sf/questdb_sf/testutil/gen"
)

// parent is a Telegraf that runs the binary as its execd child.
type parent struct {
	*agent.Agent
	net.Conn
	bin, seen, url, sf string
}

// startParent runs Telegraf with a copy of the binary of its own, for the server
// at url.
func startParent(ctx context.Context, t testing.TB, url string) *parent {
	t.Helper()
	dir := t.TempDir()
	p := &parent{bin: filepath.Join(dir, "questdb_sf"), seen: filepath.Join(dir, "seen.lp"), url: url, sf: filepath.Join(dir, "sf")}
	install(t, p.bin)
	file := filepath.Join(dir, "questdb_sf.conf")
	check(t, os.WriteFile(file, []byte(config(url, p.sf)), 0o600))
	p.Agent, p.Conn = startTelegraf(ctx, t, fmt.Sprintf(`
[[outputs.execd]]
  command = [%q, "-config", %q]
  data_format = "influx"
  use_batch_format = true
  restart_delay = "100ms"
[[outputs.file]]
  files = [%q]
  data_format = "influx"
`, p.bin, file, p.seen))
	return p
}

// install puts the binary there the way a package manager does: written beside,
// renamed over. A copy onto a running binary is refused (ETXTBSY).
func install(t testing.TB, path string) {
	t.Helper()
	from := must(os.Open(must(execd.Build())(t)))(t)
	defer from.Close()
	fresh := path + ".new"
	to := must(os.OpenFile(fresh, os.O_CREATE|os.O_WRONLY, 0o755))(t)
	_, err := io.Copy(to, from)
	check(t, err)
	check(t, to.Close())
	check(t, os.Rename(fresh, path))
}

// child waits for a child of Telegraf other than those, and returns its number.
func (p *parent) child(ctx context.Context, t testing.TB, not ...int) int {
	t.Helper()
	var pid int
	await(ctx, t, "a child of Telegraf", func() bool {
		for _, pid = range children(t, p.PID()) {
			exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
			if err == nil && strings.HasPrefix(exe, p.bin) && !slices.Contains(not, pid) {
				return true
			}
		}
		return false
	})
	return pid
}

// children returns the processes whose parent is pid.
func children(t testing.TB, pid int) (list []int) {
	t.Helper()
	for _, file := range must(filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid)))(t) {
		text, _ := os.ReadFile(file) // a thread may end in between
		for _, word := range bytes.Fields(text) {
			list = append(list, must(strconv.Atoi(string(word)))(t))
		}
	}
	return list
}

// unavoidable is how many rows of these lines a kill of the child may lose: what
// is in the pipe, the two chunks of 64 KiB that the binary has read, and what it
// has not committed yet. Telegraf has written them, and hears nothing of them
// again (facts: execd is one-way).
func unavoidable(lines []byte) int {
	perLine := len(lines) / bytes.Count(lines, []byte("\n"))
	return 3*(64<<10)/perLine + commitRows
}

func TestAKilledExecdChildLosesOnlyWhatIsInThePipe(t *testing.T) {
	ctx := realParts(t)
	const rows, kills = 90_000, 3
	srv := emptyQuestDB(ctx, t)
	p := startParent(ctx, t, srv.HTTP())
	set := gen.Set{Seed: 20}
	for kill := range int64(kills) {
		const part = rows / kills
		pid := p.child(ctx, t)
		write(t, p.Conn, set, kill*part, kill*part+part/2)
		waitCollected(ctx, t, p.seen, int(kill*part+part/4))
		check(t, syscall.Kill(pid, syscall.SIGSTOP)) // the worst case: it is killed behind a full pipe
		write(t, p.Conn, set, kill*part+part/2, (kill+1)*part)
		waitCollected(ctx, t, p.seen, int((kill+1)*part))
		check(t, syscall.Kill(pid, syscall.SIGKILL))
		p.child(ctx, t, pid)
	}
	waitCollected(ctx, t, p.seen, rows)
	check(t, p.Term())
	check(t, p.Wait(ctx))
	deliver(ctx, t, p.url, p.sf, false)

	report := set.Check(readBack(ctx, t, srv), 0, rows)
	most := unavoidable(set.Lines(0, 1000)) * kills
	t.Logf("%d kills: %d of %d rows lost (at most %d are unavoidable), %d twice", kills, len(report.Missing), rows, most, len(report.Duplicates))
	if len(report.Missing) > most || len(report.Wrong) > 0 {
		t.Error(report)
	}
}

func TestTelegrafsOwnEndLosesNothingOfItsExecdChild(t *testing.T) {
	ctx := realParts(t)
	const rows = 40_000
	srv := emptyQuestDB(ctx, t)
	p := startParent(ctx, t, srv.HTTP())
	set := gen.Set{Seed: 21}
	write(t, p.Conn, set, 0, rows)
	waitCollected(ctx, t, p.seen, rows) // the other output has it: this one may still be writing
	check(t, p.Term())
	check(t, p.Wait(ctx))
	deliver(ctx, t, p.url, p.sf, false)
	none(t, set.Check(readBack(ctx, t, srv), 0, rows), requestRows)
}

func TestABinaryReplacedByRenameIsStartedAfterItsPredecessorsEnd(t *testing.T) {
	ctx := realParts(t)
	const rows = 20_000
	srv := emptyQuestDB(ctx, t)
	p := startParent(ctx, t, srv.HTTP())
	set := gen.Set{Seed: 22}
	write(t, p.Conn, set, 0, rows/2)
	waitRows(ctx, t, srv, rows/2)
	old := p.child(ctx, t)
	install(t, p.bin)
	check(t, syscall.Kill(old, syscall.SIGTERM)) // Telegraf is quiet: nothing is in the pipe
	fresh := p.child(ctx, t, old)
	installed := must(os.Stat(p.bin))(t)
	if runs := must(os.Stat(fmt.Sprintf("/proc/%d/exe", fresh)))(t); !os.SameFile(runs, installed) {
		t.Error("what Telegraf has started is not what was installed")
	}
	write(t, p.Conn, set, rows/2, rows)
	waitRows(ctx, t, srv, rows)
	check(t, p.Term())
	check(t, p.Wait(ctx))
	none(t, set.Check(readBack(ctx, t, srv), 0, rows), 0)
}
