// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"flag"
	"fmt"
	"strings"

	"github.com/questdb-sf/questdb_sf/sfpool"
)

func exportCommand() command {
	return command{
		name: "export", args: "-slot NAME FILE", store: true,
		summary: "write what is pending in a slot to one file, for another machine",
		about: `Writes the pending rows of a slot to FILE, which must not be there yet: one portable
file with a checksum, which import takes on another machine. No agent may be using
the slot. The slot stays as it is, and an agent that starts later sends its rows
too; with -move they are removed from it, counted as evicted, once FILE is on the
disk and was read again.`,
		examples: []string{
			"questdb_sf export -sf-dir /var/lib/telegraf/questdb_sf -slot default-0 default-0.qsf",
			"questdb_sf export -config /etc/telegraf/telegraf.conf -slot default-0 -move /media/usb/default-0.qsf",
		},
		prepare: func(f *flag.FlagSet) func(context.Context, *call) error {
			slot := f.String("slot", "", "`name` of the slot, a directory of the store")
			move := f.Bool("move", false, "remove from the slot what was exported, so that nothing is sent twice")
			return func(ctx context.Context, k *call) error { return export(ctx, k, *slot, *move) }
		},
	}
}

func export(ctx context.Context, k *call, slot string, move bool) error {
	if slot == "" || len(k.args) != 1 {
		return misuse("name the slot with -slot NAME, and behind all flags one FILE")
	}
	s, _, err := k.store()
	if err != nil {
		return err
	}
	r, err := s.Export(ctx, slot, k.args[0], move)
	if err != nil {
		return err
	}
	if r.Skipped > 0 {
		fmt.Fprintf(k.stderr, "%d frames of slot %s are no messages and stay there\n", r.Skipped, slot)
	}
	if k.json {
		return k.writeJSON(r)
	}
	if r.File == "" {
		fmt.Fprintf(k.stdout, "nothing is pending in slot %s: no file was written\n", slot)
		return nil
	}
	what := "the slot has them still"
	if r.Moved {
		what = "they are not in the slot any more"
	}
	fmt.Fprintf(k.stdout, "%s: %s; %s\n", r.File, counted(r.Count), what)
	return nil
}

func importCommand() command {
	return command{
		name: "import", args: "FILE", store: true,
		summary: "make a slot of a file that export wrote",
		about: `Makes a slot <sender_id>-import-<n> of FILE in the store. A running agent with
drain_orphans sends it within a minute or so, and any other at its next start;
drain sends it now. The rows go where they were to go: a store that sends elsewhere
refuses them, unless -retarget says so. A file that is not as it was written is
refused before anything is stored. Importing a file twice stores its rows twice.`,
		examples: []string{
			"questdb_sf import -config /etc/telegraf/telegraf.conf default-0.qsf",
			"questdb_sf import -config /etc/telegraf/telegraf.conf -retarget default-0.qsf",
		},
		prepare: func(f *flag.FlagSet) func(context.Context, *call) error {
			retarget := f.Bool("retarget", false, "send the rows where this configuration sends, wherever they were to go")
			return func(ctx context.Context, k *call) error { return importFile(ctx, k, *retarget) }
		},
	}
}

func importFile(ctx context.Context, k *call, retarget bool) error {
	switch {
	case len(k.args) != 1:
		return misuse("name one FILE, behind all flags")
	case retarget && k.config == "":
		return misuse("-retarget has to know where to: give -config FILE")
	}
	s, cfg, err := k.store()
	if err != nil {
		return err
	}
	r, err := s.Import(ctx, k.args[0], senderOf(cfg)+sfpool.ImportSuffix, func(has string) (string, error) {
		return k.targetFor(has, cfg, retarget)
	})
	if err != nil {
		return err
	}
	if k.json {
		return k.writeJSON(r)
	}
	if r.Slot == "" {
		fmt.Fprintf(k.stdout, "%s has no rows: no slot was made\n", k.args[0])
		return nil
	}
	fmt.Fprintf(k.stdout, "%s of slot %s wait in slot %s\n", counted(r.Count), r.From, r.Slot)
	return nil
}

// targetFor says where imported rows go: where they were to go, or by -retarget where
// the configuration sends. A directory alone does not know where its agent sends.
func (k *call) targetFor(has string, cfg sfpool.Config, retarget bool) (string, error) {
	switch {
	case k.config == "":
		return has, nil
	case retarget || has == "":
		return cfg.Target(), nil
	case !cfg.Takes(has, false):
		return "", fmt.Errorf("nothing was stored: the rows belong to %s and this configuration sends to %s; -retarget sends them there",
			inline(has), inline(cfg.Target()))
	}
	return has, nil
}

// inline shows a target, which has one URL in a line.
func inline(target string) string { return strings.Join(strings.Fields(target), ",") }
