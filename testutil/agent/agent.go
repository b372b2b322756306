// SPDX-License-Identifier: MIT

package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/questdb-sf/questdb_sf/testutil/child"
)

// Agent is a running Telegraf.
type Agent struct {
	proc   *child.Process
	dir    string
	log    log
	output *os.File // our end of the pipe that the agent logs to
	read   sync.WaitGroup
}

// Start builds the agent if this process has not done so yet, and runs it with
// that configuration. It returns before the agent has read it: wait for a line
// of the log. The caller ends it with [Agent.Close].
func Start(ctx context.Context, config string) (*Agent, error) {
	binary, err := Build(ctx)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "telegraf-")
	if err != nil {
		return nil, fmt.Errorf("agent: %w", err)
	}
	a := &Agent{dir: dir}
	if err = a.SetConfig(config); err == nil {
		err = a.launch(binary)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("agent: %w", err), os.RemoveAll(dir))
	}
	return a, nil
}

// launch runs the binary with its output in a pipe that we read.
func (a *Agent) launch(binary string) error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer func() { _ = w.Close() }()
	cmd := exec.Command(binary, a.configPath())
	cmd.Stdout, cmd.Stderr = w, w
	if a.proc, err = child.Start(cmd); err != nil {
		return errors.Join(err, r.Close())
	}
	a.output = r
	a.read.Go(func() { a.log.readFrom(r) })
	return nil
}

func (a *Agent) configPath() string { return filepath.Join(a.dir, "telegraf.conf") }

// SetConfig replaces the configuration file; the agent reads it at the next
// [Agent.Hup].
func (a *Agent) SetConfig(config string) error {
	return os.WriteFile(a.configPath(), []byte(config), 0o600)
}

// Kill ends the agent with SIGKILL and waits until it is gone. Its execd
// children are left as they would be in life: orphans that read an end of file.
func (a *Agent) Kill() error { return a.proc.Kill() }

// Term asks the agent to end as service managers do. [Agent.Wait] tells when it
// has.
func (a *Agent) Term() error { return a.proc.Signal(syscall.SIGTERM) }

// Hup makes the agent close its plugins and load the configuration again.
func (a *Agent) Hup() error { return a.proc.Signal(syscall.SIGHUP) }

// Wait returns how the agent ended: nil for status 0. The error of one that
// failed carries its log.
func (a *Agent) Wait(ctx context.Context) error {
	if err := a.proc.Wait(ctx); err != nil {
		return fmt.Errorf("agent: %w\n%s", err, a.Log())
	}
	return nil
}

// Close kills the agent and its children if they still run, and removes its
// configuration.
func (a *Agent) Close() error {
	err := a.proc.KillGroup()
	// A child that left the group could hold the pipe open for ever.
	err = errors.Join(err, a.output.Close())
	a.read.Wait()
	return errors.Join(err, os.RemoveAll(a.dir))
}

// Done is closed when the agent has ended.
func (a *Agent) Done() <-chan struct{} { return a.proc.Done() }

// PID returns the process number of the agent.
func (a *Agent) PID() int { return a.proc.PID() }

// Log returns all that the agent has printed up to now.
func (a *Agent) Log() string { return a.log.text() }

// WaitLog returns when the text has appeared in the log, which it may have done
// before. It fails when the agent ends first, or ctx does.
func (a *Agent) WaitLog(ctx context.Context, text string) error {
	if err := a.log.wait(ctx, text); err != nil {
		return fmt.Errorf("agent: no %q in the log: %w\n%s", text, err, a.Log())
	}
	return nil
}
