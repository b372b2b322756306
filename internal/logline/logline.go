// SPDX-License-Identifier: MIT

// Package logline renders what is logged as one line for people: the message, and
// then key=value. It is for logs that add time and level themselves.
package logline

import (
	"context"
	"log/slog"
	"strconv"
	"strings"
)

// New returns a logger that hands each line to write, which must be safe for
// concurrent use.
func New(write func(level slog.Level, line string)) *slog.Logger {
	return slog.New(handler{write: write})
}

type handler struct {
	write func(slog.Level, string)
	attrs string
}

func (handler) Enabled(context.Context, slog.Level) bool { return true }

func (h handler) Handle(_ context.Context, r slog.Record) error {
	var b strings.Builder
	b.WriteString(r.Message)
	b.WriteString(h.attrs)
	r.Attrs(func(a slog.Attr) bool {
		appendAttr(&b, a)
		return true
	})
	h.write(r.Level, b.String())
	return nil
}

func (h handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	var b strings.Builder
	b.WriteString(h.attrs)
	for _, a := range attrs {
		appendAttr(&b, a)
	}
	return handler{write: h.write, attrs: b.String()}
}

// WithGroup is not used here; groups would only lengthen the lines.
func (h handler) WithGroup(string) slog.Handler { return h }

func appendAttr(b *strings.Builder, a slog.Attr) {
	b.WriteByte(' ')
	b.WriteString(a.Key)
	b.WriteByte('=')
	b.WriteString(quoted(a.Value.Resolve().String()))
}

// quoted leaves text with quotes in it as it is, because operators copy SQL out of
// the log.
func quoted(v string) string {
	switch {
	case v != "" && !strings.ContainsAny(v, " \"=\n\r\t"):
		return v
	case strings.Contains(v, `"`) && strconv.CanBackquote(v):
		return "`" + v + "`"
	}
	return strconv.Quote(v)
}
