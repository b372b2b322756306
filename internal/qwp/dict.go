// SPDX-License-Identifier: MIT

package qwp

import (
	"fmt"
	"unicode/utf8"
)

// maxDictText bounds the memory of a Dict; with the garbage of redefined ids it is
// a multiple of this that still fits 32-bit offsets.
const maxDictText = 256 << 20

// Dict is the symbol dictionary of a connection or of a foreign slot on the side
// that reads. The zero value is empty and ready. Parse fills it.
type Dict struct {
	buf  []byte   // texts with their lengths, and garbage of redefined ids
	at   []uint32 // where in buf each text begins
	live int      // bytes of buf that are not garbage
}

// Len returns the number of strings.
func (d *Dict) Len() int {
	if d == nil {
		return 0
	}
	return len(d.at)
}

// Reset forgets all strings, as both sides do when a connection ends.
func (d *Dict) Reset() { *d = Dict{buf: d.buf[:0], at: d.at[:0]} }

// Append defines the next id, as a dictionary that is kept beside a slot does. The
// text must be valid UTF-8; MaxDictEntries strings are the most.
func (d *Dict) Append(text []byte) error {
	switch {
	case !utf8.Valid(text):
		return fmt.Errorf("qwp: symbol %d is not valid UTF-8", len(d.at))
	case len(d.at) >= MaxDictEntries || d.live+len(text) > maxDictText:
		return fmt.Errorf("qwp: dictionary is full with %d strings of %d bytes", len(d.at), d.live)
	}
	d.define(len(d.at), text)
	return nil
}

func (d *Dict) text(id int) []byte { return textAt(d.buf, d.at[id]) }

func (d *Dict) textBytes() int {
	if d == nil {
		return 0
	}
	return d.live
}

// learn takes over the dictionary section of a valid message. Clients that repeat
// the whole dictionary in each message, or begin anew at id 0, redefine ids.
func (d *Dict) learn(msg []byte, start int, texts []uint32) {
	for i, at := range texts {
		d.define(start+i, textAt(msg, at))
	}
	if len(d.buf) > 2*d.live+4096 {
		d.compact()
	}
}

func (d *Dict) define(id int, text []byte) {
	if id == len(d.at) {
		d.at = append(d.at, 0)
	} else {
		old := d.text(id)
		if string(old) == string(text) {
			return
		}
		d.live -= uvarintSize(len(old)) + len(old)
	}
	d.at[id] = uint32(len(d.buf))
	d.buf = append(appendUvarint(d.buf, len(text)), text...)
	d.live += uvarintSize(len(text)) + len(text)
}

func (d *Dict) compact() {
	buf := make([]byte, 0, d.live)
	for id, at := range d.at {
		text := textAt(d.buf, at)
		d.at[id] = uint32(len(buf))
		buf = append(appendUvarint(buf, len(text)), text...)
	}
	d.buf = buf
}
