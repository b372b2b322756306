// SPDX-License-Identifier: MIT

// Package connstr reads QuestDB's connect string, schema::key=value;key=value;
// and the values in it. It knows no key: which there are and what they mean is
// the caller's, repeated keys included.
//
// No error repeats a value, because any of them may be a password, or the rest
// of one whose ';' was not doubled. Errors name the position instead: bytes,
// counted from 0.
//
// Source: https://questdb.com/docs/connect/clients/connect-string/.
package connstr

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
)

// Pair is one key=value.
type Pair struct {
	Key   string
	Value string // not empty, with ";;" turned into ";"
	Pos   int    // of the key, in bytes
}

// Parse takes a connect string apart. Pairs come in their order.
func Parse(s string) (schema string, pairs []Pair, err error) {
	schema, _, found := strings.Cut(s, "::")
	if !found || strings.ContainsFunc(schema, notName) {
		return "", nil, errors.New("no schema at the beginning: write it as wss::addr=host:9000;")
	}
	p := parser{s: s, pos: len(schema) + len("::")}
	for p.pos < len(p.s) {
		pair, err := p.pair()
		if err != nil {
			return "", nil, err
		}
		pairs = append(pairs, pair)
	}
	return schema, pairs, nil
}

type parser struct {
	s   string
	pos int
}

func (p *parser) pair() (Pair, error) {
	pair := Pair{Pos: p.pos}
	end := strings.IndexFunc(p.s[p.pos:], notName)
	switch {
	case end < 0 || p.s[p.pos+end] == ';':
		return pair, fmt.Errorf("no '=' behind the key at byte %d; a ';' inside a value is written ';;'", p.pos)
	case p.s[p.pos+end] != '=':
		return pair, fmt.Errorf("byte %d cannot be in a key: keys are letters, digits and '_'", p.pos+end)
	case end == 0:
		return pair, fmt.Errorf("no key before the '=' at byte %d", p.pos)
	}
	pair.Key = p.s[p.pos : p.pos+end]
	p.pos += end + 1
	var err error
	pair.Value, err = p.value()
	if err == nil && pair.Value == "" {
		err = fmt.Errorf("no value for the key at byte %d: leave the key out for its default", pair.Pos)
	}
	return pair, err
}

// value reads up to a single ';' or the end, and steps over it.
func (p *parser) value() (string, error) {
	var b strings.Builder
	for {
		part, rest, more := strings.Cut(p.s[p.pos:], ";")
		if i := strings.IndexFunc(part, unicode.IsControl); i >= 0 {
			return "", fmt.Errorf("byte %d is a control character, which no value may contain", p.pos+i)
		}
		b.WriteString(part)
		p.pos += len(part)
		if !more {
			return b.String(), nil
		}
		p.pos++
		if !strings.HasPrefix(rest, ";") {
			return b.String(), nil
		}
		b.WriteByte(';')
		p.pos++
	}
}

func notName(r rune) bool {
	return r != '_' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
}
