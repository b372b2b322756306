// SPDX-License-Identifier: MIT

//go:build unix

package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/questdb-sf/questdb_sf/testutil/qwpserver"
)

// Whatever gives way, each line that was taken from the writer is in QuestDB in the
// end or in a number of the log.
func TestASIGTERMWhileTheStoreIsFullLeavesNoLineUncounted(t *testing.T) {
	for policy, word := range map[string]string{"block": "lines", "drop_oldest": "rows", "drop_newest": "rows"} {
		t.Run(policy, func(t *testing.T) {
			const lines = 40_000
			file := writeConfig(t, "http://127.0.0.1:1", fmt.Sprintf("sf_max_segment_bytes = \"64KiB\"\n"+
				"sf_max_total_bytes = \"128KiB\"\nsender_pool_max = 1\nsf_append_deadline = \"100ms\"\nsf_full = %q", policy))
			setURLs(t, file, "http://127.0.0.1:1", "20ms")
			in, log := &writer{lines: lines, ended: make(chan struct{})}, &lockedBuffer{}
			want := exitOK
			if policy == "block" {
				want = exitFailed
				go in.endWhen(t, func() bool { return strings.Contains(log.String(), "cannot be stored now") }, 2) // the grace is not waited for
			} else {
				go in.endWhen(t, func() bool { return in.taken() == lines }, 1)
			}
			if code := run([]string{"-config", file}, in, log, log); code != want {
				t.Errorf("exit %d, want %d", code, want)
			}
			<-in.ended
			lost := sum(t, log.String(), word)
			arrived := restart(t, file)
			t.Logf("%s: %d lines taken, %d arrived, %d said to be lost", policy, in.taken(), arrived, lost)
			if arrived+lost != in.taken() || lost == 0 || arrived == 0 {
				t.Errorf("%d taken, %d arrived, %d said to be lost:\n%s", in.taken(), arrived, lost, log)
			}
		})
	}
}

// restart sends what the store holds, and returns how many rows that are.
func restart(t *testing.T, file string) int64 {
	t.Helper()
	srv, err := qwpserver.Start(qwpserver.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer srv.Close()
	setURLs(t, file, srv.URL(), "20s")
	var stdout, stderr bytes.Buffer
	if code := run([]string{"-config", file}, strings.NewReader(""), &stdout, &stderr); code != exitOK {
		t.Fatalf("exit %d: %s", code, &stderr)
	}
	return int64(srv.Total())
}

// sum adds up what was said to be lost.
func sum(t *testing.T, log, word string) (n int64) {
	t.Helper()
	for line := range strings.Lines(log) {
		if !strings.Contains(line, "were dropped") && !strings.Contains(line, "could not be stored") {
			continue
		}
		m := regexp.MustCompile(` ` + word + `=(\d+)`).FindStringSubmatch(line)
		if m == nil {
			t.Fatalf("no number in %s", line)
		}
		i, err := strconv.ParseInt(m[1], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		n += i
	}
	return n
}

// writer writes lines as fast as they are read, and then nothing until it is ended.
type writer struct {
	lines int
	ended chan struct{}

	mu   sync.Mutex
	done int
}

func (w *writer) taken() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return int64(w.done)
}

func (w *writer) Read(p []byte) (n int, _ error) {
	w.mu.Lock()
	for n < len(p)-100 && w.done < w.lines {
		n += copy(p[n:], fmt.Sprintf("t,host=h%d id=%di %d\n", w.done%50, w.done, 1795348800000000000+int64(w.done)))
		w.done++
	}
	w.mu.Unlock()
	if n == 0 {
		<-w.ended
		return 0, io.EOF
	}
	return n, nil
}

// endWhen sends signals to this process when it is time.
func (w *writer) endWhen(t *testing.T, now func() bool, signals int) {
	defer close(w.ended)
	for deadline := time.Now().Add(20 * time.Second); !now(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Error("the store never became full")
			break
		}
	}
	for range signals {
		_ = syscall.Kill(syscall.Getpid(), syscall.SIGTERM)
		time.Sleep(100 * time.Millisecond) // or two would be one
	}
}

// lockedBuffer is a log that is read while it is written.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// setURLs changes where a configuration sends, and how long its end waits for acks.
func setURLs(t *testing.T, file, url, closeFlush string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text = regexp.MustCompile(`urls = .*`).ReplaceAll(text, fmt.Appendf(nil, "urls = [%q]", url))
	text = regexp.MustCompile(`close_flush_timeout = .*`).ReplaceAll(text, fmt.Appendf(nil, "close_flush_timeout = %q", closeFlush))
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
}
