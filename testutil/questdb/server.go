// SPDX-License-Identifier: MIT

// Package questdb runs the real QuestDB for tests: its own data directory, its
// own ports, little memory. A server can be killed and started again on the
// same data and ports. It touches no process that it did not start.
package questdb

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/questdb-sf/questdb_sf/testutil/child"
)

// Options say how a server is started. The zero value is ready to use.
type Options struct {
	// Dir holds the data and the log; empty is a temporary directory that Stop
	// removes.
	Dir string
	// HTTPPort is where SQL and ILP over HTTP are served; 0 is a free port.
	HTTPPort int
	// Heap is the limit of the Java heap as -Xmx takes it; empty is "512m".
	Heap string
	// Settings are keys of server.conf, "http.user" for example. They stand
	// above those that this package chooses.
	Settings map[string]string
}

// Server is a QuestDB that was started here. Kill, Restart and Stop must not run
// at the same time.
type Server struct {
	opts   Options
	jar    string
	dir    string
	temp   bool
	ports  ports
	client *http.Client
	proc   *child.Process
}

// ports are the ports of one server. They stay the same over a restart.
type ports struct{ http, min, ilp, pg int }

// Start starts a server and returns when it answers SQL. A caller that gets no
// error ends it with [Server.Stop].
func Start(ctx context.Context, opts Options) (*Server, error) {
	jar, err := Jar(ctx)
	if err != nil {
		return nil, err
	}
	s := &Server{opts: opts, jar: jar, dir: opts.Dir, client: &http.Client{Transport: &http.Transport{}}}
	if err := s.place(); err != nil {
		return nil, err
	}
	if err := s.Restart(ctx); err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	return s, nil
}

// place chooses directory and ports.
func (s *Server) place() (err error) {
	if s.dir == "" {
		s.temp = true
		if s.dir, err = os.MkdirTemp("", "questdb-"); err != nil {
			return fmt.Errorf("questdb: %w", err)
		}
	}
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		return fmt.Errorf("questdb: %w", err)
	}
	free, err := freePorts(4)
	if err != nil {
		return err
	}
	s.ports = ports{http: free[0], min: free[1], ilp: free[2], pg: free[3]}
	if s.opts.HTTPPort != 0 {
		s.ports.http = s.opts.HTTPPort
	}
	return nil
}

// freePorts asks the kernel for ports that nobody listens on now.
func freePorts(n int) ([]int, error) {
	var free []int
	for range n {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("questdb: no free port: %w", err)
		}
		// All are held until the last is found, so that none is found twice.
		defer func() { _ = ln.Close() }()
		free = append(free, ln.Addr().(*net.TCPAddr).Port)
	}
	return free, nil
}

// HTTP returns the base URL, for SQL and ILP over HTTP.
func (s *Server) HTTP() string { return fmt.Sprintf("http://127.0.0.1:%d", s.ports.http) }

// Dir returns the directory of data and log.
func (s *Server) Dir() string { return s.dir }

// LogPath returns the file that the server logs to, all its lives in one.
func (s *Server) LogPath() string { return filepath.Join(s.dir, "server.log") }

// Restart starts the server again on the same data and ports, after Kill or
// instead of it, and returns when it answers SQL.
func (s *Server) Restart(ctx context.Context) error {
	if err := s.Kill(); err != nil {
		return err
	}
	if err := s.launch(); err != nil {
		return fmt.Errorf("questdb: %w", err)
	}
	if err := s.waitReady(ctx); err != nil {
		return fmt.Errorf("questdb: %s does not answer: %w\n%s", s.HTTP(), err, s.logTail())
	}
	return nil
}

// launch starts the process. The log is appended to, life after life.
func (s *Server) launch() error {
	log, err := os.OpenFile(s.LogPath(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	args := s.command()
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env, cmd.Stdout, cmd.Stderr = s.environment(), log, log
	s.proc, err = child.Start(cmd)
	return err
}

// Kill ends the server as a power cut would end it, with SIGKILL, and returns
// when it is gone. Killing a server that does not run does nothing.
func (s *Server) Kill() error {
	if s.proc == nil {
		return nil
	}
	err := s.proc.KillGroup()
	s.proc = nil
	s.client.CloseIdleConnections()
	return err
}

// Stop ends the server and removes its directory if it was a temporary one. The
// data of a directory that the caller gave stays.
func (s *Server) Stop() error {
	err := s.Kill()
	if s.temp {
		err = errors.Join(err, os.RemoveAll(s.dir))
	}
	return err
}

func (s *Server) command() []string {
	heap := s.opts.Heap
	if heap == "" {
		heap = "512m"
	}
	java := os.Getenv("QDB_JAVA")
	if java == "" {
		java = "java"
	}
	return []string{
		java, "-Xms64m", "-Xmx" + heap, "-XX:+UseParallelGC", "-p", s.jar,
		"-m", "io.questdb/io.questdb.ServerMain", "-d", s.dir, "-f",
	}
}

// environment is ours with each setting as QDB_<KEY>: the way of QuestDB to give
// keys of server.conf without the file.
func (s *Server) environment() []string {
	settings := map[string]string{
		"http.bind.to":                       fmt.Sprintf("127.0.0.1:%d", s.ports.http),
		"http.min.net.bind.to":               fmt.Sprintf("127.0.0.1:%d", s.ports.min),
		"line.tcp.net.bind.to":               fmt.Sprintf("127.0.0.1:%d", s.ports.ilp),
		"pg.net.bind.to":                     fmt.Sprintf("127.0.0.1:%d", s.ports.pg),
		"line.udp.enabled":                   "false",
		"telemetry.enabled":                  "false",
		"shared.network.worker.count":        "2",
		"shared.query.worker.count":          "1",
		"shared.write.worker.count":          "1",
		"cairo.writer.data.append.page.size": "1M",
		"cairo.o3.column.memory.size":        "256k",
	}
	for k, v := range s.opts.Settings {
		settings[k] = v
	}
	env := os.Environ()
	for k, v := range settings {
		key := strings.NewReplacer(".", "_").Replace(strings.ToUpper(k))
		env = append(env, "QDB_"+key+"="+v)
	}
	return env
}

// pollEvery is the pause between two questions to a server that is starting or
// applying its log; it offers no event to wait for.
const pollEvery = 50 * time.Millisecond

// waitReady asks until the server answers, or has ended, or ctx has.
func (s *Server) waitReady(ctx context.Context) error {
	for {
		_, err := s.Query(ctx, "select 1")
		if err == nil {
			return nil
		}
		select {
		case <-s.proc.Done():
			return fmt.Errorf("it ended: %v", s.proc.Wait(ctx))
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-time.After(pollEvery):
		}
	}
}

// CloseIdle closes the connection that the last query left open, for tests that count
// connections.
func (s *Server) CloseIdle() { s.client.CloseIdleConnections() }
