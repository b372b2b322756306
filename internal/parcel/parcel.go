// SPDX-License-Identifier: MIT

// Package parcel is a slot in one file that can be carried to another machine.
//
//	questdb_sf slot export 1\n
//	{"slot":"default-0","target":"http://db:9000\n","created":"…","frames":2,"rows":20,…}\n
//	u32 length of a frame, not 0, little-endian, and the frame: one QWP message
//	…
//	u32 0
//	32 bytes: SHA-256 of all before
//
// So head -2 FILE shows what is in it. Frames are self-contained. A reader checks the
// whole file before it gives anything out.
package parcel

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"time"
)

const (
	magic   = "questdb_sf slot export "
	version = 1
	// maxHead is more than the first two lines ever have.
	maxHead = 64 << 10
	// maxFrame is the most that a slot can hold in one frame.
	maxFrame = 1 << 30
)

// Header says what is in a file.
type Header struct {
	Slot    string    `json:"slot"`   // where the frames were
	Target  string    `json:"target"` // where the rows belong, as in .target; "" for anywhere
	Created time.Time `json:"created"`
	Frames  int64     `json:"frames"`
	Rows    int64     `json:"rows"`
	Bytes   int64     `json:"bytes"` // of frames
	// Earliest and Latest are the span of the times of the rows; zero if they have none.
	Earliest time.Time `json:"earliest,omitzero"`
	Latest   time.Time `json:"latest,omitzero"`
}

// DamagedError says why a file is not what was written.
type DamagedError struct{ Why string }

func (e *DamagedError) Error() string {
	return "it is damaged, or no export of a slot: " + e.Why + "; export the slot again, or copy the file again"
}

// Writer writes a file from its beginning to its end.
type Writer struct {
	w     *bufio.Writer
	sum   hash.Hash
	head  Header
	count Header
}

// NewWriter writes the head. What is added has to agree with it.
func NewWriter(w io.Writer, h Header) (*Writer, error) {
	p := &Writer{w: bufio.NewWriterSize(w, 1<<20), sum: sha256.New(), head: h}
	text, err := json.Marshal(h)
	if err != nil {
		return nil, err
	}
	return p, p.write(fmt.Appendf(nil, "%s%d\n%s\n", magic, version, text))
}

func (p *Writer) write(b []byte) error {
	p.sum.Write(b)
	_, err := p.w.Write(b)
	return err
}

// Add writes one frame.
func (p *Writer) Add(frame []byte) error {
	if len(frame) == 0 || len(frame) > maxFrame {
		return fmt.Errorf("a frame of %d bytes", len(frame))
	}
	p.count.Frames++
	p.count.Bytes += int64(len(frame))
	return errors.Join(p.write(binary.LittleEndian.AppendUint32(nil, uint32(len(frame)))), p.write(frame))
}

// Close writes the end. The file is whole only if it succeeds.
func (p *Writer) Close() error {
	if p.count.Frames != p.head.Frames || p.count.Bytes != p.head.Bytes {
		return fmt.Errorf("%d frames of %d bytes were added, %d of %d announced", p.count.Frames, p.count.Bytes, p.head.Frames, p.head.Bytes)
	}
	if err := p.write(make([]byte, 4)); err != nil {
		return err
	}
	if _, err := p.w.Write(p.sum.Sum(nil)); err != nil {
		return err
	}
	return p.w.Flush()
}

// Reader gives out the frames of a file that was checked.
type Reader struct {
	Header
	from io.ReaderAt
	at   int64 // of the first frame
	end  int64 // behind the last
	r    *bufio.Reader
	left int64
	buf  []byte
}

// Open reads all of a file of a size and checks it; what is wrong is a *DamagedError.
func Open(from io.ReaderAt, size int64) (*Reader, error) {
	p := &Reader{from: from, end: size - sha256.Size - 4}
	if err := p.readHead(size); err != nil {
		return nil, err
	}
	if err := p.checkSum(size); err != nil {
		return nil, err
	}
	frames, total := int64(0), int64(0)
	for p.Rewind(); ; frames++ {
		b, err := p.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		total += int64(len(b))
	}
	if frames != p.Frames || total != p.Bytes {
		return nil, &DamagedError{fmt.Sprintf("it has %d frames of %d bytes and says %d of %d", frames, total, p.Frames, p.Bytes)}
	}
	p.Rewind()
	return p, nil
}

func (p *Reader) readHead(size int64) error {
	b := make([]byte, min(maxHead, max(0, size)))
	n, err := p.from.ReadAt(b, 0)
	if err != nil && err != io.EOF {
		return err
	}
	first, rest, lined := bytes.Cut(b[:n], []byte("\n"))
	head, _, whole := bytes.Cut(rest, []byte("\n"))
	number, known := bytes.CutPrefix(first, []byte(magic))
	switch {
	case !known || !lined:
		return &DamagedError{"its first line is not that of an export"}
	case string(number) != fmt.Sprint(version):
		return fmt.Errorf("it is of version %.20q, which this release does not know: import it with a newer one", number)
	case !whole:
		return &DamagedError{"its second line has no end"}
	}
	p.at = int64(len(first) + len(head) + 2)
	if err := json.Unmarshal(head, &p.Header); err != nil {
		return &DamagedError{"its second line cannot be read: " + err.Error()}
	}
	if p.at > p.end {
		return &DamagedError{"it ends early"}
	}
	return nil
}

func (p *Reader) checkSum(size int64) error {
	sum, want := sha256.New(), make([]byte, sha256.Size)
	if _, err := io.Copy(sum, io.NewSectionReader(p.from, 0, size-sha256.Size)); err != nil {
		return err
	}
	if _, err := p.from.ReadAt(want, size-sha256.Size); err != nil && err != io.EOF {
		return err
	}
	if !bytes.Equal(sum.Sum(nil), want) {
		return &DamagedError{"its checksum does not match"}
	}
	return nil
}

// Rewind goes back to the first frame.
func (p *Reader) Rewind() {
	p.left = p.end - p.at
	p.r = bufio.NewReaderSize(io.NewSectionReader(p.from, p.at, p.left), 1<<20)
}

// Next returns the next frame, good until the call after; io.EOF behind the last.
func (p *Reader) Next() ([]byte, error) {
	if p.left == 0 {
		return nil, io.EOF
	}
	var head [4]byte
	if _, err := io.ReadFull(p.r, head[:]); err != nil {
		return nil, &DamagedError{"it ends inside a length"}
	}
	n := int64(binary.LittleEndian.Uint32(head[:]))
	if p.left -= 4 + n; n == 0 || n > maxFrame || p.left < 0 {
		return nil, &DamagedError{fmt.Sprintf("a frame of %d bytes cannot be", n)}
	}
	if int64(cap(p.buf)) < n {
		p.buf = make([]byte, n)
	}
	p.buf = p.buf[:n]
	if _, err := io.ReadFull(p.r, p.buf); err != nil {
		return nil, &DamagedError{"it ends inside a frame"}
	}
	return p.buf, nil
}
