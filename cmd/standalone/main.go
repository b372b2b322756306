// SPDX-License-Identifier: MIT

// Command standalone is the output as an external plugin: it reads line protocol
// on stdin, as [[outputs.execd]] of any Telegraf writes it, stores it, and
// forwards it to QuestDB.
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
	"github.com/questdb-sf/questdb_sf/sfpool"
)

// Exit codes.
const (
	exitOK     = 0
	exitFailed = 1 // lines that were read could not be stored
	exitUsage  = 2 // flags or configuration
)

const usage = `usage: questdb_sf -config FILE [-progress-fd N]

Reads line protocol on stdin, stores it in sf_dir and forwards it to QuestDB.
FILE holds one [[outputs.questdb_sf]] block, as in a Telegraf configuration.

`

// stopGrace is how long stdin is still read after the first signal. Telegraf
// closes it before it signals; an operator's kill does not.
const stopGrace = 3 * time.Second

func main() {
	// A Telegraf that died must not take this process along through its log.
	signal.Ignore(syscall.SIGPIPE)
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("questdb_sf", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() { fmt.Fprint(stderr, usage); flags.PrintDefaults() }
	file := flags.String("config", "", "configuration `file`")
	fd := flags.Int("progress-fd", 0, "file descriptor that is told \"durable <lines>\" after each commit")
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return exitOK
	} else if err != nil {
		return exitUsage
	}
	if *file == "" || flags.NArg() > 0 {
		flags.Usage()
		return exitUsage
	}
	log := newLogger(stdout, stderr)
	out, err := load(*file)
	if err == nil {
		out.Logger = log
		err = out.Init()
	}
	if err != nil {
		log.Error("configuration", "file", *file, "error", err)
		return exitUsage
	}
	return serve(out, stdin, progressTo(*fd), log)
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
	ctx, release := untilSignal(log)
	defer release()
	in := open(ctx, out, stdin, log)
	if in == nil {
		return exitFailed
	}
	s := &stream{in: in, wait: time.Duration(out.SFAppendDeadline), progress: progress, log: log, bad: badLines{log: log}}
	code := exitOK
	if err := s.run(ctx, startPump(stdin)); err != nil {
		log.Error("lines that were read could not be stored", "lines", s.lines-s.durable, "error", err)
		code = exitFailed
	}
	if err := out.Close(); err != nil {
		log.Error("close", "error", err)
		code = exitFailed
	}
	return code
}

// open opens the store and tries as long as it takes; meanwhile stdin is not
// read, so that what is written stays with the writer. Nil when a signal ends
// the wait, or the writer is gone and has left nothing. A lock is complained of
// only after lock_timeout: a process that is ending drops it soon.
func open(ctx context.Context, out *questdb_sf.Output, stdin io.Reader, log *slog.Logger) *intake.Intake {
	patience, said := time.Now().Add(time.Duration(out.LockTimeout)), ""
	for {
		in, err := out.Intake()
		if err == nil {
			return in
		}
		wait := time.Second
		var locked *sfpool.LockedError
		isLock := errors.As(err, &locked)
		if isLock {
			wait = 200 * time.Millisecond
		}
		if said != err.Error() && (!isLock || time.Now().After(patience)) {
			said = err.Error()
			log.Error("the store cannot be opened yet; nothing is read from stdin until it can", "error", err)
		}
		if hungUp(stdin) {
			log.Error("the writer of stdin is gone and has left nothing; ending", "error", err)
			return nil
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			log.Error("ending without a store; what is left on stdin is not stored", "error", err)
			return nil
		}
	}
}

// untilSignal returns a context that ends stopGrace after the first SIGTERM or
// SIGINT, or at the second.
func untilSignal(log *slog.Logger) (ctx context.Context, release func()) {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	ctx, cancel := context.WithCancel(context.Background())
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		defer cancel()
		select {
		case s := <-signals:
			log.Info("stopping: reading what is left on stdin", "signal", s.String(), "grace", stopGrace.String())
		case <-ctx.Done():
			return
		}
		select {
		case <-signals:
		case <-time.After(stopGrace):
		case <-ctx.Done():
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		cancel()
		<-watched
	}
}
