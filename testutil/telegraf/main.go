// SPDX-License-Identifier: MIT

// Command telegraf is a Telegraf agent for tests: the real agent with the few
// plugins that the tests need and the output of this repository. It takes
// configuration files as arguments, ends in an orderly way on SIGTERM and
// SIGINT, and loads its configuration again on SIGHUP, as Telegraf itself does:
// the old pipeline is closed completely before the new one is built.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/influxdata/telegraf/agent"
	"github.com/influxdata/telegraf/config"
	"github.com/influxdata/telegraf/logger"
)

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: telegraf CONFIG...")
		os.Exit(2)
	}
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "E! [telegraf] Error running agent:", err)
		os.Exit(1)
	}
}

// run runs pipelines one after the other until a signal other than SIGHUP ends
// the last one.
func run(files []string) error {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	for {
		again, err := pipeline(files, signals)
		if err != nil || !again {
			return err
		}
	}
}

// pipeline loads the configuration and runs the agent until a signal comes. It
// tells whether that signal asks for a reload.
func pipeline(files []string, signals <-chan os.Signal) (reload bool, err error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	got := make(chan os.Signal, 1)
	go func() {
		select {
		case s := <-signals:
			got <- s
			cancel()
		case <-ctx.Done():
		}
	}()
	if err := runAgent(ctx, files); err != nil && !errors.Is(err, context.Canceled) {
		return false, err
	}
	select {
	case s := <-got:
		return s == syscall.SIGHUP, nil
	default:
		return false, nil
	}
}

func runAgent(ctx context.Context, files []string) error {
	c := config.NewConfig()
	if err := c.LoadAll(files...); err != nil {
		return fmt.Errorf("load configuration: %w", err)
	}
	if err := setupLogging(c.Agent); err != nil {
		return fmt.Errorf("set up logging: %w", err)
	}
	log.Printf("I! Loaded inputs: %s", strings.Join(c.InputNames(), " "))
	log.Printf("I! Loaded outputs: %s", strings.Join(c.OutputNames(), " "))
	return agent.NewAgent(c).Run(ctx)
}

func setupLogging(a *config.AgentConfig) error {
	return logger.SetupLogging(&logger.Config{
		Debug:               a.Debug,
		Quiet:               a.Quiet,
		LogTarget:           a.LogTarget,
		LogFormat:           a.LogFormat,
		Logfile:             a.Logfile,
		RotationInterval:    time.Duration(a.LogfileRotationInterval),
		RotationMaxSize:     int64(a.LogfileRotationMaxSize),
		RotationMaxArchives: a.LogfileRotationMaxArchives,
		LogWithTimezone:     a.LogWithTimezone,
	})
}
