// SPDX-License-Identifier: MIT

// Package execd builds and runs the execd binary of this repository: a process
// of its own that is fed on stdin, tells what is durable, and can be killed.
package execd

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"

	"github.com/questdb-sf/questdb_sf/testutil/child"
)

var build = sync.OnceValues(func() (string, error) {
	_, here, _, _ := runtime.Caller(0)
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	root := filepath.Join(filepath.Dir(here), "..", "..")
	// One for each checkout: tests of two may run at once.
	bin := filepath.Join(cache, "questdb_sf-execd", fmt.Sprintf("%08x", crc32.ChecksumIEEE([]byte(root))), "questdb_sf")
	// Another process may be running the binary of before.
	fresh := fmt.Sprintf("%s.%d", bin, os.Getpid())
	cmd := exec.Command("go", "build", "-o", fresh, "./cmd/standalone")
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the execd binary: %w\n%s", err, out)
	}
	return bin, os.Rename(fresh, bin)
})

// Build builds the binary and returns its path. A process builds once.
func Build() (string, error) { return build() }

// Process is a running binary.
type Process struct {
	*child.Process
	// Stdin is what the binary reads; close it to end the input.
	Stdin io.WriteCloser

	config string

	// mu guards what follows. changed is closed and replaced with each change.
	mu      sync.Mutex
	durable int64
	ended   bool
	log     bytes.Buffer
	changed chan struct{}
	readers sync.WaitGroup
}

// Start runs the binary with a configuration.
func Start(config string) (*Process, error) {
	bin, err := Build()
	if err != nil {
		return nil, err
	}
	file, err := os.CreateTemp("", "questdb_sf-*.conf")
	if err != nil {
		return nil, err
	}
	if _, err := file.WriteString(config); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	if err := file.Close(); err != nil {
		return nil, err
	}
	p := &Process{config: file.Name(), changed: make(chan struct{})}
	return p, p.start(bin)
}

func (p *Process) start(bin string) error {
	cmd := exec.Command(bin, "-config", p.config, "-progress-fd", "3")
	stdinR, stdinW, err1 := os.Pipe()
	progressR, progressW, err2 := os.Pipe()
	logR, logW, err3 := os.Pipe()
	if err := errors.Join(err1, err2, err3); err != nil {
		return err
	}
	cmd.Stdin, cmd.ExtraFiles, cmd.Stdout, cmd.Stderr = stdinR, []*os.File{progressW}, logW, logW
	proc, err := child.Start(cmd)
	for _, f := range []*os.File{stdinR, progressW, logW} {
		_ = f.Close()
	}
	if err != nil {
		return err
	}
	p.Process, p.Stdin = proc, stdinW
	p.readers.Add(2)
	go p.readProgress(progressR)
	go p.readLog(logR)
	return nil
}

func (p *Process) readProgress(r io.ReadCloser) {
	defer p.readers.Done()
	defer r.Close()
	for s := bufio.NewScanner(r); s.Scan(); {
		var n int64
		if _, err := fmt.Sscanf(s.Text(), "durable %d", &n); err == nil {
			p.update(func() { p.durable = n })
		}
	}
	p.update(func() { p.ended = true })
}

func (p *Process) readLog(r io.ReadCloser) {
	defer p.readers.Done()
	defer r.Close()
	buf := make([]byte, 4096)
	for {
		n, err := r.Read(buf)
		p.update(func() { p.log.Write(buf[:n]) })
		if err != nil {
			return
		}
	}
}

func (p *Process) update(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
	close(p.changed)
	p.changed = make(chan struct{})
}

// Durable returns how many lines the binary has reported durable. After Kill
// and Wait it is final.
func (p *Process) Durable() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.durable
}

// Log returns what was printed on stdout and stderr.
func (p *Process) Log() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

// WaitDurable returns when at least n lines are durable.
func (p *Process) WaitDurable(ctx context.Context, n int64) error {
	return p.wait(ctx, fmt.Sprintf("%d durable lines", n), func() bool { return p.durable >= n })
}

// WaitLog returns when text was printed.
func (p *Process) WaitLog(ctx context.Context, text string) error {
	return p.wait(ctx, fmt.Sprintf("%q", text), func() bool { return bytes.Contains(p.log.Bytes(), []byte(text)) })
}

func (p *Process) wait(ctx context.Context, what string, f func() bool) error {
	for {
		p.mu.Lock()
		ok, ended, changed, durable, log := f(), p.ended, p.changed, p.durable, p.log.String()
		p.mu.Unlock()
		switch {
		case ok:
			return nil
		case ended:
			return fmt.Errorf("the binary ended before %s (%d durable):\n%s", what, durable, log)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("no %s (%d durable): %w\n%s", what, durable, ctx.Err(), log)
		}
	}
}

// Finish ends the input and returns how the binary ended.
func (p *Process) Finish(ctx context.Context) error {
	if err := p.Stdin.Close(); err != nil {
		return err
	}
	err := p.Wait(ctx)
	p.Close()
	if err != nil {
		return fmt.Errorf("%w\n%s", err, p.Log())
	}
	return nil
}

// Close kills the binary if it still runs and cleans up behind it.
func (p *Process) Close() {
	_ = p.Kill()
	_ = p.Stdin.Close()
	p.readers.Wait()
	_ = os.Remove(p.config)
}
