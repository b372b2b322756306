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
	wait     time.Duration // for room, before it is said that there is none
	reader   *reader
	stop     <-chan struct{}
	progress io.Writer
	log      *slog.Logger

	dec     *lineprotocol.Decoder
	lines   int64 // lines read
	durable int64 // lines reported durable
	since   time.Time
	err     error // why rows could not be stored
	bad     badLines
	untimed int64
}

func newStream(in *intake.Intake, wait time.Duration, p *pump, stop <-chan struct{}) *stream {
	s := &stream{in: in, wait: wait, stop: stop}
	s.reader = newReader(p, stop, s.commit)
	return s
}

// run reads to the end of input. An error says that rows that were read are not
// stored.
func (s *stream) run() error {
	for s.decode(); s.err == nil && !s.reader.ended; s.decode() {
		s.tooLong()
	}
	s.commit()
	s.bad.flush()
	return s.err
}

// decode reads lines until the input ends or a line is too long.
func (s *stream) decode() {
	s.dec = lineprotocol.NewDecoder(s.reader)
	for s.err == nil && s.dec.Next() {
		err := s.line()
		if errors.Is(s.dec.Err(), errLineTooLong) {
			return
		}
		s.reader.lineDone()
		s.lines++
		if err != nil {
			s.reject(err)
		}
		if s.due() {
			s.commit()
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
	if s.reader.torn {
		err = errors.New("the input ended inside this line; the writer was cut off")
	}
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
	return s.in.Rows() >= commitRows || s.in.Bytes() >= commitBytes || time.Since(s.since) >= commitAfter
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

// commit stores what was read and reports it. While there is no room it waits
// and reads nothing, so that the writer feels it; a stop ends the wait.
func (s *stream) commit() {
	if s.err != nil {
		return
	}
	said := ""
	for {
		err := s.tryCommit()
		if err == nil {
			break
		}
		if said != err.Error() {
			said = err.Error()
			s.log.Warn("rows cannot be stored now; nothing is read from stdin until they can", "error", err)
		}
		select {
		case <-time.After(time.Second):
		case <-s.stop:
			s.err = err
			return
		}
	}
	if said != "" {
		s.log.Info("rows can be stored again")
	}
	if s.lines > s.durable {
		s.durable = s.lines
		fmt.Fprintf(s.progress, "durable %d\n", s.durable)
	}
}

func (s *stream) tryCommit() error {
	ctx, cancel := context.WithTimeout(context.Background(), s.wait)
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
