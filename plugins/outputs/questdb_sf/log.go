// SPDX-License-Identifier: MIT

package questdb_sf

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"strings"

	"github.com/influxdata/telegraf"
)

// newLogger lets the layers below, which know slog, write to Telegraf's log.
func newLogger(log telegraf.Logger) *slog.Logger {
	if log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(handler{log: log})
}

// handler renders a record as one line: message, then key=value.
type handler struct {
	log   telegraf.Logger
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
	switch {
	case r.Level >= slog.LevelError:
		h.log.Error(b.String())
	case r.Level >= slog.LevelWarn:
		h.log.Warn(b.String())
	case r.Level >= slog.LevelInfo:
		h.log.Info(b.String())
	default:
		h.log.Debug(b.String())
	}
	return nil
}

func appendAttr(b *strings.Builder, a slog.Attr) {
	v := a.Value.Resolve().String()
	fmt.Fprintf(b, " %s=%s", a.Key, quoted(v))
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

func (h handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	var b strings.Builder
	b.WriteString(h.attrs)
	for _, a := range attrs {
		appendAttr(&b, a)
	}
	return handler{log: h.log, attrs: b.String()}
}

// WithGroup is not used below; groups would only lengthen the lines.
func (h handler) WithGroup(string) slog.Handler { return h }
