// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/questdb-sf/questdb_sf/internal/connstr"
	"github.com/questdb-sf/questdb_sf/sfpool"
)

// command is what an operator may ask for: questdb_sf NAME [flags].
type command struct {
	name     string
	args     string // behind the name, besides -config, -sf-dir and -json
	summary  string // half a line
	about    string // what help says, in sentences
	examples []string
	verbs    []string // of which one follows the name, before the flags
	store    bool     // it works on a store: -config or -sf-dir has to be given
	storeOr  string   // or this flag
	// prepare declares the flags of its own and returns what runs it.
	prepare func(f *flag.FlagSet) func(context.Context, *call) error
}

// commands in the order of help.
func commands() []command {
	return []command{
		topCommand(),
		slotsCommand(),
		verifyCommand(),
		dumpCommand(),
		doctorCommand(),
		drainCommand(),
		deadLetterCommand(),
		rewindCommand(),
		dropCommand(),
		exportCommand(),
		importCommand(),
		repairCommand(),
		checkConfigCommand(),
		versionCommand(),
	}
}

// call is one run of a command.
type call struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	json           bool     // machines read the output
	verb           string   // one of those of the command
	args           []string // behind the flags
	config, dir    string   // -config, -sf-dir
	sender         string   // -sender-id
}

// exitCode is an error that ends the program with a code of its own.
type exitCode struct {
	code int
	err  error
}

func (e *exitCode) Error() string { return e.err.Error() }
func (e *exitCode) Unwrap() error { return e.err }

// misuse is an error in what was typed.
func misuse(format string, args ...any) error {
	return &exitCode{exitUsage, fmt.Errorf(format, args...)}
}

// isCommand says whether the arguments are those of a command, and not of the plugin.
func isCommand(args []string) bool { return len(args) > 0 && !strings.HasPrefix(args[0], "-") }

// runCommand runs a command, until it ends or a signal comes.
func runCommand(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if args[0] == "help" {
		return help(args[1:], stdout, stderr)
	}
	cmd, err := named(args[0])
	if err == nil {
		err = cmd.run(ctx, args[1:], &call{stdin: stdin, stdout: stdout, stderr: stderr})
	}
	if errors.Is(err, flag.ErrHelp) {
		cmd.explain(stdout)
		return exitOK
	}
	if err == nil {
		return exitOK
	}
	fmt.Fprintln(stderr, "questdb_sf "+args[0]+":", err)
	var code *exitCode
	if errors.As(err, &code) {
		return code.code
	}
	return exitFailed
}

// named returns a command; if there is none of that name, the nearest is suggested.
func named(name string) (command, error) {
	var names []string
	for _, c := range commands() {
		if c.name == name {
			return c, nil
		}
		names = append(names, c.name)
	}
	return command{}, misuse("there is no such command%s; questdb_sf help lists all", suggestion(name, append(names, "help")))
}

func suggestion(name string, known []string) string {
	if near := connstr.Nearest(name, known); near != "" {
		return fmt.Sprintf(": did you mean %s?", near)
	}
	return ""
}

func (c *command) run(ctx context.Context, args []string, k *call) error {
	f, do := c.flags(k)
	args, err := c.takeVerb(args, k)
	if err != nil {
		return err
	}
	if err := f.Parse(args); errors.Is(err, flag.ErrHelp) {
		return err
	} else if err != nil {
		return misuse("%w%s", err, nearestFlag(f, args))
	}
	k.args = f.Args()
	switch {
	case c.store && k.config == "" && k.dir == "" && !given(f, c.storeOr):
		return misuse("name the store: -config FILE or -sf-dir DIR")
	case k.config == "" && k.sender != "":
		return misuse("-sender-id chooses among the blocks of a configuration: give -config FILE too")
	}
	return do(ctx, k)
}

// takeVerb takes the verb off, which only help does without.
func (c *command) takeVerb(args []string, k *call) (rest []string, _ error) {
	switch {
	case len(c.verbs) == 0:
		return args, nil
	case len(args) == 1 && slices.Contains([]string{"-h", "-help", "--help"}, args[0]):
		return nil, flag.ErrHelp
	case len(args) == 0 || !slices.Contains(c.verbs, args[0]):
		near := ""
		if len(args) > 0 {
			near = suggestion(args[0], c.verbs)
		}
		return nil, misuse("say what to do, right behind %s: one of %s%s", c.name, strings.Join(c.verbs, ", "), near)
	}
	k.verb = args[0]
	return args[1:], nil
}

// given says whether a flag was typed.
func given(f *flag.FlagSet, name string) (is bool) {
	f.Visit(func(g *flag.Flag) { is = is || g.Name == name })
	return is
}

func (c *command) flags(k *call) (*flag.FlagSet, func(context.Context, *call) error) {
	f := flag.NewFlagSet(c.name, flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.BoolVar(&k.json, "json", false, "write JSON, for machines")
	if c.store {
		f.StringVar(&k.config, "config", "", "configuration `file` of the agent or the binary: the one that has the block")
		f.StringVar(&k.dir, "sf-dir", "", "`directory` of the store, where there is no configuration, or one with several")
		f.StringVar(&k.sender, "sender-id", "", "`sender_id` of the block, where several of the configuration have one directory")
	}
	return f, c.prepare(f)
}

// nearestFlag suggests a flag for the first one that is unknown.
func nearestFlag(f *flag.FlagSet, args []string) string {
	var known []string
	f.VisitAll(func(g *flag.Flag) { known = append(known, g.Name) })
	for _, a := range args {
		name, _, _ := strings.Cut(strings.TrimLeft(a, "-"), "=")
		if strings.HasPrefix(a, "-") && f.Lookup(name) == nil {
			if near := connstr.Nearest(name, known); near != "" {
				return fmt.Sprintf(": did you mean -%s?", near)
			}
		}
	}
	return ""
}

// help lists the commands, or explains one.
func help(args []string, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		fmt.Fprint(stdout, usage, "Commands, each with -h for more:\n\n")
		for _, c := range commands() {
			fmt.Fprintf(stdout, "  %-14s %s\n", c.name, c.summary)
		}
		return exitOK
	}
	c, err := named(args[0])
	if err != nil {
		fmt.Fprintln(stderr, "questdb_sf help:", err)
		return exitUsage
	}
	c.explain(stdout)
	return exitOK
}

func (c *command) explain(w io.Writer) {
	store := ""
	if c.store {
		store = " (-config FILE [-sf-dir DIR] | -sf-dir DIR)"
	}
	name := c.name
	if len(c.verbs) > 0 {
		name += " " + strings.Join(c.verbs, "|")
	}
	fmt.Fprintf(w, "usage: questdb_sf %s%s\n\n%s\n\nFlags:\n", strings.TrimSpace(name+store+" "+c.args), " [-json]", c.about)
	f, _ := c.flags(new(call))
	f.SetOutput(w)
	f.PrintDefaults()
	fmt.Fprintln(w, "\nExamples:")
	for _, e := range c.examples {
		fmt.Fprintln(w, "  "+e)
	}
}

// pool returns what the store is opened with: that of the configuration, or defaults
// for a directory alone.
func (k *call) pool() (sfpool.Config, error) {
	if k.config == "" {
		return sfpool.Config{Dir: k.dir, URLs: []string{"http://127.0.0.1:9000"}}, nil
	}
	b, err := k.block()
	if err != nil {
		return sfpool.Config{}, err
	}
	if err := b.Init(); err != nil {
		return sfpool.Config{}, misuse("configuration %s: %w", k.config, err)
	}
	return b.PoolConfig()
}

// writeJSON writes one value, indented.
func (k *call) writeJSON(v any) error {
	e := json.NewEncoder(k.stdout)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
