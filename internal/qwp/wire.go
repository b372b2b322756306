// SPDX-License-Identifier: MIT

package qwp

import (
	"encoding/binary"
	"fmt"
	"math"
)

// The flags of a message header.
const (
	FlagDeferCommit byte = 0x01 // rows wait for a later message without this flag
	FlagGorilla     byte = 0x04 // timestamp columns carry an encoding byte
	FlagDeltaDict   byte = 0x08 // the payload begins with a dictionary section

	knownFlags = FlagDeferCommit | FlagGorilla | FlagDeltaDict
)

// The limits of the specification. Servers differ in the size of the
// dictionary; the lowest is taken.
const (
	MaxRows        = 1_000_000 // of one table block
	MaxColumns     = 2048      // of one table block
	MaxTables      = math.MaxUint16
	MaxName        = 127       // bytes of a table or column name
	MaxDictEntries = 1_000_000 // of a connection
)

const (
	magic      = 0x31505751 // "QWP1"
	version    = 1
	headerSize = 12

	flagsAt   = 5
	tablesAt  = 6
	payloadAt = 8

	// Offsets inside a message are kept in 32 bits.
	maxMessage = math.MaxInt32
)

// Values of the encoding byte of a timestamp column.
const (
	encodingRaw     = 0
	encodingGorilla = 1
)

// fixedWidth holds the bytes of one value of the types that have a fixed size.
var fixedWidth = [...]uint8{
	TypeByte: 1, TypeShort: 2, TypeChar: 2, TypeInt: 4, TypeFloat: 4, TypeIPv4: 4,
	TypeLong: 8, TypeDouble: 8, TypeDate: 8, TypeTimestamp: 8, TypeTimestampNanos: 8,
	TypeUUID: 16, TypeLong256: 32,
	TypeDecimal64: 8, TypeDecimal128: 16, TypeDecimal256: 32,
}

func (t Type) isTime() bool { return t == TypeTimestamp || t == TypeTimestampNanos }

func (t Type) isDecimal() bool { return t >= TypeDecimal64 && t <= TypeDecimal256 }

func (t Type) known() bool { return int(t) < len(typeNames) && typeNames[t] != "" }

// appendHeader begins a message. sealMessage fills in what is known at its end.
func appendHeader(dst []byte, flags byte) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, magic)
	return append(dst, version, flags, 0, 0, 0, 0, 0, 0)
}

func sealMessage(msg []byte, tables int) {
	binary.LittleEndian.PutUint16(msg[tablesAt:], uint16(tables))
	binary.LittleEndian.PutUint32(msg[payloadAt:], uint32(len(msg)-headerSize))
}

func appendUvarint(dst []byte, v int) []byte { return binary.AppendUvarint(dst, uint64(v)) }

func appendText(dst []byte, s string) []byte { return append(appendUvarint(dst, len(s)), s...) }

// uvarintSize is the size of v as a varint.
func uvarintSize(v int) int {
	n := 1
	for ; v >= 0x80; v >>= 7 {
		n++
	}
	return n
}

// textAt returns the length-prefixed text at an offset that was checked before.
func textAt(buf []byte, at uint32) []byte {
	n, k := binary.Uvarint(buf[at:])
	from := int(at) + k
	return buf[from : from+int(n) : from+int(n)]
}

// reader takes a message apart. The first fault stays: whatever is read after it
// is zero, and the position is the end.
type reader struct {
	buf []byte
	pos int
	err error
}

func (r *reader) fail(at int, format string, args ...any) {
	if r.err == nil {
		r.err = &FormatError{Offset: at, Reason: fmt.Sprintf(format, args...)}
	}
	r.pos = len(r.buf)
}

func (r *reader) left() int { return len(r.buf) - r.pos }

// need checks a size before anything is allocated for it.
func (r *reader) need(n int, what string) bool {
	if n > r.left() {
		r.fail(r.pos, "%s: %d bytes wanted, %d left", what, n, r.left())
	}
	return r.err == nil
}

func (r *reader) end(what string) {
	if r.left() > 0 {
		r.fail(r.pos, "%d bytes behind the end of the %s", r.left(), what)
	}
}

func (r *reader) take(n int, what string) []byte {
	if !r.need(n, what) {
		return nil
	}
	r.pos += n
	return r.buf[r.pos-n : r.pos]
}

func (r *reader) byte() byte {
	if b := r.take(1, "one byte"); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) uint16() uint16 {
	if b := r.take(2, "16-bit number"); b != nil {
		return binary.LittleEndian.Uint16(b)
	}
	return 0
}

func (r *reader) uint32() uint32 {
	if b := r.take(4, "32-bit number"); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

func (r *reader) uint64() uint64 {
	if b := r.take(8, "64-bit number"); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

// count reads a varint that may be limit at most. Limits fit into 32 bits.
func (r *reader) count(limit int, what string) int {
	v, n := binary.Uvarint(r.buf[r.pos:])
	switch {
	case n <= 0:
		r.fail(r.pos, "%s: varint is cut off or longer than 64 bits", what)
		return 0
	case v > uint64(limit):
		r.fail(r.pos, "%s: %d is above the limit of %d", what, v, limit)
		return 0
	}
	r.pos += n
	return int(v)
}
