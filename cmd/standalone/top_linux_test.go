// SPDX-License-Identifier: MIT

package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// terminal is a pseudo terminal: what is written to slave is seen, and typed is typed.
type terminal struct {
	master, slave *os.File

	mu   sync.Mutex
	seen bytes.Buffer
}

func openTerminal(t *testing.T, columns, lines uint16) *terminal {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip("there are no pseudo terminals here:", err)
	}
	number := 0
	control(t, master, func(fd int) (err error) {
		if number, err = unix.IoctlGetInt(fd, unix.TIOCGPTN); err != nil {
			return err
		}
		if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
			return err
		}
		return unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Col: columns, Row: lines})
	})
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	term := &terminal{master: master, slave: slave}
	done := make(chan struct{})
	go term.read(done)
	t.Cleanup(func() { _ = slave.Close(); _ = master.Close(); <-done })
	return term
}

func (m *terminal) read(done chan struct{}) {
	defer close(done)
	b := make([]byte, 4096)
	for {
		n, err := m.master.Read(b)
		if err != nil {
			return
		}
		m.mu.Lock()
		m.seen.Write(b[:n])
		m.mu.Unlock()
	}
}

func (m *terminal) text() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.seen.String()
}

func (m *terminal) settings(t *testing.T) unix.Termios {
	t.Helper()
	var s unix.Termios
	control(t, m.slave, func(fd int) error {
		now, err := unix.IoctlGetTermios(fd, unix.TCGETS)
		if err == nil {
			s = *now
		}
		return err
	})
	return s
}

// control is a call on a descriptor that leaves it as it is: Fd would make reads block
// for ever.
func control(t *testing.T, f *os.File, call func(fd int) error) {
	t.Helper()
	c, err := f.SyscallConn()
	if err == nil {
		err = c.Control(func(fd uintptr) {
			if err := call(int(fd)); err != nil {
				t.Error(err)
			}
		})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// watchOn runs top on a terminal until stop makes it end.
func watchOn(t *testing.T, m *terminal, conf string, stop func(cancel func())) {
	t.Helper()
	t.Setenv("TERM", "xterm")
	before := m.settings(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	cmd, err := named("top")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		done <- cmd.run(ctx, []string{"-config", conf, "-every", "50ms"}, &call{stdin: m.slave, stdout: m.slave, stderr: m.slave})
	}()
	for deadline := time.Now().Add(20 * time.Second); strings.Count(m.text(), home) < 3; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("nothing is drawn: %q", m.text())
		}
	}
	if now := m.settings(t); now.Lflag&(unix.ICANON|unix.ECHO) != 0 || now.Lflag&unix.ISIG == 0 {
		t.Errorf("flags %#x while it runs", now.Lflag)
	}
	stop(cancel)
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("it does not end")
	}
	for deadline := time.Now().Add(20 * time.Second); !strings.HasSuffix(m.text(), leaveScreen); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the screen stays as it was: %q", m.text())
		}
	}
	if after := m.settings(t); after != before {
		t.Errorf("the terminal is not as it was: %+v, %+v", before, after)
	}
}

func TestTopDrawsOnATerminalAndLeavesItAsItWas(t *testing.T) {
	conf := leaveBehind(t, "t id=1i 1700000000000000000\n")
	for name, stop := range map[string]func(*terminal, func()){
		"q":      func(m *terminal, _ func()) { _, _ = m.master.WriteString("xq") },
		"Ctrl-C": func(_ *terminal, cancel func()) { cancel() }, // which is what the signal does
	} {
		t.Run(name, func(t *testing.T) {
			m := openTerminal(t, 60, 20)
			watchOn(t, m, conf, func(cancel func()) { stop(m, cancel) })
			text := m.text()
			if !strings.HasPrefix(text, enterScreen) || !strings.Contains(text, "1 rows") || !strings.Contains(text, "\x1b[33m") {
				t.Errorf("%q", text)
			}
		})
	}
}

func TestTopHasNoColoursWhereNobodyWantsThem(t *testing.T) {
	t.Setenv("NO_COLOR", "1")
	m := openTerminal(t, 60, 20)
	watchOn(t, m, leaveBehind(t, "t id=1i 1700000000000000000\n"), func(cancel func()) { cancel() })
	if text := m.text(); strings.Contains(text, "\x1b[3") || strings.Contains(text, "\x1b[1m") {
		t.Errorf("%q", text)
	}
}
