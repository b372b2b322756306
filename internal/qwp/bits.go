// SPDX-License-Identifier: MIT

package qwp

import "math/bits"

// Bitmaps are least significant bit first.

func bitmapSize(n int) int { return (n + 7) / 8 }

func bit(b []byte, i int) bool { return b[i>>3]>>(i&7)&1 != 0 }

// ones counts the set bits among the first n.
func ones(b []byte, n int) int {
	count := 0
	for _, x := range b[:n>>3] {
		count += bits.OnesCount8(x)
	}
	if rest := n & 7; rest != 0 {
		count += bits.OnesCount8(b[n>>3] & (1<<rest - 1))
	}
	return count
}

// appendBits appends n bits of src from bit first on, padded with zeros.
func appendBits(dst, src []byte, first, n int) []byte {
	shift := first & 7
	src = src[first>>3:]
	for i := range bitmapSize(n) {
		x := src[i] >> shift
		if shift != 0 && i+1 < len(src) {
			x |= src[i+1] << (8 - shift)
		}
		dst = append(dst, x)
	}
	return maskLast(dst, n)
}

// appendInverse appends the inverse of the first n bits of src, which may be
// shorter: what it lacks counts as zero.
func appendInverse(dst, src []byte, n int) []byte {
	size := bitmapSize(n)
	for _, x := range src[:min(size, len(src))] {
		dst = append(dst, ^x)
	}
	for range size - len(src) {
		dst = append(dst, 0xFF)
	}
	return maskLast(dst, n)
}

// maskLast clears the bits behind the n-th in the last byte.
func maskLast(dst []byte, n int) []byte {
	if rest := n & 7; rest != 0 {
		dst[len(dst)-1] &= 1<<rest - 1
	}
	return dst
}

// setBit sets bit i, growing b with zeros as far as it must.
func setBit(b []byte, i int) []byte {
	for len(b) <= i>>3 {
		b = append(b, 0)
	}
	b[i>>3] |= 1 << (i & 7)
	return b
}
