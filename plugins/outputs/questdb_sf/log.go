// SPDX-License-Identifier: MIT

package questdb_sf

import (
	"log/slog"

	"github.com/influxdata/telegraf"

	"github.com/questdb-sf/questdb_sf/internal/logline"
)

// newLogger lets the layers below, which know slog, write to Telegraf's log.
func newLogger(log telegraf.Logger) *slog.Logger {
	if log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return logline.New(func(level slog.Level, line string) {
		switch {
		case level >= slog.LevelError:
			log.Error(line)
		case level >= slog.LevelWarn:
			log.Warn(line)
		case level >= slog.LevelInfo:
			log.Info(line)
		default:
			log.Debug(line)
		}
	})
}
