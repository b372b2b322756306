// SPDX-License-Identifier: MIT

package main

import (
	"bytes"
	"errors"
	"io"
)

// chunkBytes is the size of one read of stdin, that of a Linux pipe.
const chunkBytes = 64 << 10

// maxLineBytes bounds a line: the decoder itself has no limit and would take all
// memory for a writer that never ends its line.
const maxLineBytes = 16 << 20

// errLineTooLong ends a decoder; the reader is then told to skip the line.
var errLineTooLong = errors.New("line too long")

// pump reads stdin in the background, so that the reader knows whether a read
// would block.
type pump struct {
	chunks chan []byte
	free   chan []byte
}

func startPump(r io.Reader) *pump {
	p := &pump{chunks: make(chan []byte), free: make(chan []byte, 2)}
	p.free <- make([]byte, chunkBytes)
	p.free <- make([]byte, chunkBytes)
	go p.run(r)
	return p
}

// run ends with stdin. It may outlive the stream when stdin never ends; the
// process then exits from under it.
func (p *pump) run(r io.Reader) {
	defer close(p.chunks)
	for buf := range p.free {
		n, err := r.Read(buf[:chunkBytes])
		if n > 0 {
			p.chunks <- buf[:n]
		} else {
			p.free <- buf
		}
		if err != nil {
			return // a broken pipe ends the stream as its end does
		}
	}
}

// reader gives the decoder what the pump has read. Before it would block it
// calls idle: the decoder asks for more only when no complete line is left, so
// that is the moment to commit.
type reader struct {
	pump *pump
	stop <-chan struct{} // ends the input
	idle func()

	chunk, rest []byte // being given out: whole, and what is left of it
	sinceLine   int    // bytes given out since the last complete line
	inLine      bool   // the last byte given out did not end a line
	ended       bool   // no more input
	breaks      int64  // line breaks in all chunks so far
	torn        bool   // and it ended inside a line
}

// Read implements io.Reader. A stream that ends inside a line gets a NUL behind
// it, which no line may end with: a cut number or time would still be valid, and
// wrong.
func (r *reader) Read(p []byte) (int, error) {
	if r.sinceLine > maxLineBytes {
		return 0, errLineTooLong
	}
	if r.more() {
		n := copy(p, r.rest)
		r.rest = r.rest[n:]
		r.sinceLine += n
		r.inLine = p[n-1] != '\n'
		return n, nil
	}
	if !r.inLine || r.torn {
		return 0, io.EOF
	}
	r.torn = true
	p[0] = 0
	return 1, nil
}

// lineDone says that the decoder has finished a line.
func (r *reader) lineDone() { r.sinceLine = 0 }

// skipLine drops input up to the next line break.
func (r *reader) skipLine() {
	for r.more() {
		i := bytes.IndexByte(r.rest, '\n')
		if i < 0 {
			r.rest = nil
			continue
		}
		r.rest, r.inLine = r.rest[i+1:], false
		break
	}
	r.sinceLine = 0
}

// more makes sure that there is a rest, and reports false at the end of input.
func (r *reader) more() bool {
	if len(r.rest) > 0 {
		return true
	}
	if r.ended {
		return false
	}
	if r.chunk != nil {
		r.pump.free <- r.chunk
		r.chunk = nil
	}
	r.chunk = r.next()
	r.breaks += lineBreaks(r.chunk)
	r.rest, r.ended = r.chunk, r.chunk == nil
	return !r.ended
}

func (r *reader) stopped() bool {
	select {
	case <-r.stop:
		return true
	default:
		return false
	}
}

// drain ends the pump, and returns how many lines it took from the writer, also those
// that nobody has come to. Breaks in comments and in texts count as lines, too.
func (r *reader) drain() int64 {
	select {
	case <-r.pump.free: // else the pump would go on when its chunk is taken
	default:
	}
	select {
	case c := <-r.pump.chunks:
		r.breaks += lineBreaks(c)
	default:
	}
	return r.breaks
}

func lineBreaks(chunk []byte) int64 { return int64(bytes.Count(chunk, []byte("\n"))) }

// next waits for a chunk; nil at the end and after a stop, which wins over a
// writer that is never done.
func (r *reader) next() []byte {
	if r.stopped() {
		return nil
	}
	select {
	case c := <-r.pump.chunks:
		return c
	default:
	}
	r.idle()
	if r.stopped() { // while it waited for room: nothing more is taken from the writer
		return nil
	}
	select {
	case c := <-r.pump.chunks:
		return c
	case <-r.stop:
		return nil
	}
}
