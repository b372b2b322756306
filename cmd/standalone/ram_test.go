// SPDX-License-Identifier: MIT

//go:build unix

package main

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/questdb-sf/questdb_sf/testutil/qwpserver"
)

// diskless writes a configuration with an sf_dir that cannot be made.
func diskless(t *testing.T, url, closeFlush string) (file string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "questdb_sf.conf")
	// Not below TempDir: a store that is left behind would be able to open while that is deleted.
	text := fmt.Sprintf("[[outputs.questdb_sf]]\nurls = [%q]\nsf_dir = %q\nclose_flush_timeout = %q\n",
		url, filepath.Join(os.DevNull, "sf"), closeFlush)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// withoutDisk runs the binary's main road without a disk, and returns what was
// reported durable.
func withoutDisk(t *testing.T, url, closeFlush string) (r result, progress string) {
	t.Helper()
	file := diskless(t, url, closeFlush)
	out, err := os.Create(filepath.Join(t.TempDir(), "progress"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	fd, err := unix.Dup(int(out.Fd())) // the binary keeps the one that it is given
	if err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	input := strings.NewReader("t id=1i 1700000000000000000\nt id=2i 1700000001000000000\n")
	r.code = run([]string{"-config", file, "-progress-fd", fmt.Sprint(fd)}, input, &stdout, &stderr)
	r.stdout, r.stderr = stdout.String(), stderr.String()
	reported, err := os.ReadFile(out.Name())
	if err != nil {
		t.Fatal(err)
	}
	return r, string(reported)
}

func TestLinesThatGetNoFurtherThanRAMAreLostAloudAndNeverReportedDurable(t *testing.T) {
	r, progress := withoutDisk(t, "http://127.0.0.1:1", "10ms")
	if r.code != exitFailed || progress != "" {
		t.Errorf("exit %d, progress %q", r.code, progress)
	}
	if !strings.Contains(r.stderr, "rows are kept in RAM") || strings.Count(r.stderr, "2 rows are lost") != 1 {
		t.Errorf("stderr %q", r.stderr)
	}
}

func TestLinesThatReachTheServerFromRAMAreReportedInTheEnd(t *testing.T) {
	srv, err := qwpserver.Start(qwpserver.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer srv.Close()
	r, progress := withoutDisk(t, srv.URL(), "20s")
	if r.code != exitOK || progress != "durable 2\n" || srv.Total() != 2 {
		t.Errorf("exit %d, progress %q, %d rows, stderr %q", r.code, progress, srv.Total(), r.stderr)
	}
}

func TestASignalWhileTheStoreIsClosedEndsTheWaitForAcks(t *testing.T) {
	out, err := load(diskless(t, "http://127.0.0.1:1", "1h"))
	if err != nil {
		t.Fatal(err)
	}
	out.Logger = slog.New(slog.DiscardHandler)
	if err := errors.Join(out.Init(), out.Open(t.Context())); err != nil {
		t.Fatal(err)
	}
	in, err := out.Intake()
	if err != nil {
		t.Fatal(err)
	}
	in.Start("t")
	in.Int("id", 1)
	in.End(time.Now())
	if err := in.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	signals := make(chan os.Signal, 1)
	signals <- syscall.SIGTERM
	if err := closeWithin(out, signals); err == nil || !strings.Contains(err.Error(), "1 rows were in RAM and are lost") {
		t.Errorf("error %v", err)
	}
}
