// SPDX-License-Identifier: MIT

// Package client runs small programs around the official clients of QuestDB, so
// that tests meet bytes on the wire and on disk that we did not write. Packages
// pyclient and rustclient make such programs.
//
// A program is called with CONF ROWS ACKED. It opens a sender with the connect
// string CONF, writes ROWS rows, a frame for every [FrameRows] of them, and waits
// until the server has acknowledged the first ACKED frames of the sender, or
// "all". Then it waits for the end of its input and closes the sender.
//
// It prints each row as {"table", "at", "values"}, with the time in nanoseconds
// and each value as [type, value], where null stands for a column that the row
// lacks and times are nanoseconds too; and {"rows": ROWS} when it has written
// and waited.
package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/questdb-sf/questdb_sf/testutil/qwpserver"
)

const (
	// FrameRows is the number of rows in a frame.
	FrameRows = 20
	// SegmentBytes is the size of a segment in a slot, small enough for slots
	// of a few hundred rows to have several.
	SegmentBytes = 4096
)

// Program is the command line of a client program, without its arguments.
type Program []string

// Slot is a store-and-forward slot and what a program does to it.
type Slot struct {
	// Dir is sf_dir; it must exist. SenderID names the slot in it.
	Dir, SenderID string
	// Addr is the server as host:port. Nothing needs to listen there.
	Addr string
	// Rows is how many rows to write. Row n has the column row_id = n, and
	// stands in frame n/FrameRows.
	Rows int
	// Acked is the number of frames, from the slot's first, of which the
	// program waits for the acknowledgement before it ends. The server must
	// stop acknowledging there if the slot is to stay behind; see [StopAt].
	Acked int
	// Trimmed waits until the first segment is gone too. Acked must cover it: a
	// segment holds four or five frames.
	Trimmed bool
	// Kill ends the program with SIGKILL instead of letting it close.
	Kill bool
}

// Path returns the slot directory.
func (s *Slot) Path() string { return filepath.Join(s.Dir, s.SenderID) }

func (s *Slot) conf(closeTimeout time.Duration) string {
	return fmt.Sprintf("ws::addr=%s;auto_flush=off;sf_dir=%s;sender_id=%s;sf_max_segment_bytes=%d;"+
		"initial_connect_retry=async;close_flush_timeout_millis=%d;",
		s.Addr, s.Dir, s.SenderID, SegmentBytes, closeTimeout.Milliseconds())
}

// Unreachable is an address where nothing listens: no server has port 1.
const Unreachable = "127.0.0.1:1"

// StopAt is the fault that lets a server take and acknowledge the first frames
// of a slot and none of the others, however often the client connects.
func StopAt(frames int) qwpserver.Fault {
	first := int64(frames * FrameRows)
	return qwpserver.Stall().Always().When(qwpserver.HasRow(func(r *qwpserver.Row) bool {
		id, ok := r.Values["row_id"].(int64)
		return ok && id >= first
	}))
}

// WriteSlot lets the program write the rows and leave the slot behind. It returns
// all of them as they should read back, in the order in which they were written.
func (p Program) WriteSlot(ctx context.Context, s Slot) ([]qwpserver.Row, error) {
	j := job{conf: s.conf(0), rows: s.Rows, acked: strconv.Itoa(s.Acked), kill: s.Kill}
	if s.Trimmed {
		j.gone = filepath.Join(s.Path(), "sf-0000000000000000.sfa")
	}
	return p.run(ctx, j)
}

// DrainSlot lets the program open the slot and send all that is in it. It returns
// when the server has acknowledged the last frame and the program has ended.
func (p Program) DrainSlot(ctx context.Context, s Slot) error {
	_, err := p.run(ctx, job{conf: s.conf(time.Minute), acked: "all"})
	return err
}

// Write lets the program write rows to a server at host:port, without a slot, and
// returns them as they should read back, once the server has acknowledged all.
func (p Program) Write(ctx context.Context, addr string, rows int) ([]qwpserver.Row, error) {
	return p.run(ctx, job{conf: "ws::addr=" + addr + ";auto_flush=off;", rows: rows, acked: "all"})
}

// job is one run of a program.
type job struct {
	conf  string
	rows  int
	acked string
	gone  string // a file to wait for to vanish; empty = none
	kill  bool
}

func (p Program) run(ctx context.Context, j job) ([]qwpserver.Row, error) {
	args := append(p[1:len(p):len(p)], j.conf, strconv.Itoa(j.rows), j.acked)
	cmd := exec.CommandContext(ctx, p[0], args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	rows, err := j.talk(ctx, cmd)
	if err != nil {
		return nil, fmt.Errorf("client: %s %s: %w\n%s", filepath.Base(p[0]), j.conf, err, stderr.Bytes())
	}
	return rows, nil
}

// talk starts the program, reads its rows and ends it. Its input stays open
// until all is read, so that it cannot close the sender before it is killed.
func (j *job) talk(ctx context.Context, cmd *exec.Cmd) ([]qwpserver.Row, error) {
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	rows, err := parse(out)
	if err == nil && len(rows) != j.rows {
		err = fmt.Errorf("%d rows printed, want %d", len(rows), j.rows)
	}
	if err == nil {
		err = j.waitGone(ctx)
	}
	if err == nil && j.kill {
		return rows, kill(cmd)
	}
	_ = in.Close()
	_, _ = io.Copy(io.Discard, out) // lets a program end whose output we gave up
	return rows, errors.Join(err, cmd.Wait())
}

// waitGone looks every few milliseconds: the client trims in the background and
// tells nobody.
func (j *job) waitGone(ctx context.Context) error {
	for j.gone != "" {
		if _, err := os.Stat(j.gone); errors.Is(err, os.ErrNotExist) {
			return nil
		} else if err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s is still there: %w", j.gone, ctx.Err())
		case <-time.After(2 * time.Millisecond):
		}
	}
	return nil
}

// kill ends the program, whose status is then no news.
func kill(cmd *exec.Cmd) error {
	err := cmd.Process.Kill()
	_ = cmd.Wait()
	return err
}
