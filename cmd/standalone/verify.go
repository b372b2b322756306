// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"text/tabwriter"

	"github.com/questdb-sf/questdb_sf/internal/look"
	"github.com/questdb-sf/questdb_sf/internal/slot"
)

// Exit codes of verify, besides those of every command.
const (
	exitTorn    = 3 // what a crash leaves, and the next start mends without loss
	exitWounded = 4
)

func verifyCommand() command {
	return command{
		name: "verify", args: "[SLOT ...]", store: true,
		summary: "check every byte of the store",
		about: `Reads every frame of every segment, also of those that are kept, and every dead letter,
and compares them with their checksums, with each other and with the ledger. It takes no
lock and changes nothing: the agent may be running, and what it writes meanwhile counts
as wrong only if a second look says so too.

Exit code: 0 clean; 3 torn: what a crash leaves, or damage that costs no row, which the
next start mends; 4 wounded: something that was stored cannot be read; 1 something could
not be looked at; 2 usage. The worst counts: 4, then 1, then 3.`,
		examples: []string{
			"questdb_sf verify -config /etc/telegraf/telegraf.conf",
			"questdb_sf verify -sf-dir /var/lib/telegraf/questdb_sf -json default-0",
		},
		prepare: func(*flag.FlagSet) func(context.Context, *call) error { return verify },
	}
}

func verify(ctx context.Context, k *call) error {
	s, err := k.sight()
	if err != nil {
		return err
	}
	v, err := s.Verify(ctx, k.args)
	if err != nil {
		return err
	}
	if k.json {
		err = k.writeJSON(v)
	} else {
		err = k.printVerdict(v)
	}
	if err != nil {
		return err
	}
	return judge(v)
}

// judge is how a verdict ends the program.
func judge(v *look.Verdict) error {
	switch {
	case v.Grade == slot.Wounded:
		return &exitCode{exitWounded, errors.New("wounded: what can be read is delivered, what cannot is kept; look at the disk")}
	case v.Unread > 0:
		return &exitCode{exitFailed, fmt.Errorf("%d slots or files could not be looked at", v.Unread)}
	case v.Grade == slot.Torn:
		return &exitCode{exitTorn, errors.New("torn: the next start mends it, and no row is lost by it")}
	}
	return nil
}

func (k *call) printVerdict(v *look.Verdict) error {
	t := tabwriter.NewWriter(k.stdout, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, "SLOT\tGRADE\tFRAMES\tBYTES\tACCEPTED\tACKED\tPENDING\tDEAD\tEVICTED\tQUARANTINED\tUNKNOWN\tLEDGER")
	for i := range v.Slots {
		one := &v.Slots[i]
		l := one.Ledger
		fmt.Fprintf(t, "%s\t%s\t%d\t%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%s\n", one.Name, gradeText(one.Grade, one.Error), one.Frames,
			bytesText(one.Bytes), l.Accepted, l.Acked, l.Pending, l.DeadLettered, l.Evicted, l.Quarantined, l.Unknown, ledgerText(one))
	}
	for i := range v.Letters {
		one := &v.Letters[i]
		fmt.Fprintf(t, "%s\t%s\t%d letters\t%s\n", one.File, gradeText(one.Grade, one.Error), one.Letters, bytesText(one.Bytes))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for i := range v.Slots {
		k.printFindings(v.Slots[i].Name, v.Slots[i].Findings, v.Slots[i].Error)
	}
	for i := range v.Letters {
		k.printFindings("dead letters", v.Letters[i].Findings, v.Letters[i].Error)
	}
	_, err := fmt.Fprintf(k.stdout, "\n%s is %s\n", v.Dir, v.Grade)
	return err
}

func gradeText(g slot.Grade, failure string) string {
	if failure != "" {
		return "not read"
	}
	return g.String()
}

// ledgerText says whether the ledger agrees with what is there.
func ledgerText(one *look.SlotHealth) string {
	switch {
	case one.LedgerMoved == 0:
		return "agrees"
	case one.Closed:
		return fmt.Sprintf("off by %d", one.LedgerMoved)
	}
	return fmt.Sprintf("%+d by what is there", one.LedgerMoved)
}

func (k *call) printFindings(name string, findings []slot.Finding, failure string) {
	if failure != "" {
		fmt.Fprintf(k.stdout, "\n%s: %s\n", name, failure)
	}
	for _, f := range findings {
		fmt.Fprintf(k.stdout, "\n%s: %s: %s\n", name, f.Grade, f.What)
		if f.File != "" {
			fmt.Fprintf(k.stdout, "  in %s", f.File)
			if f.Offset >= 0 {
				fmt.Fprintf(k.stdout, " at byte %d", f.Offset)
			}
			fmt.Fprintln(k.stdout)
		}
		if f.LastFSN >= f.FirstFSN {
			fmt.Fprintf(k.stdout, "  frames %d to %d", f.FirstFSN, f.LastFSN)
			if f.RowsKnown {
				fmt.Fprintf(k.stdout, ", %d rows lost", f.Rows)
			}
			fmt.Fprintln(k.stdout)
		}
		if f.Receipt != "" {
			fmt.Fprintf(k.stdout, "  told before in %s\n", f.Receipt)
		}
	}
}
