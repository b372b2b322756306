// SPDX-License-Identifier: MIT

package deadletter

import (
	"encoding/base64"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/questdb-sf/questdb_sf/internal/qwp"
)

// What one letter may say besides its row, in bytes: a reader holds one line of it.
const (
	maxReason = 1024
	maxName   = 512
	maxWords  = 4096 // of a row that also has a frame
)

const (
	humanMark = "# "
	headMark  = "# qsf1 "
	frameMark = "# frame="
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Append appends the letter as it stands in a file to dst.
func Append(dst []byte, now time.Time, l *Letter) []byte {
	table := clip(l.table(), maxName)
	from := len(dst)
	dst = fmt.Appendf(dst, "%s%s table %s", humanMark, now.UTC().Format(time.RFC3339), strconv.Quote(table))
	if k := l.Key; k != nil {
		dst = fmt.Appendf(dst, ", slot %s, fsn %d, row %d of block %d", plain(k.Slot), k.FSN, k.Row, k.Block)
	}
	dst = append(append(append(dst, ": "...), clip(plain(l.Reason), maxReason)...), '\n')
	human := dst[from:]
	body, unit := l.body()
	fields := l.fields(unit)
	return appendHead(dst, human, fields, body)
}

func (l *Letter) table() string {
	if l.Row == nil {
		return ""
	}
	return l.Row.Table
}

func appendHead(dst, human, fields, body []byte) []byte {
	dst = fmt.Appendf(dst, "%s%08x %d %s\n", headMark, checksum(human, fields, body), len(body), fields)
	return append(dst, body...)
}

func checksum(human, fields, body []byte) uint32 {
	sum := crc32.Update(0, castagnoli, human)
	sum = crc32.Update(sum, castagnoli, fields)
	return crc32.Update(sum, castagnoli, body)
}

// fields is what line protocol does not say.
func (l *Letter) fields(unit string) []byte {
	dst := fmt.Appendf(nil, "class=%s unit=%s", l.Class, unit)
	if k := l.Key; k != nil {
		dst = fmt.Appendf(dst, " key=%s/%d/%08x/%d/%d", strconv.Quote(k.Slot), k.FSN, k.CRC, k.Block, k.Row)
	}
	if l.Column != "" {
		dst = fmt.Appendf(dst, " column=%s", strconv.Quote(clip(l.Column, maxName)))
	}
	if l.Type != 0 {
		dst = fmt.Appendf(dst, " type=%s", l.Type)
	}
	if l.Host != "" {
		dst = fmt.Appendf(dst, " host=%s", strconv.Quote(clip(l.Host, maxName)))
	}
	return dst
}

// body returns the row as line protocol if that says all of it.
func (l *Letter) body() (body []byte, unit string) {
	if l.Row == nil {
		return []byte("# not line protocol: there is no row\n"), unitNone
	}
	unit = unitOf(l.Row.TimeType)
	line, err := encodeLine(l.Row)
	if err == nil {
		return line, unit
	}
	words := describe(l.Row)
	frame := l.frame()
	if frame != nil {
		words = clip(words, maxWords)
	}
	body = fmt.Appendf(nil, "# not line protocol (%s): %s\n", plain(err.Error()), words)
	if frame != nil {
		body = append(body, frameMark...)
		body = append(base64.StdEncoding.AppendEncode(body, frame), '\n')
	}
	return body, unit
}

// frame returns a frame that says exactly what the row does; nil if there is none.
func (l *Letter) frame() []byte {
	b := qwp.NewBuilder(math.MaxInt32)
	if err := b.Add(l.Row); err == nil {
		if frame := b.AppendFrame(nil); holds(frame, l.Row) {
			return frame
		}
	}
	if holds(l.Frame, l.Row) {
		return l.Frame
	}
	return nil
}

// holds says whether a frame is exactly one row.
func holds(frame []byte, row *qwp.Row) bool {
	got, err := rowOf(frame)
	return err == nil && same(row, got)
}

var errNotOneRow = errors.New("frame has not exactly one row")

// rowOf reads the row of a frame that has one.
func rowOf(frame []byte) (*qwp.Row, error) {
	var v qwp.View
	if err := v.Parse(frame, nil); err != nil {
		return nil, err
	}
	if v.Info().Rows != 1 {
		return nil, errNotOneRow
	}
	row := &qwp.Row{}
	for i := range v.Tables() {
		t := &v.Tables()[i]
		for range t.All(0, t.Rows, row) {
			return row, nil
		}
	}
	return nil, errNotOneRow
}

// plain makes one line of text: what is no graphic character is escaped, line
// breaks first of all.
func plain(s string) string {
	var b strings.Builder
	for i, r := range s {
		switch {
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == utf8.RuneError && !strings.HasPrefix(s[i:], string(utf8.RuneError)):
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case !unicode.IsGraphic(r):
			b.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// clip cuts a text at a character, and says so.
func clip(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	const more = "…"
	end := limit - len(more)
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + more
}

// describe says in words what a row is, for people.
func describe(row *qwp.Row) string {
	var b strings.Builder
	for i := range row.Cells {
		c := &row.Cells[i]
		fmt.Fprintf(&b, "%q=%s(%q,%d) ", c.Name, c.Type, c.Text, c.Int())
	}
	fmt.Fprintf(&b, "table=%q time=%d", row.Table, row.Time)
	return b.String()
}
