// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/mounts"
	"github.com/questdb-sf/questdb_sf/internal/top"
	"github.com/questdb-sf/questdb_sf/internal/tty"
	"github.com/questdb-sf/questdb_sf/internal/vfs"
)

func topCommand() command {
	return command{
		name: "top", args: "[-status URL] [-n N] [-every TIME]", store: true, storeOr: "status",
		summary: "watch a store: backlog, rates, time to empty and to full",
		about: `Looks at the store every second and shows what is pending, how fast rows come and go,
when the backlog is gone and when the store is full if all goes on like this, and,
where nothing moves, why, as far as the files tell. It takes no lock and changes
nothing: it may run beside the agent. Rates are those of the last half minute.

With -status the agent is asked instead, which knows more: what its server says.
On a terminal q or Ctrl-C ends it; elsewhere it writes a line for each look.
NO_COLOR has it do without colours.`,
		examples: []string{
			"questdb_sf top -config /etc/telegraf/telegraf.conf",
			"questdb_sf top -sf-dir /var/lib/telegraf/questdb_sf -n 3",
			"questdb_sf top -status http://127.0.0.1:8090 -json",
		},
		prepare: func(f *flag.FlagSet) func(context.Context, *call) error {
			var w watch
			status := f.String("status", "", "`URL` of an agent with status_address, to be asked instead of the files")
			f.IntVar(&w.n, "n", 0, "end after `N` looks; 0 is never")
			f.DurationVar(&w.every, "every", time.Second, "`time` between two looks")
			return func(ctx context.Context, k *call) (err error) {
				if w.n < 0 || w.every < 50*time.Millisecond {
					return misuse("-n %d, -every %s: at least 0, and 50ms", w.n, w.every)
				}
				if w.source, err = source(k, *status); err != nil {
					return err
				}
				return w.run(ctx, k)
			}
		},
	}
}

// source returns where to look.
func source(k *call, status string) (top.Source, error) {
	if status == "" {
		return dirSource(k)
	}
	url, err := top.StatusURL(status)
	if err != nil {
		return nil, misuse("-status: %w", err)
	}
	s := &top.Status{URL: url}
	switch {
	case k.config != "":
		b, err := k.block()
		if err != nil {
			return nil, err
		}
		s.Store = b.store().dir // as the agent names it
	case k.dir != "":
		s.Store = mounts.Resolved(k.dir)
	}
	return s, nil
}

func dirSource(k *call) (top.Source, error) {
	out, _, err := k.output("")
	if err != nil {
		return nil, err
	}
	cfg, err := out.PoolConfig()
	if err != nil {
		return nil, misuse("%w", err)
	}
	d := &top.Dir{FS: vfs.ReadOnly(vfs.OS), Path: cfg.Dir, SenderID: cfg.SenderID, Now: time.Now, Keep: cfg.MinFreeSpace.Of}
	if k.config != "" { // else the cap is not known
		d.Cap = cfg.Capacity
	}
	return d, nil
}

// watch looks again and again.
type watch struct {
	source top.Source
	n      int
	every  time.Duration

	history top.History
	last    *top.Reading
	screen  *screen // nil where there is no terminal
}

func (w *watch) run(ctx context.Context, k *call) error {
	if out, ok := k.stdout.(*os.File); ok && !k.json && tty.Is(out) {
		var done func()
		ctx, w.screen, done = openScreen(ctx, out, k.stdin)
		defer done()
	}
	tick := time.NewTicker(w.every)
	defer tick.Stop()
	for looks := 1; ; looks++ {
		if err := w.look(ctx, k); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		if looks == w.n {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (w *watch) look(ctx context.Context, k *call) error {
	r, err := w.read(ctx)
	if err != nil {
		return err
	}
	f := w.history.Add(r)
	switch {
	case w.screen != nil:
		return w.screen.show(&r, &f)
	case k.json:
		return json.NewEncoder(k.stdout).Encode(struct {
			top.Reading
			Figures top.Figures `json:"figures"`
		}{r, f})
	}
	_, err = fmt.Fprintln(k.stdout, top.Line(&r, &f))
	return err
}

// read looks once. When it does not succeed any more the last reading is shown with the
// reason: an agent that is restarted is no reason to end.
func (w *watch) read(ctx context.Context) (top.Reading, error) {
	r, err := w.source.Read(ctx)
	switch {
	case err == nil:
		w.last = &r
	case w.last == nil || ctx.Err() != nil:
		return r, err
	default:
		r = *w.last
		r.At, r.Agents, r.Trouble = time.Now(), nil, []string{err.Error()}
	}
	return r, nil
}

// What a terminal is told, in ANSI.
const (
	enterScreen = "\x1b[?1049h\x1b[?25l\x1b[2J" // the alternate screen, no cursor
	leaveScreen = "\x1b[?25h\x1b[?1049l"
	home        = "\x1b[H"
	eraseLine   = "\x1b[K"
	eraseBelow  = "\x1b[J"
)

// screen draws frames on a terminal.
type screen struct {
	out   *os.File
	color bool
}

// openScreen turns to the alternate screen. The context ends when q is pressed. done
// leaves the terminal as it was.
func openScreen(ctx context.Context, out *os.File, stdin io.Reader) (_ context.Context, s *screen, done func()) {
	ctx, cancel := context.WithCancel(ctx)
	restore := func() {}
	if in, ok := stdin.(*os.File); ok && tty.Is(in) {
		if undo, err := tty.Keys(in); err == nil {
			restore = undo
			go hear(in, cancel)
		}
	}
	s = &screen{out: out, color: os.Getenv("NO_COLOR") == ""}
	_, _ = out.WriteString(enterScreen)
	return ctx, s, func() {
		_, _ = out.WriteString(leaveScreen)
		restore()
		cancel()
	}
}

// hear waits for a q until the process ends.
func hear(in io.Reader, quit func()) {
	for b := make([]byte, 1); ; {
		if n, err := in.Read(b); err != nil || n == 0 || b[0] == 'q' || b[0] == 'Q' {
			quit()
			return
		}
	}
}

// show draws over what was there, which does not flicker, and asks for the size each time.
func (s *screen) show(r *top.Reading, f *top.Figures) error {
	width, height, _ := tty.Size(s.out)
	if width <= 0 || height <= 0 {
		width, height = 80, 24
	}
	frame := top.Frame(r, f, top.Screen{Width: width, Height: height, Color: s.color})
	_, err := s.out.WriteString(home + strings.ReplaceAll(frame, "\n", eraseLine+"\r\n") + eraseLine + eraseBelow)
	return err
}
