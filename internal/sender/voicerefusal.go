// SPDX-License-Identifier: MIT

package sender

import (
	"context"
	"log/slog"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/verdict"
)

// maxRemarks is how much is said of refused rows in a minute: a server with thousands
// of tables in the same trouble must not fill a log.
const maxRemarks = 10

// quota counts lines of a minute.
type quota struct {
	since  time.Time
	lines  int
	unsaid int
}

// turn says whether there may be one more, and how many there were not since the last.
func (q *quota) turn(now time.Time) (unsaid int, ok bool) {
	if now.Sub(q.since) >= changedEvery {
		q.since, q.lines = now, 0
	}
	if q.lines >= maxRemarks {
		q.unsaid++
		return 0, false
	}
	q.lines++
	unsaid, q.unsaid = q.unsaid, 0
	return unsaid, true
}

func (v *Voice) tell(level slog.Level, text string, args ...any) {
	v.mu.Lock()
	unsaid, ok := v.quota.turn(time.Now())
	v.mu.Unlock()
	if !ok {
		return
	}
	if unsaid > 0 {
		args = append(args, "more_not_logged", unsaid)
	}
	v.log.Log(context.Background(), level, text, args...)
}

// learned tells of a verdict.
func (v *Voice) learned(x verdict.Verdict) {
	text := "a column refuses values of a type; from now on they go to another column of the table"
	if x.Wait {
		text = "the server does not take values of a column as it is set up; rows with one stay in the store, and one is offered at least once a minute"
	} else if x.To == "" {
		text = "a column refuses values of a type; from now on their rows are dead letters"
	}
	v.tell(slog.LevelWarn, text, "table", x.Table, "column", x.Column, "type", x.Type.String(), "to", x.To, "host", x.Host, "reason", x.Words)
}

// lifted tells of the end of one.
func (v *Voice) lifted(k verdict.Key) {
	v.tell(slog.LevelInfo, "a column takes values of a type that it refused; they go there again",
		"table", k.Table, "column", k.Column, "type", k.Type.String(), "host", k.Host)
}

// widened tells of a column that was altered, or could not be.
func (v *Voice) widened(x verdict.Verdict, err error) {
	if err != nil {
		v.tell(slog.LevelWarn, "a column could not be made DOUBLE", "table", x.Table, "column", x.Column, "host", x.Host, "error", err)
		return
	}
	v.tell(slog.LevelInfo, "a column was made DOUBLE, for values that it refused", "table", x.Table, "column", x.Column, "host", x.Host, "reason", x.Words)
}

// barred tells of a table that takes no rows.
func (v *Voice) barred(host, table, words string) {
	v.tell(slog.LevelWarn, "the server takes no rows of a table; they stay in the store, and one is offered at least once a minute",
		"table", table, "host", host, "reason", words)
}

func (v *Voice) unbarred(k verdict.Key) {
	v.tell(slog.LevelInfo, "the server takes rows of the table again", "table", k.Table, "host", k.Host)
}

// condemned tells of dead letters, as a sum at most once a minute, and that they cannot
// be written, likewise.
func (v *Voice) condemned(slot string, letters []Letter, err error) {
	now := time.Now()
	v.mu.Lock()
	v.letters += int64(len(letters))
	if err != nil {
		v.letters -= int64(len(letters))
	}
	sum, due := v.letters, now.Sub(v.lettersAt) >= changedEvery || v.lettersAt.IsZero()
	if due {
		v.letters, v.lettersAt = 0, now
	}
	v.mu.Unlock()
	if !due {
		return
	}
	x := &letters[0]
	if err != nil {
		v.log.Warn("rows that the server refuses cannot be written to the dead letters; they stay in the store and are tried again",
			"slot", slot, "rows", len(letters), "table", x.Data.Table, "error", err)
		return
	}
	v.log.Warn("rows that the server refuses are dead letters", "rows", sum, "slot", slot, "table", x.Data.Table, "column", x.Column, "reason", x.Words)
}
