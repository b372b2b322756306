// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"flag"
	"fmt"
	"time"

	"github.com/questdb-sf/questdb_sf/sfpool"
)

func rewindCommand() command {
	return command{
		name: "rewind", args: "-since TIME", store: true,
		summary: "send again what was acknowledged since a time, after the server lost it",
		about: `For a server that was set back to an older copy of its data. It takes up again what
it had acknowledged since TIME and is still kept: sf_retain_acked or
sf_retain_acked_bytes must have been on. That goes into a slot of its own,
<sender_id>-rewind-<n>, which a running agent sends within a minute or so, and
any other at its next start (drain_orphans). Give the time of the copy, or a
little earlier: rows are stored twice by that, unless exactly_once is on.`,
		examples: []string{
			"questdb_sf rewind -config /etc/telegraf/telegraf.conf -since 2026-11-28T06:00:00Z",
			"questdb_sf rewind -config /etc/telegraf/telegraf.conf -since 3h",
		},
		prepare: func(f *flag.FlagSet) func(context.Context, *call) error {
			since := f.String("since", "", "`time` in RFC 3339, or how long ago, as 90m or 3h")
			return func(ctx context.Context, k *call) error { return rewind(ctx, k, *since, time.Now()) }
		},
	}
}

func rewind(ctx context.Context, k *call, since string, now time.Time) error {
	at, err := parseTime(since, now)
	if err != nil {
		return misuse("-since %q: %w", since, err)
	}
	cfg, err := k.pool()
	if err != nil {
		return err
	}
	report, err := sfpool.Rewind(ctx, cfg, at)
	if err != nil {
		return err
	}
	if k.json {
		return k.writeJSON(report)
	}
	for _, s := range report.Skipped {
		fmt.Fprintln(k.stderr, "skipped:", s)
	}
	if len(report.Slots) == 0 {
		fmt.Fprintln(k.stdout, "nothing that was acknowledged since then is kept: was sf_retain_acked on?")
		return nil
	}
	fmt.Fprintf(k.stdout, "%d rows in %d frames, from %s to %s, wait in %s\n", report.Rows, report.Frames,
		report.Earliest.UTC().Format(time.RFC3339), report.Latest.UTC().Format(time.RFC3339), report.Slots)
	return nil
}

// parseTime reads a moment in RFC 3339, or how long ago it was.
func parseTime(text string, now time.Time) (time.Time, error) {
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return at, nil
	}
	return time.Time{}, fmt.Errorf("write it as %s, or as 90m or 3h for how long ago", now.UTC().Format(time.RFC3339))
}
