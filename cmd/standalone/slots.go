// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/look"
)

func slotsCommand() command {
	return command{
		name: "slots", args: "[-watch DURATION]", store: true,
		summary: "list the slots: what is pending, since when, and why",
		about: `Lists every slot in sf_dir: whether it is in use and by which process, how many rows
and bytes are pending, for how long the oldest of them is stored, which frames those are,
dead letters, wounds, and what is kept of acked segments; and below, why a slot with
pending rows is not being drained, or who drains it: what a running agent says of that,
and when its store will be empty, or full. With -config it knows which slots are those of
the agent, and where that sends. With -watch it looks twice and tells how fast slots are
drained.

It takes no lock and changes nothing: the agent may be running. Rows are read from the
files; rows of the last second or so of a running agent may be missing. What an agent says
of rows that wait is up to a minute old, which is told.`,
		examples: []string{
			"questdb_sf slots -config /etc/telegraf/telegraf.conf",
			"questdb_sf slots -sf-dir /var/lib/telegraf/questdb_sf -watch 2s",
			"questdb_sf slots -sf-dir /var/lib/telegraf/questdb_sf -json",
		},
		prepare: func(f *flag.FlagSet) func(context.Context, *call) error {
			watch := f.Duration("watch", 0, "`duration` between two looks, as 2s")
			return func(ctx context.Context, k *call) error { return slots(ctx, k, *watch) }
		},
	}
}

func slots(ctx context.Context, k *call, watch time.Duration) error {
	if len(k.args) > 0 || watch < 0 {
		return misuse("slots takes no arguments, and no negative -watch")
	}
	s, err := k.sight()
	if err != nil {
		return err
	}
	r, err := s.Slots(ctx, watch)
	if err != nil {
		return err
	}
	if k.json {
		err = k.writeJSON(r)
	} else {
		err = k.printSlots(r, watch > 0)
	}
	if err == nil && r.Error != "" {
		err = errors.New(r.Error)
	}
	return err
}

func (k *call) printSlots(r *look.Report, watched bool) error {
	if len(r.Slots) == 0 {
		fmt.Fprintf(k.stdout, "there are no slots in %s\n", r.Dir)
	}
	t := tabwriter.NewWriter(k.stdout, 0, 8, 2, ' ', 0)
	row := func(cells ...string) { fmt.Fprintln(t, strings.Join(cells, "\t")) }
	head := []string{"SLOT", "STATE", "ROWS", "BYTES", "OLDEST", "FRAMES", "ACKED TO", "DEAD", "WOUNDS", "KEPT"}
	if watched {
		head = append(head, "ROWS/S", "EMPTY IN")
	}
	if len(r.Slots) > 0 {
		row(head...)
	}
	for i := range r.Slots {
		row(slotCells(&r.Slots[i], watched)...)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for i := range r.Slots {
		if one := &r.Slots[i]; one.Why != "" || one.Error != "" {
			fmt.Fprintf(k.stdout, "\n%s: %s\n", one.Name, one.Why+one.Error)
		}
	}
	_, err := fmt.Fprintf(k.stdout, "\n%s\n", totalText(r))
	return err
}

func slotCells(one *look.Slot, watched bool) []string {
	state := one.State
	if one.Owner.Held {
		state = fmt.Sprintf("%s, %s", state, one.Owner)
	}
	if one.Foreign != "" {
		state += ", of another client"
	}
	oldest, frames := "-", "-"
	if one.Oldest != nil {
		oldest = ageText(one.Age)
	}
	if one.Frames > 0 {
		frames = fmt.Sprintf("%d..%d", one.FirstPending, one.Published)
	}
	cells := []string{
		one.Name, state, fmt.Sprint(one.Rows), bytesText(one.Bytes), oldest, frames, numberText(one.Watermark),
		fmt.Sprint(one.Ledger.DeadLettered), woundText(one), bytesText(one.RetainBytes),
	}
	if watched {
		empty := "-"
		if one.ToEmpty > 0 {
			empty = ageText(one.ToEmpty)
		}
		cells = append(cells, fmt.Sprintf("%.0f", one.PerSecond), empty)
	}
	return cells
}

func numberText(fsn int64) string {
	if fsn < 0 {
		return "-"
	}
	return fmt.Sprint(fsn)
}

// woundText tells new wounds, and those that were told before.
func woundText(one *look.Slot) string {
	if one.Incidents > 0 {
		return fmt.Sprintf("%d, %d told", one.Wounds, one.Incidents)
	}
	return fmt.Sprint(one.Wounds)
}

func totalText(r *look.Report) string {
	t := &r.Total
	text := fmt.Sprintf("total: %d rows in %d frames pending, %s; segment files %s", t.Rows, t.Frames, bytesText(t.Bytes), bytesText(t.FileBytes))
	if t.Oldest != nil {
		text += fmt.Sprintf("; the oldest was stored at %s, %s ago", t.Oldest.Format(time.RFC3339), ageText(t.Age))
	}
	if t.Retained > 0 {
		text += fmt.Sprintf("; %s kept for rewind", bytesText(t.Retained))
	}
	if t.Final+t.Refused > 0 {
		text += fmt.Sprintf("; %d dead letters, %d of them may still be delivered", t.Final+t.Refused, t.Refused)
	}
	if t.ToEmpty > 0 {
		text += fmt.Sprintf("; empty in %s at this rate", ageText(t.ToEmpty))
	}
	switch {
	case t.Lost != "":
		text += "; " + t.Lost
	case t.ToFull > 0:
		text += fmt.Sprintf("; the store is full in %s at this rate", ageText(t.ToFull))
	}
	return text
}
