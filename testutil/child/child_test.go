// SPDX-License-Identifier: MIT

//go:build unix

package child_test

import (
	"bufio"
	"context"
	"errors"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"github.com/questdb-sf/questdb_sf/testutil/child"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// shell starts a script and returns it with what it prints.
func shell(t testing.TB, script string) (*child.Process, *bufio.Reader) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sh", "-c", script)
	cmd.Stdout = w
	p, err := child.Start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	_ = w.Close()
	t.Cleanup(func() {
		_ = p.KillGroup()
		_ = r.Close()
	})
	return p, bufio.NewReader(r)
}

func TestKillGroupEndsGrandchildrenToo(t *testing.T) {
	p, out := shell(t, "tail -f /dev/null & echo started; wait")
	if line, err := out.ReadString('\n'); err != nil {
		t.Fatal(line, err)
	}
	if err := p.KillGroup(); err != nil {
		t.Fatal(err)
	}
	// The pipe ends only when the grandchild is gone as well.
	if _, err := out.ReadString('\n'); err == nil {
		t.Fatal("somebody still writes")
	}
	if err := p.KillGroup(); err != nil {
		t.Errorf("second kill: %v", err)
	}
}

func TestWaitReturnsWhenContextEnds(t *testing.T) {
	p, _ := shell(t, "exec tail -f /dev/null")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.Wait(ctx); !errors.Is(err, context.Canceled) {
		t.Fatalf("error is %v", err)
	}
	if err := p.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := p.Wait(t.Context()); !errors.As(err, &exit) {
		t.Fatalf("error is %v", err)
	}
	if err := p.Kill(); err != nil {
		t.Errorf("kill after the end: %v", err)
	}
}

func TestStartNamesAMissingProgram(t *testing.T) {
	_, err := child.Start(exec.Command("/nowhere/program"))
	if !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("error is %v", err)
	}
}
