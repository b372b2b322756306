// SPDX-License-Identifier: MIT

package tables

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

const (
	infoLevel = slog.LevelInfo
	warnLevel = slog.LevelWarn
	// maxLines is how much is said in a minute: a server with thousands of tables in
	// the same trouble must not fill a log.
	maxLines = 10
)

// voice logs, a few lines a minute.
type voice struct {
	log *slog.Logger

	// mu guards what follows.
	mu     sync.Mutex
	since  time.Time // begin of this minute
	lines  int       // said in it
	unsaid int       // since the last line
}

func (v *voice) say(level slog.Level, text string, args ...any) {
	unsaid, ok := v.turn(time.Now())
	if !ok {
		return
	}
	if unsaid > 0 {
		args = append(args, "more_not_logged", unsaid)
	}
	v.log.Log(context.Background(), level, text, args...)
}

func (v *voice) turn(now time.Time) (unsaid int, ok bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if now.Sub(v.since) >= minute {
		v.since, v.lines = now, 0
	}
	if v.lines >= maxLines {
		v.unsaid++
		return 0, false
	}
	unsaid, v.unsaid = v.unsaid, 0
	v.lines++
	return unsaid, true
}
