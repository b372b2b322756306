// SPDX-License-Identifier: MIT

package questdb_sf_test

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/questdb-sf/questdb_sf/plugins/outputs/questdb_sf"
)

// memguard, which keeps Telegraf's secrets, has a goroutine for ever.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/awnumar/memguard/core.NewCoffer.func1"))
}

const (
	waitLong  = time.Minute
	pollOften = 5 * time.Millisecond
)

// heard is what a plugin said.
type heard struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// listen takes the log of a plugin that is not initialised yet.
func listen(o *questdb_sf.Output) *heard {
	h := &heard{}
	o.Logger = slog.New(slog.NewTextHandler(h, nil))
	return h
}

func (h *heard) Write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.buf.Write(p)
}

// lines returns the lines with a text in them.
func (h *heard) lines(text string) (found []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for line := range strings.Lines(h.buf.String()) {
		if strings.Contains(line, text) {
			found = append(found, line)
		}
	}
	return found
}
