// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"text/tabwriter"
	"time"

	"github.com/questdb-sf/questdb_sf/sfpool"
)

func drainCommand() command {
	return command{
		name: "drain", args: "[-timeout 10m]", store: true,
		summary: "send what waits now, and say what is left and why",
		about: `Sends what waits in the store to the server of the configuration, until nothing is
left that may be sent. While an agent has the store open it sends its own slots; drain
then sees to what belongs to nobody, and leaves what is refused to the agent. Ctrl-C or -timeout end it: what was not sent
stays on the disk. Exit code 0 if nothing is left but what a running agent sends.`,
		examples: []string{
			"questdb_sf drain -config /etc/telegraf/telegraf.conf",
			"questdb_sf drain -config /etc/telegraf/telegraf.conf -timeout 10m -json",
		},
		prepare: func(f *flag.FlagSet) func(context.Context, *call) error {
			timeout := f.Duration("timeout", 0, "give up after so long; 0 for never")
			orphans := f.Bool("orphans", true, "also send what belongs to nobody")
			return func(ctx context.Context, k *call) error { return drain(ctx, k, *timeout, *orphans) }
		},
	}
}

// drained is what drain tells.
type drained struct {
	Sent        int64  `json:"rows_sent"`
	DeadLetters int64  `json:"rows_dead_lettered"`
	Left        []left `json:"left"`
	Done        bool   `json:"done"` // nothing is left but what a running agent sends
	// Beside an agent: that takes the dead letters over.
	Beside bool   `json:"beside_agent"`
	Ended  string `json:"ended,omitempty"`
}

type left struct {
	Slot string `json:"slot"`
	Rows int64  `json:"rows"` // -1 for unknown
	Why  string `json:"why"`
}

// forOperator changes a configuration to that of a pool which is open for as long as a
// command lasts.
func forOperator(cfg sfpool.Config) sfpool.Config {
	cfg.MinSenders, cfg.CloseFlushTimeout = -1, -1 // slots are opened where there is something in them
	cfg.Logger = slog.New(slog.DiscardHandler)     // the command tells
	cfg.HousekeeperInterval = 200 * time.Millisecond
	return cfg
}

func drain(ctx context.Context, k *call, timeout time.Duration, orphans bool) error {
	cfg, err := k.sending()
	if err != nil {
		return err
	}
	if len(k.args) > 0 || timeout < 0 {
		return misuse("only flags are taken, and -timeout is 0 or more")
	}
	s, _, err := k.store()
	if err != nil {
		return err
	}
	cfg = forOperator(cfg)
	cfg.DrainOrphans = orphans
	p, beside, err := k.openPool(ctx, cfg)
	if err != nil {
		return err
	}
	inner := ctx
	if timeout > 0 {
		var cancel context.CancelFunc
		inner, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	watch := startProgress(k.stderr, p, s)
	err = p.DrainAll(inner)
	watch.end()
	r := report(p, err)
	r.Beside = beside
	err = errors.Join(p.Close(context.Background()), k.tellDrain(r))
	if err != nil || r.Done {
		return err
	}
	if r.Ended != "" {
		return fmt.Errorf("ended before all was sent (%s): the rows of %d slots stay on the disk", r.Ended, len(r.Left))
	}
	return fmt.Errorf("the rows of %d slots cannot be sent and stay on the disk", len(r.Left))
}

// openPool opens the pool of the configuration, or one that has only orphans where an
// agent has that.
func (k *call) openPool(ctx context.Context, cfg sfpool.Config) (p *sfpool.Pool, beside bool, err error) {
	p, err = sfpool.Open(ctx, cfg)
	var locked *sfpool.LockedError
	if !errors.As(err, &locked) || !cfg.DrainOrphans {
		return p, false, err
	}
	fmt.Fprintf(k.stderr, "an agent has the store open (process %d) and sends its own slots; only what belongs to nobody is drained\n", locked.PID)
	cfg.Beside, cfg.MaxSenders, cfg.MaxConnections, cfg.MaxTotalBytes = true, 1, 1, 0
	if p, err = sfpool.Open(ctx, cfg); errors.As(err, &locked) {
		err = fmt.Errorf("process %d drains already, or takes over what the last drain left: try again in a moment", locked.PID)
	}
	return p, true, err
}

func report(p *sfpool.Pool, err error) drained {
	st := p.Stats()
	r := drained{Sent: st.Sent, DeadLetters: st.Refused, Left: []left{}, Done: err == nil}
	if err != nil {
		r.Ended = err.Error()
	}
	for _, l := range p.Left() {
		r.Left = append(r.Left, left{l.Slot, l.Rows, l.Why})
		r.Done = r.Done && l.Owned
	}
	return r
}

func (k *call) tellDrain(r drained) error {
	if k.json {
		return k.writeJSON(r)
	}
	fmt.Fprintf(k.stdout, "%d rows sent", r.Sent)
	if r.DeadLetters > 0 {
		fmt.Fprintf(k.stdout, ", %d became dead letters: see questdb_sf dead-letter list", r.DeadLetters)
	}
	if r.DeadLetters > 0 && r.Beside {
		fmt.Fprint(k.stdout, "; the agent takes them over, and feeds back what the server comes to take")
	}
	fmt.Fprintln(k.stdout)
	if len(r.Left) == 0 {
		return nil
	}
	w := tabwriter.NewWriter(k.stdout, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "SLOT\tROWS LEFT\tWHY")
	for _, l := range r.Left {
		rows := "?"
		if l.Rows >= 0 {
			rows = fmt.Sprint(l.Rows)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", l.Slot, rows, l.Why)
	}
	return w.Flush()
}
