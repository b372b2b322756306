// SPDX-License-Identifier: MIT

// Command show is what `make run` runs: Telegraf's own cpu, mem, disk and net
// inputs of this machine through the output into a server, which is taken away
// for some seconds and brought back. It ends with the line "lost N". With
// -questdb the server is the real QuestDB.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/influxdata/telegraf/agent"
	"github.com/influxdata/telegraf/config"
	"github.com/influxdata/telegraf/logger"

	_ "github.com/influxdata/telegraf/plugins/inputs/cpu"
	_ "github.com/influxdata/telegraf/plugins/inputs/disk"
	_ "github.com/influxdata/telegraf/plugins/inputs/mem"
	_ "github.com/influxdata/telegraf/plugins/inputs/net"
	_ "github.com/influxdata/telegraf/plugins/outputs/file"
	_ "github.com/influxdata/telegraf/plugins/serializers/influx"

	"github.com/questdb-sf/questdb_sf/plugins/outputs/questdb_sf"
)

// server is what the show needs of either server.
type server interface {
	URL() string
	Away() error
	Back(ctx context.Context) error
	// Rows returns how often each row is there, by key.
	Rows(ctx context.Context) (map[string]int, error)
	// Hint says how to look at the rows.
	Hint() string
	Close()
}

func main() {
	real := flag.Bool("questdb", false, "use the real QuestDB 9.3.4 (needs Java and Maven)")
	up := flag.Duration("up", 4*time.Second, "how long the server is there, before and after")
	away := flag.Duration("away", 6*time.Second, "how long it is away")
	flag.Parse()
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer cancel()
	lost, err := show(ctx, *real, *up, *away)
	if err != nil {
		fmt.Fprintln(os.Stderr, "show:", err)
		os.Exit(1)
	}
	if lost > 0 {
		os.Exit(1)
	}
}

func show(ctx context.Context, real bool, up, away time.Duration) (lost int, err error) {
	dir, err := os.MkdirTemp("", "questdb_sf-show-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	srv, err := start(ctx, real)
	if err != nil {
		return 0, err
	}
	defer srv.Close()
	fmt.Printf("server at %s; store in %s\n\n", srv.URL(), dir)
	if err := outage(ctx, srv, dir, up, away); err != nil {
		return 0, err
	}
	return report(ctx, srv, filepath.Join(dir, "expected.lp"))
}

func start(ctx context.Context, real bool) (server, error) {
	if real {
		return startQuestDB(ctx)
	}
	return startFake()
}

// outage runs the agent through up, away, up, and stops it.
func outage(ctx context.Context, srv server, dir string, up, away time.Duration) error {
	out, stop, err := startAgent(ctx, srv.URL(), dir)
	if err != nil {
		return err
	}
	watch(ctx, out, "up", up)
	if err := srv.Away(); err != nil {
		return errors.Join(err, stop())
	}
	watch(ctx, out, "away", away)
	if err := srv.Back(ctx); err != nil {
		return errors.Join(err, stop())
	}
	watch(ctx, out, "back", up)
	return stop()
}

// startAgent runs a Telegraf agent in this process.
func startAgent(ctx context.Context, url, dir string) (*questdb_sf.Output, func() error, error) {
	c := config.NewConfig()
	if err := c.LoadConfigData([]byte(fmt.Sprintf(agentConfig, url, dir)), "show"); err != nil {
		return nil, nil, err
	}
	if err := logger.SetupLogging(&logger.Config{Logfile: ""}); err != nil {
		return nil, nil, err
	}
	out, ok := c.Outputs[0].Output.(*questdb_sf.Output)
	if !ok {
		return nil, nil, errors.New("the first output is not questdb_sf")
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- agent.NewAgent(c).Run(ctx) }()
	return out, func() error { cancel(); return <-done }, nil
}

const agentConfig = `
[agent]
  interval = "250ms"
  flush_interval = "500ms"
[[outputs.questdb_sf]]
  urls = [%[1]q]
  sf_dir = "%[2]s/store"
  reconnect_max_backoff = "1s"
  close_flush_timeout = "10s"
[[outputs.file]]
  files = ["%[2]s/expected.lp"]
  data_format = "influx"
[[inputs.cpu]]
[[inputs.mem]]
[[inputs.disk]]
[[inputs.net]]
  ignore_protocol_stats = true
`

// watch prints a line a second.
func watch(ctx context.Context, out *questdb_sf.Output, state string, d time.Duration) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	end := time.After(d)
	for {
		select {
		case <-tick.C:
			st := out.Stats()
			fmt.Printf("server %-5s accepted %6d  acked %6d  backlog %6d rows, %7d bytes\n",
				state, st.Accepted, st.Acked, st.Pending, st.PendingBytes)
		case <-end:
			return
		case <-ctx.Done():
			return
		}
	}
}
