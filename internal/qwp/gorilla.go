// SPDX-License-Identifier: MIT

package qwp

import (
	"encoding/binary"
	"math"
)

// Gorilla keeps two timestamps in full and of each further one only by how much
// its step differs from the step before. Steps wrap around as int64 does, on both
// sides, so that any three values can be told apart.

// dodCode returns the code of a delta of deltas and its length in bits, prefix
// first; 0 bits when it does not fit. The prefixes are written with their first
// bit in the lowest place.
func dodCode(d int64) (code uint64, size uint) {
	switch {
	case d == 0:
		return 0, 1
	case d >= -64 && d <= 63:
		return 0b01 | uint64(d)&0x7F<<2, 2 + 7
	case d >= -256 && d <= 255:
		return 0b011 | uint64(d)&0x1FF<<3, 3 + 9
	case d >= -2048 && d <= 2047:
		return 0b0111 | uint64(d)&0xFFF<<4, 4 + 12
	case d >= math.MinInt32 && d <= math.MaxInt32:
		return 0b1111 | uint64(uint32(d))<<4, 4 + 32
	}
	return 0, 0
}

// appendTimes appends the encoding byte and the values of a timestamp column,
// given as they are in the raw encoding. With three values or more gorilla is
// always the smaller one: 36 bits are the most it takes for a value.
func appendTimes(dst, raw []byte) []byte {
	if packed, ok := appendGorilla(dst, raw); ok {
		return packed
	}
	return append(append(dst, encodingRaw), raw...)
}

func appendGorilla(dst, raw []byte) ([]byte, bool) {
	if len(raw) <= 16 {
		return dst, false
	}
	dst = append(append(dst, encodingGorilla), raw[:16]...)
	prev := int64(binary.LittleEndian.Uint64(raw[8:]))
	delta := prev - int64(binary.LittleEndian.Uint64(raw))
	var acc uint64 // bits not written yet: fewer than 8 before each value
	var n uint
	for i := 16; i < len(raw); i += 8 {
		t := int64(binary.LittleEndian.Uint64(raw[i:]))
		code, size := dodCode(t - prev - delta)
		if size == 0 {
			return dst, false
		}
		prev, delta = t, t-prev
		acc |= code << n
		for n += size; n >= 8; n -= 8 {
			dst = append(dst, byte(acc))
			acc >>= 8
		}
	}
	if n > 0 {
		dst = append(dst, byte(acc))
	}
	return dst, true
}

// gorilla reads a gorilla stream. Its zero value with buf set is ready.
type gorilla struct {
	buf         []byte
	pos         int // bytes taken into acc
	acc         uint64
	bits        uint // valid bits of acc
	count       int  // values read
	prev, delta int64
}

// next returns the next value, false where the stream ends too early.
func (g *gorilla) next() (int64, bool) {
	ok := true
	if g.count < 2 {
		ok = g.full()
	} else {
		ok = g.step()
	}
	g.count++
	return g.prev, ok
}

func (g *gorilla) full() bool {
	if len(g.buf)-g.pos < 8 {
		return false
	}
	t := int64(binary.LittleEndian.Uint64(g.buf[g.pos:]))
	g.pos += 8
	g.prev, g.delta = t, t-g.prev
	return true
}

func (g *gorilla) step() bool {
	if g.bits < 36 {
		g.fill()
	}
	var prefix, width uint
	switch {
	case g.acc&0b1 == 0:
		prefix, width = 1, 0
	case g.acc&0b11 == 0b01:
		prefix, width = 2, 7
	case g.acc&0b111 == 0b011:
		prefix, width = 3, 9
	case g.acc&0b1111 == 0b0111:
		prefix, width = 4, 12
	default:
		prefix, width = 4, 32
	}
	if g.bits < prefix+width {
		return false
	}
	// Shifting the value to the top and back extends its sign; a width of 0 shifts
	// everything out.
	dod := int64(g.acc>>prefix<<(64-width)) >> (64 - width)
	g.acc >>= prefix + width
	g.bits -= prefix + width
	g.delta += dod
	g.prev += g.delta
	return true
}

func (g *gorilla) fill() {
	for g.bits <= 56 && g.pos < len(g.buf) {
		g.acc |= uint64(g.buf[g.pos]) << g.bits
		g.pos++
		g.bits += 8
	}
}

// size is the number of bytes the values read so far take.
func (g *gorilla) size() int { return g.pos - int(g.bits/8) }
