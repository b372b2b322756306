// SPDX-License-Identifier: MIT

package connstr

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// MaxMillis is the longest duration taken, about 73 years. Sums of a few of
// them and of the time of day do not overflow.
const MaxMillis = math.MaxInt64 / int64(time.Millisecond) / 4

// Int reads a whole number from low up to that of 32 bits, so that it means the
// same on every machine.
func Int(low int) func(string) (int, error) {
	return func(value string) (int, error) {
		n, err := strconv.ParseInt(value, 10, 32)
		if err != nil || n < int64(low) {
			return 0, fmt.Errorf("want a whole number from %d to %d", low, math.MaxInt32)
		}
		return int(n), nil
	}
}

// Millis reads a whole number of milliseconds, at least low.
func Millis(low int64) func(string) (time.Duration, error) {
	return func(value string) (time.Duration, error) {
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil || n < low || n > MaxMillis {
			return 0, fmt.Errorf("want a whole number of milliseconds from %d to %d, without a unit", low, MaxMillis)
		}
		return time.Duration(n) * time.Millisecond, nil
	}
}

// AnyMillis is a Millis for keys of which everything up to 0 means never.
func AnyMillis(value string) (time.Duration, error) { return Millis(-MaxMillis)(value) }

// sizeUnits are powers of 1024.
var sizeUnits = map[string]int64{
	"": 1, "k": 1 << 10, "kb": 1 << 10, "m": 1 << 20, "mb": 1 << 20,
	"g": 1 << 30, "gb": 1 << 30, "t": 1 << 40, "tb": 1 << 40,
}

// Size reads a number of bytes, at least low: decimal, with an optional unit of
// either case.
func Size(low int64) func(string) (int64, error) {
	return func(value string) (int64, error) {
		n, err := size(value)
		if err == nil && n < low {
			err = fmt.Errorf("want at least %d bytes", low)
		}
		return n, err
	}
}

func size(value string) (int64, error) {
	digits := strings.TrimRight(value, "kmgtbKMGTB")
	unit, known := sizeUnits[strings.ToLower(value[len(digits):])]
	n, err := strconv.ParseUint(digits, 10, 63)
	switch {
	case errors.Is(err, strconv.ErrRange), err == nil && known && n > uint64(math.MaxInt64/unit):
		return 0, errors.New("the size exceeds 64 bits")
	case err != nil || !known:
		return 0, errors.New("want a size in bytes, or with one of k, kb, m, mb, g, gb, t, tb, as in 64m")
	}
	return int64(n) * unit, nil
}

// OneOf reads one of some words.
func OneOf(words ...string) func(string) (string, error) {
	return func(value string) (string, error) {
		if !slices.Contains(words, value) {
			return "", fmt.Errorf("want one of %s", strings.Join(words, ", "))
		}
		return value, nil
	}
}

// Bool reads on, true, off or false.
func Bool(value string) (bool, error) {
	word, err := OneOf("on", "off", "true", "false")(value)
	return word == "on" || word == "true", err
}

// Text takes any value as it is.
func Text(value string) (string, error) { return value, nil }

// OrOff makes a reader take the word off too, as the zero value.
func OrOff[T any](read func(string) (T, error)) func(string) (T, error) {
	return func(value string) (T, error) {
		if value == "off" {
			var zero T
			return zero, nil
		}
		v, err := read(value)
		if err != nil {
			err = fmt.Errorf("%w, or off", err)
		}
		return v, err
	}
}
