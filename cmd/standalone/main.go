// SPDX-License-Identifier: MIT

// Command standalone is the output as an external plugin: it reads line protocol
// on stdin, as [[outputs.execd]] of any Telegraf writes it, stores it, and
// forwards it to QuestDB.
//
// Lines are stored when stdin pauses, and every 8,192 rows, 1 MiB or second of a
// stream that does not. While they cannot be, or the store cannot be opened,
// nothing is read: the writer feels it, and keeps what it has.
//
// It ends with the end of stdin, 3 s after the first signal, or at the second. What
// was read is stored then, and close_flush_timeout, 1 s unless configured, is left
// for acks; a signal during that time ends it. Telegraf closes stdin, sends SIGTERM
// after 5 s and SIGKILL after 10 s: a longer close_flush_timeout loses nothing on
// disk, but rows in RAM (sf_unavailable) with the process.
//
// To replace the binary, write the new one beside it and rename it over the old
// one, then kill the process: Telegraf starts the new one. A copy onto the running
// binary fails with ETXTBSY, and a Telegraf that meets it never tries again.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/intake"
	"github.com/questdb-sf/questdb_sf/plugins/outputs/questdb_sf"
)

// version is set by the linker.
var version = "dev"

// Exit codes.
const (
	exitOK     = 0
	exitFailed = 1 // lines that were read could not be stored, or were lost in RAM
	exitUsage  = 2 // flags or configuration
)

const usage = `usage: questdb_sf -config FILE [-check] [-progress-fd N]
       questdb_sf -version
       questdb_sf COMMAND [flags]; questdb_sf help lists the commands

Reads line protocol on stdin, stores it in sf_dir and forwards it to QuestDB.
FILE holds one [[outputs.questdb_sf]] block, as in a Telegraf configuration.

`

func main() {
	// A Telegraf that died must not take this process along through its log.
	signal.Ignore(syscall.SIGPIPE)
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// options are the flags.
type options struct {
	config         string
	progressFD     int
	check, version bool
}

// parse reads the flags; false with the exit code when that is all there is to do.
func parse(args []string, stderr io.Writer) (o options, code int, ok bool) {
	flags := flag.NewFlagSet("questdb_sf", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() { fmt.Fprint(stderr, usage); flags.PrintDefaults() }
	flags.StringVar(&o.config, "config", "", "configuration `file`")
	flags.BoolVar(&o.check, "check", false, "check the configuration and touch nothing")
	flags.BoolVar(&o.version, "version", false, "print the version")
	flags.IntVar(&o.progressFD, "progress-fd", 0, "file descriptor that is told \"durable <lines>\" after each commit")
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return o, exitOK, false
	} else if err != nil {
		if near := nearestFlag(flags, args); near != "" {
			fmt.Fprintln(stderr, "questdb_sf"+near)
		}
		return o, exitUsage, false
	}
	if o.config == "" && !o.version || flags.NArg() > 0 {
		flags.Usage()
		return o, exitUsage, false
	}
	return o, exitOK, true
}

func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	if isCommand(args) {
		return runCommand(args, stdin, stdout, stderr)
	}
	o, code, ok := parse(args, stderr)
	if !ok {
		return code
	}
	if o.version {
		fmt.Fprintln(stdout, "questdb_sf", version)
		return exitOK
	}
	log := newLogger(stdout, stderr)
	out, err := load(o.config)
	if err == nil {
		out.Logger, out.Version = log, version
		err = out.Init()
	}
	if err != nil {
		log.Error("configuration", "file", o.config, "error", err)
		return exitUsage
	}
	if o.check {
		fmt.Fprintln(stdout, o.config, "is valid")
		return exitOK
	}
	return serve(out, stdin, progressTo(o.progressFD), log)
}

// progressTo returns where durable lines are reported; 0 reports nowhere.
func progressTo(fd int) io.Writer {
	if fd == 0 {
		return io.Discard
	}
	return os.NewFile(uintptr(fd), "progress")
}

// serve stores stdin until it ends or a signal says so.
func serve(out *questdb_sf.Output, stdin io.Reader, progress io.Writer, log *slog.Logger) int {
	stop := listen(log)
	defer stop.end()
	s := &stream{
		in: open(stop.ctx, out, stdin, log), wait: time.Duration(out.SFAppendDeadline),
		progress: progress, log: log, bad: badLines{log: log},
		inRAM: func() bool { return out.Stats().RAMStats.Pending > 0 },
	}
	code := exitFailed
	if s.in != nil {
		code = s.serve(stop.ctx, stdin)
	}
	stop.read()
	if err := closeWithin(out, stop.signals); err != nil {
		log.Error("close", "error", err)
		return exitFailed
	}
	s.report() // what was in RAM only is sent now
	return code
}

// closeWithin closes the store, which a signal cuts short: what is on disk needs no
// close.
func closeWithin(out *questdb_sf.Output, signals <-chan os.Signal) error {
	last := out.Stats().RAMStats // Close takes them along
	closed := make(chan error, 1)
	go func() { closed <- out.Close() }()
	select {
	case err := <-closed:
		return err
	case s := <-signals:
		return fmt.Errorf("%s while the store was closed: what is on disk is sent after the next start, %d rows were in RAM and are lost", s, last.Pending)
	}
}

// open opens the store and tries as long as it takes; meanwhile stdin is not
// read, so that what is written stays with the writer. Nil when a signal ends
// the wait, or the writer is gone and has left nothing. The store itself tells
// why it cannot be opened.
func open(ctx context.Context, out *questdb_sf.Output, stdin io.Reader, log *slog.Logger) *intake.Intake {
	for {
		err := out.Open(ctx)
		if err == nil {
			var in *intake.Intake
			if in, err = out.Intake(); err == nil {
				return in
			}
		}
		if hungUp(stdin) {
			log.Error("the writer of stdin is gone and has left nothing; ending", "error", err)
			return nil
		}
		select {
		case <-time.After(openPause):
		case <-ctx.Done():
			log.Error("ending without a store; what is left on stdin is not stored", "error", err)
			return nil
		}
	}
}

// openPause is the time between two tries at a store that cannot be opened.
const openPause = time.Second
