// SPDX-License-Identifier: MIT

package agent

import (
	"bytes"
	"context"
	"io"
	"sync"
)

// log is the output of a process, to be waited for. The zero value is ready.
type log struct {
	mu      sync.Mutex
	buf     []byte
	ended   bool
	changed chan struct{} // closed at the next change; nil while nobody waits
}

// readFrom takes what r has until its end.
func (l *log) readFrom(r io.Reader) {
	chunk := make([]byte, 32<<10)
	for {
		n, err := r.Read(chunk)
		l.add(chunk[:n], err != nil)
		if err != nil {
			return
		}
	}
}

func (l *log) add(p []byte, end bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.buf = append(l.buf, p...)
	l.ended = l.ended || end
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
}

func (l *log) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.buf)
}

// wait returns nil once the log contains the text, io.ErrUnexpectedEOF if it
// ends without.
func (l *log) wait(ctx context.Context, text string) error {
	for {
		found, ended, changed := l.look(text)
		switch {
		case found:
			return nil
		case ended:
			return io.ErrUnexpectedEOF
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (l *log) look(text string) (found, ended bool, changed <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.changed == nil {
		l.changed = make(chan struct{})
	}
	return bytes.Contains(l.buf, []byte(text)), l.ended, l.changed
}
