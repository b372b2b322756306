// SPDX-License-Identifier: MIT

package slot

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"unicode/utf8"

	"github.com/questdb-sf/questdb_sf/internal/qwp"
)

const (
	dictName    = ".symbol-dict"
	dictHead    = 8
	dictVersion = 1
	messageHead = 12 // of a QWP message, before its dictionary section
	maxEntry    = 1 << 31
)

var dictMagic = []byte("SYD1")

// symbols is the dictionary of a slot of generation G2 or G3, in which a frame
// brings only the strings that no frame before it brought. Ids are positions.
// It does not change any more once the slot is open.
//
// The file .symbol-dict has "SYD1", u8 version 1, three zeros, and a chunk for
// each frame that brought some: varint number of strings, varint size of them,
// each with a varint length, u32 CRC-32C of all that. It is written before the
// frame, but never synced: what it lacks the frames have that are still there.
type symbols struct {
	dict qwp.Dict
	sums []uint32 // of the strings, to notice two strings of one id
}

// read reads .symbol-dict as far as it is whole. A file that is none counts as
// absent.
func (d *symbols) read(o Options) error {
	f, err := o.FS.OpenFile(filepath.Join(o.Dir, dictName), os.O_RDONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil || size < dictHead {
		return err
	}
	r := reader{ahead: readAhead}
	r.reset(f)
	head, err := r.bytes(0, dictHead, size)
	if err != nil || !bytes.Equal(head[:4], dictMagic) || head[4] != dictVersion {
		return err
	}
	for at := int64(dictHead); at < size; {
		n, err := d.chunk(&r, at, size)
		if n == 0 || err != nil {
			return err
		}
		at += n
	}
	return nil
}

// chunk takes the strings of the chunk at an offset and returns its size; 0 for
// one that is not whole.
func (d *symbols) chunk(r *reader, at, size int64) (int64, error) {
	head, err := r.bytes(at, int(min(2*binary.MaxVarintLen64, size-at)), size)
	if err != nil {
		return 0, err
	}
	entries, a := binary.Uvarint(head)
	if a <= 0 {
		return 0, nil
	}
	length, b := binary.Uvarint(head[a:])
	n := int64(a + b)
	if b <= 0 || entries == 0 || length == 0 || length > uint64(size-at) || n+int64(length)+4 > min(size-at, maxPayload) {
		return 0, nil
	}
	chunk, err := r.bytes(at, int(n+int64(length)+4), size)
	if err != nil {
		return 0, err
	}
	body, sum := chunk[:len(chunk)-4], chunk[len(chunk)-4:]
	if crc32.Checksum(body, castagnoli) != little.Uint32(sum) {
		return 0, nil
	}
	if rest, ok := texts(body[n:], entries, nil); !ok || len(rest) > 0 {
		return 0, nil
	}
	texts(body[n:], entries, func(text []byte) { d.define(text) })
	return int64(len(chunk)), nil
}

// define gives a string the next id. Beyond the limits of the protocol there is
// no room for it, and none for what builds on it.
func (d *symbols) define(text []byte) {
	if d.dict.Append(text) == nil {
		d.sums = append(d.sums, crc32.Checksum(text, castagnoli))
	}
}

// texts goes over n strings with their lengths, and returns what stands behind.
func texts(b []byte, n uint64, visit func(text []byte)) (rest []byte, ok bool) {
	for ; n > 0; n-- {
		size, k := binary.Uvarint(b)
		if k <= 0 || size > uint64(len(b)-k) {
			return nil, false
		}
		text := b[k : k+int(size)]
		if !utf8.Valid(text) {
			return nil, false
		}
		if visit != nil {
			visit(text)
		}
		b = b[k+int(size):]
	}
	return b, true
}

// delta is the dictionary section of a frame.
type delta struct {
	start, count uint64
	texts        []byte // and the rest of the message
	rest         []byte // the table blocks
}

// deltaOf reads the section; false if a frame has none, or none that is whole.
func deltaOf(frame []byte) (delta, bool) {
	if len(frame) < messageHead || !bytes.Equal(frame[:4], qwpMagic) || frame[5]&qwp.FlagDeltaDict == 0 {
		return delta{}, false
	}
	b := frame[messageHead:]
	start, n := binary.Uvarint(b)
	if n <= 0 || start > maxEntry {
		return delta{}, false
	}
	b = b[n:]
	count, n := binary.Uvarint(b)
	if n <= 0 || count > maxEntry {
		return delta{}, false
	}
	b = b[n:]
	rest, ok := texts(b, count, nil)
	return delta{start: start, count: count, texts: b, rest: rest}, ok
}

func (d *symbols) len() uint64 { return uint64(len(d.sums)) }

// fold takes over the strings of a frame that are above those known. It says
// what is wrong where the frame does not go with the dictionary.
func (d *symbols) fold(frame []byte) (fault string) {
	s, ok := deltaOf(frame)
	switch {
	case !ok:
		return ""
	case s.start > d.len():
		return "unreplayable: the frame builds on symbols that neither .symbol-dict nor a frame before it defines"
	case s.start > 0 && !d.agrees(s):
		return "unreplayable: the frame defines a symbol that .symbol-dict or a frame before it defines otherwise"
	}
	id := s.start
	texts(s.texts, s.count, func(text []byte) {
		if id >= d.len() {
			d.define(text) // where it is full, the frame is no message either
		}
		id++
	})
	return ""
}

// agrees says whether what is known of the ids of a section is what it says.
func (d *symbols) agrees(s delta) bool {
	id, same := s.start, true
	texts(s.texts, s.count, func(text []byte) {
		same = same && (id >= d.len() || crc32.Checksum(text, castagnoli) == d.sums[id])
		id++
	})
	return same
}

// resolve returns a frame and what its symbols are resolved with. A frame that
// defines symbols from id 0 on is read alone: clients that repeat the whole
// dictionary begin anew with each process. What is read with the dictionary must
// not change it, which is why it has to define nothing that is not in there.
func (d *symbols) resolve(frame []byte) ([]byte, *qwp.Dict) {
	s, ok := deltaOf(frame)
	switch {
	case !ok || s.start == 0 && s.count > 0:
		return frame, nil
	case s.start+s.count > d.len() || !d.agrees(s):
		return s.alone(frame), nil
	}
	return frame, &d.dict
}

// alone returns a copy of the frame without its section. It is a message if the
// frame uses no symbol at all.
func (s *delta) alone(frame []byte) []byte {
	b := append(make([]byte, 0, messageHead+2+len(s.rest)), frame[:messageHead]...)
	b = append(b, 0, 0)
	b = append(b, s.rest...)
	little.PutUint32(b[8:], uint32(len(b)-messageHead))
	return b
}

// isDeferred says whether a frame waits for a later one to commit it. What is no
// message commits nothing, and is a frame like any other.
func isDeferred(frame []byte) bool {
	return len(frame) >= messageHead && bytes.Equal(frame[:4], qwpMagic) && frame[5]&qwp.FlagDeferCommit != 0
}
