// SPDX-License-Identifier: MIT

package mapping

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/questdb-sf/questdb_sf/internal/qwp"
)

// input is a tag or field as the metric has it.
type input struct {
	name string
	kind qwp.Type
	num  uint64
	text []byte
}

// Tag adds a tag.
func (m *Mapper) Tag(name, value string) {
	if m.isTableTag(name) {
		m.setTable(value)
		return
	}
	m.text = append(m.text, value...)
	m.addTag(name, len(value))
}

// TagBytes adds a tag; the value may change afterwards.
func (m *Mapper) TagBytes(name string, value []byte) {
	if m.isTableTag(name) {
		m.setTable(m.names.intern(value))
		return
	}
	m.text = append(m.text, value...)
	m.addTag(name, len(value))
}

func (m *Mapper) isTableTag(name string) bool {
	return m.opts.TableTag != "" && name == m.opts.TableTag
}

// setTable keeps the first of several tags of one name, as everywhere.
func (m *Mapper) setTable(name string) {
	if m.tableTag == "" {
		m.tableTag = name
	}
}

func (m *Mapper) addTag(name string, n int) {
	if n > 0 {
		m.tags = append(m.tags, input{name: name, kind: qwp.TypeSymbol, text: m.cleanText(n)})
	}
}

// String adds a string field.
func (m *Mapper) String(name, value string) {
	m.text = append(m.text, value...)
	m.addString(name, len(value))
}

// StringBytes adds a string field; the value may change afterwards.
func (m *Mapper) StringBytes(name string, value []byte) {
	m.text = append(m.text, value...)
	m.addString(name, len(value))
}

func (m *Mapper) addString(name string, n int) {
	m.fields = append(m.fields, input{name: name, kind: qwp.TypeVarchar, text: m.cleanText(n)})
}

// Int adds an integer field.
func (m *Mapper) Int(name string, v int64) {
	if m.opts.IntegersAsDouble {
		m.Float(name, float64(v))
		return
	}
	if v == math.MinInt64 {
		v++
		m.counts.Shifted++
	}
	m.addNum(name, qwp.TypeLong, uint64(v))
}

// Uint adds an unsigned field.
func (m *Mapper) Uint(name string, v uint64) {
	if m.opts.IntegersAsDouble {
		m.Float(name, float64(v))
		return
	}
	if v > math.MaxInt64 {
		v = math.MaxInt64
		m.counts.Clamped++
	}
	m.addNum(name, qwp.TypeLong, v)
}

// Float adds a floating point field.
func (m *Mapper) Float(name string, v float64) {
	if !math.IsNaN(v) && !math.IsInf(v, 0) {
		m.addNum(name, qwp.TypeDouble, math.Float64bits(v))
	}
}

// Bool adds a boolean field.
func (m *Mapper) Bool(name string, v bool) {
	switch m.opts.Bool {
	case BoolLong:
		m.Int(name, int64(boolNum(v)))
	case BoolSymbol:
		from := len(m.text)
		m.text = strconv.AppendBool(m.text, v)
		m.fields = append(m.fields, input{name: name, kind: qwp.TypeSymbol, text: m.text[from:len(m.text):len(m.text)]})
	default:
		m.addNum(name, qwp.TypeBoolean, boolNum(v))
	}
}

func boolNum(v bool) uint64 {
	if v {
		return 1
	}
	return 0
}

func (m *Mapper) addNum(name string, kind qwp.Type, n uint64) {
	m.fields = append(m.fields, input{name: name, kind: kind, num: n})
}

// cleanText returns the last n bytes of m.text with everything replaced that
// QuestDB drops a whole request for.
func (m *Mapper) cleanText(n int) []byte {
	from := len(m.text) - n
	raw := m.text[from:]
	if !clean(raw) {
		m.counts.Replaced++
		fixed := strings.ReplaceAll(strings.ToValidUTF8(string(raw), "\uFFFD"), "\x00", "\uFFFD")
		m.text = append(m.text[:from], fixed...)
	}
	return m.text[from:len(m.text):len(m.text)]
}

func clean(b []byte) bool {
	return utf8.Valid(b) && !slices.Contains(b, 0)
}
