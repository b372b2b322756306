// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/look"
)

func dumpCommand() command {
	return command{
		name: "dump", args: "[-slot NAME] [-from FSN] [-to FSN] [-table NAME] [-since TIME] [-until TIME] [-state S] [-format F]", store: true,
		summary: "write stored rows as line protocol or JSON",
		about: `Writes the rows that are stored to the standard output, slot by slot in the order of
their frames: as line protocol, which another agent, or questdb_sf with another
configuration, takes on its standard input; or as JSON, one object a line. A row that
line protocol cannot say exactly stands in comments, in words and as a QWP frame in base64.

-state says which rows: pending, the default; acked, those that the server has taken and
that still stand in files, kept for rewind or not trimmed yet; or all. -since and -until
are about the times of the rows themselves. What cannot be read is told on the standard
error, and the exit code is 1 then.

It takes no lock and changes nothing: the agent may be running.`,
		examples: []string{
			"questdb_sf dump -config /etc/telegraf/telegraf.conf -table cpu -since 1h",
			"questdb_sf dump -sf-dir /var/lib/telegraf/questdb_sf -format json | jq .table",
			"questdb_sf dump -sf-dir /mnt/old/questdb_sf | questdb_sf -config other.conf",
		},
		prepare: prepareDump,
	}
}

// dumpFlags are the flags as they were typed.
type dumpFlags struct {
	slot, table, since, until, state, format string
	from, to                                 int64
}

func prepareDump(f *flag.FlagSet) func(context.Context, *call) error {
	var d dumpFlags
	f.StringVar(&d.slot, "slot", "", "`name` of the only slot that is wanted")
	f.Int64Var(&d.from, "from", 0, "first frame, by its `number`")
	f.Int64Var(&d.to, "to", -1, "last frame, by its `number`; -1 for all")
	f.StringVar(&d.table, "table", "", "`name` of the only table that is wanted")
	f.StringVar(&d.since, "since", "", "earliest `time` of a row in RFC 3339, or how long ago, as 90m")
	f.StringVar(&d.until, "until", "", "`time` before which rows are, likewise")
	f.StringVar(&d.state, "state", "pending", "pending, acked or all")
	f.StringVar(&d.format, "format", "", "lp for line protocol, the default, or json")
	return func(ctx context.Context, k *call) error { return dump(ctx, k, &d, time.Now()) }
}

func dump(ctx context.Context, k *call, flags *dumpFlags, now time.Time) error {
	d, err := flags.parse(k, now)
	if err != nil {
		return err
	}
	s, err := k.sight()
	if err != nil {
		return err
	}
	done, err := s.Dump(ctx, k.stdout, d)
	if err != nil {
		return err
	}
	for _, line := range done.Skipped {
		fmt.Fprintln(k.stderr, "skipped:", line)
	}
	if done.Comments > 0 {
		fmt.Fprintf(k.stderr, "%d of %d rows are no line protocol and stand in comments\n", done.Comments, done.Rows)
	}
	if len(done.Skipped) > 0 {
		return errors.New("not everything could be read")
	}
	return nil
}

// parse reads the flags.
func (f *dumpFlags) parse(k *call, now time.Time) (d look.Dump, err error) {
	d = look.Dump{From: f.from, To: f.to, Table: f.table}
	if f.slot != "" {
		d.Slots = []string{f.slot}
	}
	switch f.state {
	case "pending":
		d.Pending = true
	case "acked":
		d.Settled = true
	case "all":
		d.Pending, d.Settled = true, true
	default:
		return d, misuse("-state %q: write pending, acked or all", f.state)
	}
	switch f.format {
	case "json":
		d.JSON = true
	case "":
		d.JSON = k.json
	case "lp":
	default:
		return d, misuse("-format %q: write lp or json", f.format)
	}
	if d.Since, err = bound("-since", f.since, now); err == nil {
		d.Until, err = bound("-until", f.until, now)
	}
	if err == nil && (len(k.args) > 0 || f.from < 0 || f.to < -1) {
		err = misuse("dump takes flags only, and frames have numbers from 0 on")
	}
	return d, err
}

// bound reads a time that need not be given.
func bound(name, text string, now time.Time) (at time.Time, err error) {
	if text == "" {
		return at, nil
	}
	if at, err = parseTime(text, now); err != nil {
		return at, misuse("%s %q: %w", name, text, err)
	}
	return at, nil
}
