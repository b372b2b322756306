// SPDX-License-Identifier: MIT

package slot

import (
	"errors"
	"fmt"
	"io"

	"github.com/questdb-sf/questdb_sf/internal/vfs"
)

const (
	readAhead = 64 << 10
	// maxPayload keeps a garbage length from asking for memory that a 32-bit
	// process does not have. Options.validate keeps our own frames below it.
	maxPayload = 1 << 30
)

// reader reads frames out of one file, through a window of it in memory. The
// window must only ever show bytes that do not change any more: callers give
// the end of those.
type reader struct {
	f     vfs.File
	ahead int64 // how much to read at once, in the end; 0 for no more than is asked for
	whole bool  // frames that are passed over are checked, not only their lengths
	buf   []byte
	off   int64 // of buf[0] in the file
}

// record is a frame as it was found.
type record struct {
	payload []byte // valid until the next read
	crc     uint32
	size    int64  // of the whole record
	bad     string // why it is none; "" for a good one
}

// reset turns to another file, keeping the memory.
func (r *reader) reset(f vfs.File) { r.f, r.buf, r.off = f, r.buf[:0], 0 }

// bytes returns n bytes at off, all of them before end.
func (r *reader) bytes(off int64, n int, end int64) ([]byte, error) {
	if off < r.off || off+int64(n) > r.off+int64(len(r.buf)) {
		if err := r.fill(off, max(n, int(min(r.ahead, end-off)))); err != nil {
			return nil, err
		}
	}
	return r.buf[off-r.off:][:n], nil
}

// fill moves the window to off. What it shows already is not read again: frames
// rarely end where a window does.
func (r *reader) fill(off int64, n int) error {
	kept := 0
	if end := r.off + int64(len(r.buf)); off >= r.off && off < end {
		kept = int(end - off)
	}
	old := r.buf[len(r.buf)-kept:]
	if cap(r.buf) < n {
		r.buf = make([]byte, n)
	}
	r.buf, r.off = r.buf[:n], off
	copy(r.buf, old)
	got, err := r.f.ReadAt(r.buf[kept:], off+int64(kept))
	if got == n-kept {
		return nil
	}
	r.buf = r.buf[:0]
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("read %s, %d bytes at %d: %w", r.f.Name(), n, off, err)
}

// length returns the size of the payload at off by its record head alone.
func (r *reader) length(off, end int64) (n int64, crc uint32, bad string, err error) {
	if end-off < recordHead {
		return 0, 0, "no room for a frame", nil
	}
	head, err := r.bytes(off, recordHead, end)
	if err != nil {
		return 0, 0, "", err
	}
	n, crc = int64(little.Uint32(head[4:])), little.Uint32(head)
	switch {
	case n == 0:
		bad = "empty frame"
	case n > maxPayload || n > end-off-recordHead:
		bad = fmt.Sprintf("frame of %d bytes passes the end", n)
	}
	return n, crc, bad, nil
}

// skip returns what it takes to pass over the record at off.
func (r *reader) skip(off, end int64) (size int64, crc uint32, bad string, err error) {
	if r.whole {
		rec, err := r.frame(off, end)
		return rec.size, rec.crc, rec.bad, err
	}
	n, crc, bad, err := r.length(off, end)
	return recordHead + n, crc, bad, err
}

// frame reads the record at off. An error is one of the file; a record that is
// no frame is told by bad.
func (r *reader) frame(off, end int64) (record, error) {
	n, crc, bad, err := r.length(off, end)
	if err != nil || bad != "" {
		return record{bad: bad}, err
	}
	b, err := r.bytes(off, recordHead+int(n), end)
	if err != nil {
		return record{}, err
	}
	if recordCRC(b) != crc {
		return record{bad: "checksum mismatch"}, nil
	}
	return record{payload: b[recordHead:], crc: crc, size: int64(len(b))}, nil
}
