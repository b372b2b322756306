// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/steward"
)

func dropCommand() command {
	return command{
		name: "drop", args: "-before TIME", store: true,
		summary: "give up pending rows that were stored before a time",
		about: `Gives up, for good, rows that wait and were stored before TIME: whole segments, by the
time they were written last, up to the first that is younger. It says how many and
from when, asks for a yes, and counts them as evicted. No agent may be using the
slots. A slot of another client goes as a whole or not at all.`,
		examples: []string{
			"questdb_sf drop -config /etc/telegraf/telegraf.conf -before 2026-11-28T06:00:00Z",
			"questdb_sf drop -config /etc/telegraf/telegraf.conf -slot default-0 -before 72h -yes",
		},
		prepare: func(f *flag.FlagSet) func(context.Context, *call) error {
			before := f.String("before", "", "`time` in RFC 3339, or how long ago, as 90m or 72h")
			slot := f.String("slot", "", "`name` of one slot; all in the store if it is not given")
			yes := f.Bool("yes", false, "do not ask")
			return func(ctx context.Context, k *call) error { return drop(ctx, k, *before, *slot, *yes, time.Now()) }
		},
	}
}

func drop(ctx context.Context, k *call, before, slot string, yes bool, now time.Time) (err error) {
	at, err := parseTime(before, now)
	switch {
	case err != nil:
		return misuse("-before %q: %w", before, err)
	case len(k.args) > 0:
		return misuse("%q: only flags are taken", k.args[0])
	}
	s, _, err := k.store()
	if err != nil {
		return err
	}
	var names []string
	if slot != "" {
		names = []string{slot}
	}
	d, err := s.PlanDrop(names, at)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	return k.dropPlanned(ctx, d, at, yes)
}

func (k *call) dropPlanned(ctx context.Context, d *steward.Drop, at time.Time, yes bool) error {
	if d.Rows == 0 {
		if k.json {
			return k.writeJSON(d)
		}
		fmt.Fprintf(k.stdout, "no segment that waits was written last before %s: nothing was dropped\n", at.UTC().Format(time.RFC3339))
		return nil
	}
	tellDrop(k.stderr, d)
	if err := k.confirm(yes, fmt.Sprintf("Give up %d rows, %s, for good?", d.Rows, span(d.Earliest, d.Latest))); err != nil {
		return err
	}
	if err := d.Run(ctx); err != nil {
		return err
	}
	for _, one := range d.Slots {
		if one.Rows > 0 {
			fmt.Fprintf(k.stderr, "dropped from slot %s: %d rows, %s, stored before %s\n", one.Slot, one.Rows, span(one.Earliest, one.Latest), at.UTC().Format(time.RFC3339))
		}
	}
	if k.json {
		return k.writeJSON(d)
	}
	fmt.Fprintf(k.stdout, "%d rows were given up\n", d.Rows)
	return nil
}

// tellDrop shows what would go.
func tellDrop(to io.Writer, d *steward.Drop) {
	w := tabwriter.NewWriter(to, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "SLOT\tROWS THAT GO\tTIMES OF THESE SEGMENTS\tROWS THAT STAY")
	for _, s := range d.Slots {
		times := "-"
		if s.Rows > 0 {
			times = span(s.Earliest, s.Latest)
		}
		fmt.Fprintf(w, "%s\t%d\t%s\t%d\n", s.Slot, s.Rows, times, s.Left)
	}
	_ = w.Flush()
}
