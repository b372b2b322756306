// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"io"
	"log/slog"
)

// newLogger writes what is good to know to stdout and trouble to stderr: that is
// how Telegraf's execd tells them apart, and it adds the time itself.
func newLogger(stdout, stderr io.Writer) *slog.Logger {
	opts := &slog.HandlerOptions{ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
		if len(groups) == 0 && a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}
	return slog.New(byLevel{info: slog.NewTextHandler(stdout, opts), trouble: slog.NewTextHandler(stderr, opts)})
}

// byLevel sends warnings and errors one way and everything else the other.
type byLevel struct{ info, trouble slog.Handler }

func (h byLevel) Enabled(ctx context.Context, l slog.Level) bool { return h.pick(l).Enabled(ctx, l) }

func (h byLevel) Handle(ctx context.Context, r slog.Record) error {
	return h.pick(r.Level).Handle(ctx, r)
}

func (h byLevel) WithAttrs(a []slog.Attr) slog.Handler {
	return byLevel{info: h.info.WithAttrs(a), trouble: h.trouble.WithAttrs(a)}
}

func (h byLevel) WithGroup(name string) slog.Handler {
	return byLevel{info: h.info.WithGroup(name), trouble: h.trouble.WithGroup(name)}
}

func (h byLevel) pick(l slog.Level) slog.Handler {
	if l >= slog.LevelWarn {
		return h.trouble
	}
	return h.info
}
