// SPDX-License-Identifier: MIT

// Package child runs programs that tests start, so that none outlives them and
// no other process is ever hit: a group of its own for each, signals by number,
// and death with the parent where the system offers it (Linux).
package child

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
)

// Process is a started program. Its methods may be called from any goroutine.
type Process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when the program is gone and err is set
	err  error
}

// Start starts a command. Its outputs should be files or pipes of the caller:
// with any other writer the program only counts as ended when the last of its
// own children has closed them.
func Start(cmd *exec.Cmd) (*Process, error) {
	cmd.SysProcAttr = ownGroup()
	p := &Process{cmd: cmd, done: make(chan struct{})}
	started := make(chan error)
	go p.run(started)
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	return p, nil
}

// run starts the program and waits for it on one locked thread: Linux sends the
// parent-death signal when the starting thread ends, not the process.
func (p *Process) run(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := p.cmd.Start()
	started <- err
	if err != nil {
		return
	}
	p.err = p.cmd.Wait()
	close(p.done)
}

// PID returns the process number.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Done is closed when the program has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Wait returns how the program ended, an *[exec.ExitError] unless with status 0,
// or the error of ctx if it runs on.
func (p *Process) Wait(ctx context.Context) error {
	select {
	case <-p.done:
		return p.err
	case <-ctx.Done():
		return fmt.Errorf("%s (%d) runs on: %w", p.cmd.Path, p.PID(), ctx.Err())
	}
}

// Signal sends a signal to the program, not to its children. A program that has
// ended takes it without an error.
func (p *Process) Signal(sig os.Signal) error {
	err := p.cmd.Process.Signal(sig)
	if err == nil || errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return fmt.Errorf("signal %v to %s (%d): %w", sig, p.cmd.Path, p.PID(), err)
}

// Kill ends the program alone with SIGKILL and waits until it is gone. Its
// children live on as orphans.
func (p *Process) Kill() error {
	if err := p.Signal(os.Kill); err != nil {
		return err
	}
	<-p.done
	return nil
}

// KillGroup is Kill for the program and its children.
func (p *Process) KillGroup() error {
	if err := killGroup(p.cmd.Process); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill the group of %s (%d): %w", p.cmd.Path, p.PID(), err)
	}
	<-p.done
	return nil
}
