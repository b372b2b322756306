// SPDX-License-Identifier: MIT

package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/influxdata/telegraf/config"

	"github.com/questdb-sf/questdb_sf/internal/doctor"
	"github.com/questdb-sf/questdb_sf/internal/fleet"
	"github.com/questdb-sf/questdb_sf/internal/link"
	"github.com/questdb-sf/questdb_sf/internal/look"
	"github.com/questdb-sf/questdb_sf/internal/mounts"
	"github.com/questdb-sf/questdb_sf/internal/tables"
	"github.com/questdb-sf/questdb_sf/internal/vfs"
	"github.com/questdb-sf/questdb_sf/plugins/outputs/questdb_sf"
)

func doctorCommand() command {
	return command{
		name: "doctor", args: "[-url URL,…] [-tables NAME,…] [-rate SIZE] [-outage TIME]", store: true,
		summary: "check disk, clock, servers and tables, and recommend a configuration",
		about: `Looks at what the store depends on and says of each whether it will do, and what to
do if not: how long a sync takes, whether the filesystem can reserve and lock, free
space, owners, mounts and the clock; of each server whether it answers, its version,
protocol and certificates, whether the credentials may write, and the state of the
tables that rows go to. Then it recommends what in the configuration should be
otherwise, with the reason of each line.

Which tables those are it reads in the store: in the newest 4 MiB of each slot and of
its dead letters, up to 100 tables. A table that was not written to for long has to be
named with -tables. Where the store tells of none, as after the end of an agent that had
sent everything, all tables of the server are looked at.

It may run beside the agent. It writes a scratch file into sf_dir, which it removes,
and sends a write of no rows. Run it as the user of the agent. Without -config it
looks at the servers that -url names. Exit code 1 if a check fails.`,
		examples: []string{
			"questdb_sf doctor -config /etc/telegraf/telegraf.conf",
			"questdb_sf doctor -config /etc/telegraf/telegraf.conf -rate 20KiB -outage 168h -json",
			"questdb_sf doctor -sf-dir /var/lib/telegraf/questdb_sf -url http://questdb:9000",
		},
		prepare: func(f *flag.FlagSet) func(context.Context, *call) error {
			var o doctorOptions
			f.StringVar(&o.urls, "url", "", "`URLs` of the servers, apart by commas, where there is no configuration")
			f.StringVar(&o.tables, "tables", "", "`names` of tables to look at, apart by commas, besides those that are known")
			f.StringVar(&o.rate, "rate", "", "bytes a second that are expected, a `size` as 20KiB; otherwise what the store shows")
			f.DurationVar(&o.outage, "outage", 72*time.Hour, "how `long` an outage is to be bridged")
			return func(ctx context.Context, k *call) error { return examine(ctx, k, o) }
		},
	}
}

type doctorOptions struct {
	urls, tables, rate string
	outage             time.Duration
}

func examine(ctx context.Context, k *call, o doctorOptions) error {
	p, err := patient(k, o)
	if err != nil {
		return err
	}
	report := doctor.Examine(ctx, p)
	if k.json {
		err = k.writeJSON(report)
	} else {
		err = printReport(k.stdout, &report)
	}
	if n := report.Count(doctor.Failure); err == nil && n > 0 {
		err = &exitCode{exitFailed, fmt.Errorf("%d of %d checks fail", n, len(report.Findings))}
	}
	return err
}

// patient returns what there is to look at.
func patient(k *call, o doctorOptions) (doctor.Patient, error) {
	out, every, err := k.output(o.urls)
	if err != nil {
		return doctor.Patient{}, err
	}
	var rate config.Size
	if o.rate != "" && rate.UnmarshalText([]byte(o.rate)) != nil || rate < 0 || o.outage <= 0 {
		return doctor.Patient{}, misuse("-rate %q, -outage %s: write them as 20KiB and 72h", o.rate, o.outage)
	}
	cfg, err := out.PoolConfig()
	if err != nil {
		return doctor.Patient{}, misuse("%w", err)
	}
	p := doctor.Patient{
		FS: vfs.OS, Mounts: mounts.System(), Dir: cfg.Dir,
		Cap: cfg.Capacity, Keep: cfg.MinFreeSpace.Of, Segments: cfg.LeastCapacity(),
		Link: link.Config{
			URLs: cfg.URLs, Transport: cfg.Transport, Auth: cfg.Auth, TLS: cfg.TLS, Proxy: cfg.Proxy, Compression: cfg.Compression,
			ConnectTimeout: cfg.ConnectTimeout, RequestTimeout: cfg.RequestTimeout, RequestDurableAck: cfg.RequestDurableAck,
		},
		CAFile: out.TLSCA, CertFile: out.TLSCert,
		ExactlyOnce: out.ExactlyOnce, Create: cfg.TableCreate, TimestampColumn: out.TimestampColumn,
		TablePrefix: out.TablePrefix, Durability: out.SFDurability,
		FlushInterval: every, IdleTimeout: cfg.IdleConnectionTimeout, AppendDeadline: cfg.AppendDeadline,
		Rate: float64(rate), Outage: o.outage,
	}
	if cfg.ExactlyOnce && p.Create == tables.Server {
		p.Create = tables.SQL
	}
	if k.config == "" {
		p.Link.URLs = commas(o.urls)
	}
	p.Tables, p.MoreTables, err = k.targets(out, p.Create, commas(o.tables))
	return p, err
}

// targets are the tables that rows go to: those that were named, those that the
// configuration tells, and those of rows in the store; none where it tells of none. more
// says why there are others.
func (k *call) targets(out *questdb_sf.Output, create tables.Create, named []string) (list []string, more string, err error) {
	s, err := k.sight()
	if err != nil {
		return nil, "", err
	}
	list = named
	if name := out.TableTemplate; out.TableTag == "" && !strings.Contains(name, "{{") {
		list = append(list, out.TablePrefix+name)
	}
	if stored, err := s.Tables(); err == nil { // else what is amiss is a finding by itself
		list = append(list, stored.Names...)
		switch {
		case stored.More:
			more = fmt.Sprintf("there are rows of more than %d tables in the store", look.MaxTables)
		case len(stored.Unread) > 0:
			more = fmt.Sprintf("%s cannot be read, which verify tells more of", stored.Unread[0])
		}
	}
	if len(list) == 0 {
		return nil, more, nil // of those of the box itself alone it would tell nothing of the rest
	}
	if out.StatusRows > 0 {
		list = append(list, fleet.StatusTable)
	}
	if out.StatusRows > 0 || k.config != "" && create != tables.Never {
		list = append(list, fleet.EventsTable)
	}
	return distinct(list), more, nil
}

// distinct leaves a name out that is there already, in letters of any size.
func distinct(names []string) (list []string) {
	for _, name := range names {
		if !slices.ContainsFunc(list, func(have string) bool { return strings.EqualFold(have, name) }) {
			list = append(list, name)
		}
	}
	return list
}

// output returns the block of the configuration and how often it is flushed; without one,
// a block with default options.
func (k *call) output(urls string) (out *questdb_sf.Output, every time.Duration, err error) {
	if k.config == "" {
		out, every = questdb_sf.New(), 10*time.Second
		out.SFDir, out.URLs = k.dir, commas(cmp.Or(urls, "http://127.0.0.1:9000"))
	} else if urls != "" {
		return nil, 0, misuse("-url: the servers are those of -config; use -sf-dir for others")
	} else {
		b, err := k.block()
		if err != nil {
			return nil, 0, err
		}
		out, every = b.Output, b.every
	}
	if err := out.Init(); err != nil {
		return nil, 0, misuse("%s: %w", cmp.Or(k.config, "-url or -sf-dir"), err)
	}
	return out, every, nil
}

func commas(list string) (names []string) {
	for name := range strings.SplitSeq(list, ",") {
		if name = strings.TrimSpace(name); name != "" {
			names = append(names, name)
		}
	}
	return names
}

// printReport writes the findings below what they are about.
func printReport(w io.Writer, r *doctor.Report) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	subject := "\x00"
	for _, f := range r.Findings {
		if f.Subject != subject {
			subject = f.Subject
			fmt.Fprintf(t, "%s\n", cmp.Or(subject, "this box"))
		}
		fmt.Fprintf(t, "  %s\t%s\t%s\n", f.Verdict, f.Check, f.Found)
		if f.Remedy != "" {
			fmt.Fprintf(t, "  \t\t-> %s\n", f.Remedy)
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	printAdvice(w, r.Advice)
	_, err := fmt.Fprintf(w, "\n%d ok, %d warnings, %d failures\n", r.Count(doctor.OK), r.Count(doctor.Warning), r.Count(doctor.Failure))
	return err
}

// printAdvice writes what should be otherwise as it stands in a configuration.
func printAdvice(w io.Writer, list []doctor.Advice) {
	if len(list) == 0 {
		fmt.Fprintln(w, "\nrecommended: the configuration as it is")
		return
	}
	fmt.Fprintln(w, "\nrecommended, instead of what is there now:\n\n[[outputs.questdb_sf]]")
	for _, a := range list {
		now := ""
		if a.Present != "" {
			now = fmt.Sprintf(" Now: %s", a.Present)
		}
		fmt.Fprintf(w, "  ## %s.%s\n  %s = %s\n", a.Why, now, a.Option, a.Value)
	}
}
