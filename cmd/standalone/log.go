// SPDX-License-Identifier: MIT

package main

import (
	"fmt"
	"io"
	"log/slog"
	"sync"

	"github.com/questdb-sf/questdb_sf/internal/logline"
)

// newLogger writes what is good to know to stdout and trouble to stderr: that is
// how Telegraf's execd tells them apart, and it adds the time itself.
func newLogger(stdout, stderr io.Writer) *slog.Logger {
	var mu sync.Mutex
	return logline.New(func(level slog.Level, line string) {
		to := stdout
		if level >= slog.LevelWarn {
			to = stderr
		}
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintln(to, level, line)
	})
}
