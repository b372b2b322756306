// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"flag"
	"fmt"
	"text/tabwriter"

	"github.com/questdb-sf/questdb_sf/internal/steward"
)

// exitLosses says that something could not be read.
const exitLosses = 4

func repairCommand() command {
	return command{
		name: "repair", args: "-slot NAME -to DIR", store: true,
		summary: "copy what is whole of a damaged slot into a new directory",
		about: `Copies what is pending and can be read of a slot, ours or another client's, into a
new slot of the same name in DIR, and says what could not be read. The slot itself is
only read; no agent may be using it. DIR is then a store: an agent or drain whose
sf_dir it is sends the rows. Exit code 0 if the slot is whole, 4 if something is
lost, 1 if nothing could be done.`,
		examples: []string{
			"questdb_sf repair -sf-dir /var/lib/telegraf/questdb_sf -slot default-0 -to /tmp/repaired",
		},
		prepare: func(f *flag.FlagSet) func(context.Context, *call) error {
			slot := f.String("slot", "", "`name` of the slot, a directory of the store")
			to := f.String("to", "", "`directory` for the new slot; it is made if need be")
			return func(ctx context.Context, k *call) error { return repair(ctx, k, *slot, *to) }
		},
	}
}

func repair(ctx context.Context, k *call, slot, to string) error {
	if slot == "" || to == "" || len(k.args) > 0 {
		return misuse("name the slot with -slot NAME and a directory for the new one with -to DIR")
	}
	s, _, err := k.store()
	if err != nil {
		return err
	}
	r, err := s.Repair(ctx, slot, to)
	if err != nil {
		return err
	}
	if k.json {
		err = k.writeJSON(r)
	} else {
		k.tellRepair(&r)
	}
	if err == nil && len(r.Lost) > 0 {
		err = &exitCode{exitLosses, fmt.Errorf("%d places in slot %s could not be read; it stays as it is", len(r.Lost), slot)}
	}
	return err
}

func (k *call) tellRepair(r *steward.Repaired) {
	if r.Dir == "" {
		fmt.Fprintf(k.stdout, "nothing that is pending in slot %s can be read: no slot was made\n", r.Slot)
	} else {
		fmt.Fprintf(k.stdout, "%s are in the new slot %s\n", counted(r.Count), r.Dir)
	}
	if r.TornBytes > 0 {
		fmt.Fprintf(k.stdout, "%d bytes at its end were cut off by a crash; nobody was told that they are stored\n", r.TornBytes)
	}
	if len(r.Lost) == 0 {
		return
	}
	w := tabwriter.NewWriter(k.stdout, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "FILE\tBYTES\tROWS\tNOT READ BECAUSE")
	for _, l := range r.Lost {
		rows := fmt.Sprint(l.Rows)
		if l.Rows < 0 {
			rows = "?"
		}
		fmt.Fprintf(w, "%s\t%d\t%s\t%s\n", orDash(l.File), l.Bytes, rows, l.Why)
	}
	_ = w.Flush()
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
