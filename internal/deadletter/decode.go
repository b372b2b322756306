// SPDX-License-Identifier: MIT

package deadletter

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/qwp"
)

var (
	errHead = errors.New("the second comment of a letter is not as it was written")
	errBody = errors.New("the row of a letter is not as it was written")
)

// head is the second line of a letter.
type head struct {
	sum    uint32
	size   int64 // of the body
	fields []byte
}

// parseHead reads a second line, without its line break.
func parseHead(line []byte) (head, bool) {
	rest, ok := bytes.CutPrefix(line, []byte(headMark))
	if !ok {
		return head{}, false
	}
	sum, rest, _ := bytes.Cut(rest, []byte(" "))
	size, fields, ok := bytes.Cut(rest, []byte(" "))
	crc, err := strconv.ParseUint(string(sum), 16, 32)
	n, err2 := strconv.ParseInt(string(size), 10, 64)
	return head{uint32(crc), n, fields}, ok && err == nil && err2 == nil && n >= 0
}

// decodeFields fills in what a second line says.
func decodeFields(fields []byte, l *Letter) (unit qwp.Type, err error) {
	for rest := string(fields); rest != "" && err == nil; {
		name, value, ok := strings.Cut(rest, "=")
		if !ok {
			return 0, errHead
		}
		value, rest, err = cutValue(value)
		if err == nil {
			err = l.set(name, value, &unit)
		}
	}
	if l.Class == 0 {
		err = errors.Join(err, errHead)
	}
	return unit, err
}

// cutValue takes a value off, which ends at a space outside of quotes.
func cutValue(s string) (value, rest string, _ error) {
	end := 0
	if strings.HasPrefix(s, `"`) {
		quoted, err := strconv.QuotedPrefix(s)
		if err != nil {
			return "", "", errHead
		}
		end = len(quoted)
	}
	if n := strings.IndexByte(s[end:], ' '); n >= 0 {
		return s[:end+n], s[end+n+1:], nil
	}
	return s, "", nil
}

// set takes one field. Names that are not known are those of later releases.
func (l *Letter) set(name, value string, unit *qwp.Type) (err error) {
	switch name {
	case "class":
		l.Class, err = parseClass(value)
	case "unit":
		var ok bool
		if *unit, ok = units[value]; !ok {
			err = errHead
		}
	case "key":
		l.Key, err = parseKey(value)
	case "column":
		l.Column, err = strconv.Unquote(value)
	case "host":
		l.Host, err = strconv.Unquote(value)
	case "type":
		l.Type, err = parseType(value)
	}
	return err
}

func parseClass(s string) (Class, error) {
	for _, c := range classes {
		if c.String() == s {
			return c, nil
		}
	}
	return 0, errHead
}

func parseType(s string) (qwp.Type, error) {
	for t := qwp.TypeBoolean; t <= qwp.TypeIPv4; t++ {
		if t.String() == s {
			return t, nil
		}
	}
	return 0, errHead
}

func parseKey(s string) (*Key, error) {
	quoted, err := strconv.QuotedPrefix(s)
	if err != nil {
		return nil, errHead
	}
	k := &Key{}
	if k.Slot, err = strconv.Unquote(quoted); err != nil {
		return nil, errHead
	}
	if n, err := fmt.Sscanf(s[len(quoted):], "/%d/%x/%d/%d", &k.FSN, &k.CRC, &k.Block, &k.Row); n != 4 || err != nil {
		return nil, errHead
	}
	return k, nil
}

// decodeHuman reads time, table and reason.
func decodeHuman(line []byte, l *Letter) {
	at, rest, _ := strings.Cut(strings.TrimPrefix(string(line), humanMark), " table ")
	l.Time, _ = time.Parse(time.RFC3339, at)
	quoted, err := strconv.QuotedPrefix(rest)
	if err != nil {
		return
	}
	l.under, _ = strconv.Unquote(quoted)
	_, l.Reason, _ = strings.Cut(rest[len(quoted):], ": ")
}

// decodeBody reads the row, if there is one that can be read.
func decodeBody(body []byte, unit qwp.Type, l *Letter) (err error) {
	if !bytes.HasPrefix(body, []byte("#")) {
		l.Row, err = decodeLine(body, unit)
		return err
	}
	_, frame, ok := bytes.Cut(body, []byte("\n"+frameMark))
	if !ok {
		return nil // it stands there in words only
	}
	if l.Frame, err = base64.StdEncoding.AppendDecode(nil, bytes.TrimSuffix(frame, []byte("\n"))); err != nil {
		return errBody
	}
	l.Row, err = rowOf(l.Frame)
	return err
}
