// SPDX-License-Identifier: MIT

package deadletter

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// maxHeadLine is more than the first two lines of a letter ever have. Longer lines
// are passed over without being held.
const maxHeadLine = 8 << 10

// scanner finds the letters of a file one after the other, whatever stands between
// them: a letter counts only if its checksum does.
type scanner struct {
	from io.ReaderAt
	end  int64
	r    *bufio.Reader
	off  int64

	// Bytes between letters: how many, and in how many stretches.
	strayBytes, strays int64
	lastEnd            int64 // of the last letter

	nul    bool   // the last line has a zero byte
	before []byte // the line before, if it can be the first of a letter
	body   []byte
}

// raw is a letter as it stands in the file, valid until the next.
type raw struct {
	at, end       int64
	human, fields []byte
	body          []byte
}

func newScanner(from io.ReaderAt, at, end int64) *scanner {
	s := &scanner{from: from, end: end, r: bufio.NewReaderSize(nil, maxHeadLine), lastEnd: at}
	s.seek(at)
	return s
}

func (s *scanner) seek(at int64) {
	s.off = at
	s.r.Reset(io.NewSectionReader(s.from, at, s.end-at))
}

// next returns the next whole letter; io.EOF when there is none.
func (s *scanner) next() (raw, error) {
	beforeAt := int64(-1)
	for {
		at := s.off
		line, err := s.line()
		if err != nil {
			if err == io.EOF {
				s.stray(s.end)
			}
			return raw{}, err
		}
		if h, ok := parseHead(line); ok && beforeAt >= 0 {
			one, ok, err := s.letter(beforeAt, h)
			if ok || err != nil {
				return one, err
			}
		}
		beforeAt = -1
		if bytes.Contains(line, []byte(humanMark)) {
			beforeAt = at
			s.before = append(append(s.before[:0], line...), '\n')
		}
	}
}

// line returns the next whole line without its line break, or nothing for one that
// is too long to matter. What has no line break is no line.
func (s *scanner) line() ([]byte, error) {
	long := false
	s.nul = false
	for {
		part, err := s.r.ReadSlice('\n')
		s.off += int64(len(part))
		s.nul = s.nul || bytes.IndexByte(part, 0) >= 0
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			long = true
		case err != nil:
			return nil, err
		case long:
			return nil, nil
		default:
			return part[:len(part)-1], nil
		}
	}
}

// letter reads the body behind a second line. If it does not fit the checksum the
// search goes on behind that line.
func (s *scanner) letter(at int64, h head) (_ raw, ok bool, _ error) {
	behind := s.off
	if h.size > s.end-behind {
		return raw{}, false, nil
	}
	fields := bytes.Clone(h.fields)
	s.body = append(s.body[:0], make([]byte, h.size)...)
	_, err := io.ReadFull(s.r, s.body)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		s.off = s.end // somebody has cut the file
		return raw{}, false, nil
	}
	if err != nil {
		return raw{}, false, err
	}
	human := s.human(fields, h.sum)
	if human == nil {
		s.seek(behind)
		return raw{}, false, nil
	}
	at += int64(len(s.before) - len(human))
	s.stray(at)
	s.off = behind + h.size
	s.lastEnd = s.off
	return raw{at, s.off, human, fields, s.body}, true, nil
}

// human returns the first line of a letter, which may have lost the line break
// before it; nil when none of what could be it fits the checksum.
func (s *scanner) human(fields []byte, sum uint32) []byte {
	for at := 0; ; at++ {
		n := bytes.Index(s.before[at:], []byte(humanMark))
		if n < 0 {
			return nil
		}
		at += n
		if checksum(s.before[at:], fields, s.body) == sum {
			return s.before[at:]
		}
	}
}

// stray notes what stands between the last letter and here.
func (s *scanner) stray(until int64) {
	if until > s.lastEnd {
		s.strays++
		s.strayBytes += until - s.lastEnd
	}
}

// decode reads all of a letter. What can be read of one whose row cannot is there
// too.
func (r *raw) decode() (*Letter, error) {
	l := &Letter{}
	decodeHuman(bytes.TrimSuffix(r.human, []byte("\n")), l)
	unit, err := decodeFields(r.fields, l)
	if err == nil {
		err = decodeBody(r.body, unit, l)
	}
	if err == nil && l.Row != nil && clip(l.Row.Table, maxName) != l.under {
		err = errBody
	}
	return l, err
}

// reason returns key and group of a letter without reading its row.
func (r *raw) reason() (*Key, Group) {
	l := &Letter{}
	decodeHuman(bytes.TrimSuffix(r.human, []byte("\n")), l)
	_, _ = decodeFields(r.fields, l)
	return l.Key, l.Group()
}

// torn returns where what follows the last letter begins to look like a letter, or
// a line, that was not written to its end. Only text is left: an earlier release
// wrote letters without a second line, and people write with editors.
func torn(from io.ReaderAt, at, end int64) (int64, error) {
	s := newScanner(from, at, end)
	cut := end
	for {
		begin := s.off
		line, err := s.line()
		switch {
		case errors.Is(err, io.EOF) && begin == end:
			return cut, nil
		case errors.Is(err, io.EOF): // no line break
			return min(cut, begin), nil
		case err != nil:
			return 0, err
		}
		switch _, isHead := parseHead(line); {
		case s.nul, isHead:
			return min(cut, begin), nil
		case bytes.HasPrefix(line, []byte(humanMark)) && bytes.Contains(line, []byte(` table "`)):
			cut = begin // unless something follows that is no second line
		default:
			cut = end
		}
	}
}
