// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/influxdata/line-protocol/v2/lineprotocol"

	"github.com/questdb-sf/questdb_sf/internal/intake"
	"github.com/questdb-sf/questdb_sf/sfpool"
)

// A stream that never pauses is committed every so many rows or bytes, or after
// this time.
const (
	commitRows  = 8192
	commitBytes = 1 << 20
	commitAfter = time.Second
)

// stream turns lines into committed rows.
type stream struct {
	in       *intake.Intake
	inRAM    func() bool   // says whether rows are in RAM that the server has not
	wait     time.Duration // for room, before it is said that there is none
	reader   *reader
	progress io.Writer
	log      *slog.Logger

	dec     *lineprotocol.Decoder
	full    int   // bytes that are committed at once
	lines   int64 // whole lines read, those that were dropped among them
	stored  int64 // of them, those that the store has taken
	durable int64 // of them, those reported durable
	since   time.Time
	err     error // why rows could not be stored
	bad     badLines
	untimed int64
}

// serve reads stdin to its end and returns the exit code.
func (s *stream) serve(ctx context.Context, stdin io.Reader) int {
	if err := s.run(ctx, startPump(stdin)); err != nil {
		s.log.Error("lines that were read could not be stored", "lines", max(s.lines, s.reader.drain())-s.stored, "error", err)
		return exitFailed
	}
	return exitOK
}

// run reads to the end of input, which ctx brings about too. An error says that
// rows that were read are not stored.
func (s *stream) run(ctx context.Context, p *pump) error {
	s.reader = &reader{pump: p, stop: ctx.Done(), idle: func() { s.commit(ctx) }}
	s.begin(0)
	for s.decode(ctx); s.err == nil && !s.reader.ended; s.decode(ctx) {
		s.tooLong()
	}
	s.commit(ctx)
	s.bad.flush()
	s.in.SayRejected()
	return s.err
}

// decode reads lines until the input ends or a line is too long.
func (s *stream) decode(ctx context.Context) {
	s.dec = lineprotocol.NewDecoder(s.reader)
	for s.err == nil && s.dec.Next() {
		err := s.line()
		if errors.Is(s.dec.Err(), errLineTooLong) {
			return
		}
		if err != nil && s.reader.torn {
			s.bad.say(s.lines+1, errors.New("the input ended inside this line; the writer was cut off"))
			return
		}
		s.reader.lineDone()
		s.lines++
		if err != nil {
			s.reject(err)
		}
		if s.due() {
			s.commit(ctx)
		}
	}
}

// tooLong gives up the line that the decoder could not hold.
func (s *stream) tooLong() {
	s.lines++
	s.bad.say(s.lines, fmt.Errorf("the line is longer than %d MiB", maxLineBytes>>20))
	s.reader.skipLine()
}

func (s *stream) reject(err error) {
	var de *lineprotocol.DecodeError
	if errors.As(err, &de) {
		err = fmt.Errorf("column %d: %w", de.Column, de.Err) // its line counts from a restart of the decoder
	}
	s.bad.say(s.lines, err)
}

func (s *stream) due() bool {
	switch {
	case s.in.Rows() == 0:
		return false
	case s.in.Rows() == 1:
		s.since = time.Now()
		return false
	}
	return s.in.Rows() >= commitRows || s.in.Bytes() >= s.full || time.Since(s.since) >= commitAfter
}

// line decodes one line into a row; nothing of it stays after an error.
func (s *stream) line() error {
	measurement, err := s.dec.Measurement()
	if err != nil {
		return err
	}
	s.in.Start(s.in.Intern(measurement))
	if err := s.tags(); err != nil {
		return err
	}
	if err := s.fields(); err != nil {
		return err
	}
	at, err := s.dec.Time(lineprotocol.Nanosecond, time.Time{})
	if err != nil {
		return err
	}
	if at.IsZero() {
		at = time.Now()
		if s.untimed++; s.untimed == 1 {
			s.log.Warn("a line has no time and gets that of its arrival", "line", s.lines+1)
		}
	}
	s.in.End(at)
	return nil
}

func (s *stream) tags() error {
	for {
		key, value, err := s.dec.NextTag()
		if err != nil || key == nil {
			return err
		}
		s.in.TagBytes(s.in.Intern(key), value)
	}
}

func (s *stream) fields() error {
	for {
		key, v, err := s.dec.NextField()
		if err != nil || key == nil {
			return err
		}
		name := s.in.Intern(key)
		switch v.Kind() {
		case lineprotocol.Float:
			s.in.Float(name, v.FloatV())
		case lineprotocol.Int:
			s.in.Int(name, v.IntV())
		case lineprotocol.Uint:
			s.in.Uint(name, v.UintV())
		case lineprotocol.Bool:
			s.in.Bool(name, v.BoolV())
		case lineprotocol.String:
			s.in.StringBytes(name, v.BytesV())
		}
	}
}

// begin prepares for the next commit, which is likely to be like the last.
func (s *stream) begin(rows int) {
	s.full = min(commitBytes, s.in.Room())
	s.in.Expect(rows)
}

// commit stores what was read and reports it. While there is no room it waits
// and reads nothing, so that the writer feels it; a stop ends the wait.
func (s *stream) commit(ctx context.Context) {
	rows := s.in.Rows()
	if s.err != nil || rows == 0 && s.lines == s.durable {
		return
	}
	said := ""
	for err := s.tryCommit(ctx); err != nil; err = s.tryCommit(ctx) {
		if kind := kindOf(err); said != kind {
			said = kind
			s.log.Warn("rows cannot be stored now; nothing is read from stdin until they can", "error", err)
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			s.err = err
			return
		}
	}
	if said != "" {
		s.log.Info("rows can be stored again")
	}
	s.stored = s.lines
	s.report()
	if rows > 0 {
		s.begin(rows)
	}
}

// kindOf is what tells troubles apart: that of a full store has changing figures.
func kindOf(err error) string {
	if errors.Is(err, sfpool.ErrStoreFull) {
		return sfpool.ErrStoreFull.Error()
	}
	return err.Error()
}

// report tells how many lines are durable. Rows that are in RAM only are not, and
// the count cannot leave them out: it waits for them.
func (s *stream) report() {
	if s.stored == s.durable || s.inRAM() {
		return
	}
	s.durable = s.stored
	fmt.Fprintf(s.progress, "durable %d\n", s.durable)
}

// tryCommit does not wait for room when ctx has ended; room that is there is used.
func (s *stream) tryCommit(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.wait)
	defer cancel()
	return s.in.Commit(ctx)
}

// badLines tells of lines that cannot be decoded: the first ones each, later
// ones as a count once a minute.
type badLines struct {
	log     *slog.Logger
	count   int64
	unsaid  int64
	last    error
	lastAt  time.Time
	lastNum int64
}

const sayAtFirst = 10

func (b *badLines) say(line int64, err error) {
	b.count++
	b.unsaid++
	b.last, b.lastNum = err, line
	if b.count <= sayAtFirst || time.Since(b.lastAt) >= time.Minute {
		b.flush()
	}
}

func (b *badLines) flush() {
	if b.unsaid == 0 {
		return
	}
	b.log.Error("dropped lines that are not line protocol; look at what writes them",
		"dropped", b.unsaid, "last_line", b.lastNum, "reason", b.last)
	b.unsaid, b.lastAt = 0, time.Now()
}
