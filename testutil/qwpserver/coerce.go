// SPDX-License-Identifier: MIT

package qwpserver

import (
	"math"
	"strconv"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/qwp"
)

// coerce converts a value to the type that its column has, as the server's
// table of accepted conversions says (facts/qwp-and-slots.md, 10.8). It knows
// the scalar types; false means a clash.
func coerce(v any, to qwp.Type) (any, bool) {
	switch to {
	case qwp.TypeByte, qwp.TypeShort, qwp.TypeInt, qwp.TypeLong:
		return toInt(v, to)
	case qwp.TypeFloat, qwp.TypeDouble:
		return toFloat(v)
	case qwp.TypeBoolean:
		return toBool(v)
	case qwp.TypeSymbol:
		if b, ok := v.(bool); ok {
			return b, false
		}
		s, ok := text(v)
		return Symbol(s), ok
	case qwp.TypeVarchar:
		return text(v)
	case qwp.TypeTimestamp, qwp.TypeTimestampNanos:
		return toTime(v, to)
	case qwp.TypeDate:
		t, ok := v.(time.Time)
		return t, ok
	case qwp.TypeChar:
		s, ok := v.(string)
		return s, ok && len([]rune(s)) == 1
	}
	raw, ok := v.(Raw)
	return v, ok && raw.Type == to
}

// widths are the bits of the integer types.
var widths = map[qwp.Type]int{qwp.TypeByte: 8, qwp.TypeShort: 16, qwp.TypeInt: 32, qwp.TypeLong: 64}

func toInt(v any, to qwp.Type) (any, bool) {
	var n int64
	switch v := v.(type) {
	case int64:
		n = v
	case float64:
		if v != math.Trunc(v) || v < -1<<63 || v >= 1<<63 {
			return nil, false
		}
		n = int64(v)
	case bool:
		if v {
			n = 1
		}
	case string:
		parsed, err := strconv.ParseInt(v, 10, 64)
		if err != nil {
			return nil, false
		}
		n = parsed
	default:
		return nil, false
	}
	spare := 64 - widths[to]
	return n, n<<spare>>spare == n
}

func toFloat(v any) (any, bool) {
	switch v := v.(type) {
	case float64:
		return v, true
	case int64:
		return float64(v), true
	case bool:
		if v {
			return 1.0, true
		}
		return 0.0, true
	case string:
		f, err := strconv.ParseFloat(v, 64)
		return f, err == nil
	}
	return nil, false
}

func toBool(v any) (any, bool) {
	switch v := v.(type) {
	case bool:
		return v, true
	case string:
		b, err := strconv.ParseBool(v)
		return b, err == nil
	}
	return nil, false
}

// toTime accepts a time of either precision and a raw number in the unit of the
// column. A microsecond column cuts nanoseconds off.
func toTime(v any, to qwp.Type) (any, bool) {
	switch v := v.(type) {
	case time.Time:
		if to == qwp.TypeTimestamp {
			return v.Truncate(time.Microsecond), true
		}
		return v, true
	case int64:
		return time.Unix(0, nanos(v, to)).UTC(), true
	}
	return nil, false
}

func text(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case Symbol:
		return string(v), true
	case int64:
		return strconv.FormatInt(v, 10), true
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64), true
	case bool:
		return strconv.FormatBool(v), true
	case time.Time:
		return v.Format(time.RFC3339Nano), true
	}
	return "", false
}
