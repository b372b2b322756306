// SPDX-License-Identifier: MIT

package deadletter

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/qwp"
	"github.com/questdb-sf/questdb_sf/internal/vfs"
)

// AppendRow appends a row as it stands in a letter: as one line, or, where line
// protocol cannot say it exactly, as two comments. frame gives a frame of just this row,
// and is asked for only then.
func AppendRow(dst []byte, row *qwp.Row, frame func() []byte) (out []byte, isLine bool) {
	if line, err := encodeLine(row); err == nil {
		return append(dst, line...), true
	}
	body, _ := (&Letter{Row: row, Frame: frame()}).body()
	return append(dst, body...), false
}

// Survey is what Look finds in a file of letters.
type Survey struct {
	Letters, Bytes int64
	// Damaged are letters that do not match their checksum, or whose row cannot be read;
	// FirstDamaged is where the first of them stands, -1 if there is none.
	Damaged, FirstDamaged int64
	// Stray are bytes of text that is no letter, which people may have written there.
	Stray int64
	// Torn are bytes at the end that were not written to their end: the next owner cuts
	// them. Of a sealed file nothing is cut: there such bytes are damage.
	Torn int64
}

// Named says whose file of letters has a name, and whether it is sealed.
func Named(name string) (senderID string, class Class, sealed, ok bool) {
	senderID, class, number, ok := splitName(name)
	return senderID, class, number > 0, ok
}

// splitName is the inverse of fileName for any sender_id.
func splitName(name string) (senderID string, class Class, number int, ok bool) {
	for _, class := range classes {
		i := strings.LastIndex(name, "."+class.stem()+".")
		if i <= 0 {
			continue
		}
		if class, number, ok := parseName(name[:i], name); ok {
			return name[:i], class, number, true
		}
	}
	return "", 0, 0, false
}

// Look reads a file of letters that somebody may be writing. It changes nothing.
func Look(fsys vfs.FS, path string, sealed bool) (Survey, error) {
	file, err := fsys.OpenFile(path, os.O_RDONLY, 0)
	if err != nil {
		return Survey{}, err
	}
	defer func() { _ = file.Close() }()
	size, err := file.Size()
	if err != nil {
		return Survey{}, err
	}
	v := Survey{Bytes: size, FirstDamaged: -1}
	s := newScanner(file, 0, size)
	last := int64(0)
	for {
		one, err := s.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return v, err
		}
		if err := v.between(file, last, one.at); err != nil {
			return v, err
		}
		v.Letters++
		if _, err := one.decode(); err != nil {
			v.damage(one.at)
		}
		last = one.end
	}
	return v, v.end(file, last, size, sealed)
}

func (v *Survey) damage(at int64) {
	if v.Damaged++; v.FirstDamaged < 0 {
		v.FirstDamaged = at
	}
}

// between looks at what stands between two letters. A first or second line of a letter
// there is one of a letter that cannot be read; both together are one.
func (v *Survey) between(from io.ReaderAt, at, end int64) error {
	if at >= end {
		return nil
	}
	v.Stray += end - at
	s := newScanner(from, at, end)
	told := false // of the letter that the line before is of
	for {
		begin := s.off
		line, err := s.line()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		_, isHead := parseHead(line)
		isFirst := isHuman(line)
		if isFirst || s.nul || isHead && !told {
			v.damage(begin)
		}
		told = isFirst
	}
}

// isHuman says whether a line is the first of a letter: so exactly nobody writes notes.
func isHuman(line []byte) bool {
	text, ok := bytes.CutPrefix(line, []byte(humanMark))
	at, _, marked := bytes.Cut(text, []byte(` table "`))
	_, err := time.Parse(time.RFC3339, string(at))
	return ok && marked && err == nil
}

// end looks at what stands behind the last letter.
func (v *Survey) end(from io.ReaderAt, at, size int64, sealed bool) error {
	if at == size {
		return nil
	}
	keep := size
	if !sealed {
		var err error
		if keep, err = torn(from, at, size); err != nil {
			return err
		}
	}
	v.Torn = size - keep
	return v.between(from, at, keep)
}
