// SPDX-License-Identifier: MIT

package slot

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"strconv"
	"strings"
)

const (
	headerSize = 24
	recordHead = 8

	// SegmentOverhead is what a segment has besides the payload of one frame:
	// the largest frame has SegmentBytes - SegmentOverhead bytes.
	SegmentOverhead = headerSize + recordHead

	segmentVersion = 1
	initialName    = "sf-initial.sfa"
	segmentSuffix  = ".sfa"
	maxFSN         = math.MaxInt64 / 4 // keeps arithmetic on what was read from overflowing
	initialGen     = -1                // the file generation of initialName
	foreignGen     = -2                // of a name that is not one of ours
)

var (
	segmentMagic = []byte("SF01")
	castagnoli   = crc32.MakeTable(crc32.Castagnoli)
	little       = binary.LittleEndian
)

// extent is how far a segment is filled, and with what.
type extent struct {
	end    int64 // offset behind the last frame
	frames int64
	rows   int64
	span
}

// span is an interval of designated timestamps in microseconds since 1970.
type span struct {
	min, max int64
	ok       bool // false: no row had a timestamp
}

func (s *span) add(o span) {
	switch {
	case !o.ok:
	case !s.ok:
		*s = o
	default:
		s.min, s.max = min(s.min, o.min), max(s.max, o.max)
	}
}

// segment is a file of frames. Its bytes up to end never change any more.
type segment struct {
	extent
	name     string
	gen      int64 // from the name: a counter, not an FSN
	base     FSN   // of the first frame
	created  int64 // microseconds since 1970, as in the header
	size     int64 // of the file
	held     int64 // of it, what counts in the budget
	firstCRC uint32
	entry    int // in the summary table; -1 for none
	// holes are wounds: frames counts theirs, rows those of their rows that lost
	// tells, end is behind the last of them. They are replaced as a whole.
	holes []hole
	lost  int64
	// wounded has the file kept when everything in it is settled: rows were lost.
	wounded bool
	gone    int64 // of its rows, those that are settled and not lost
	// spent: all of it is settled, above the watermark; its bytes are not pending.
	spent   bool
	evicted bool // some of it was given up by Evict
}

// next is the FSN behind the last frame.
func (g *segment) next() FSN { return g.base + FSN(g.frames) }

func (g *segment) last() FSN { return g.next() - 1 }

// header is the head of a segment file.
type header struct {
	base    FSN
	created int64
}

func appendHeader(dst []byte, h header) []byte {
	dst = append(dst, segmentMagic...)
	dst = append(dst, segmentVersion, 0, 0, 0)
	dst = little.AppendUint64(dst, uint64(h.base))
	return little.AppendUint64(dst, uint64(h.created))
}

// headerFault says what is wrong with a header; "" if nothing is. later says
// that the fault is a sign of a later generation of the format.
func headerFault(b []byte) (fault string, later bool) {
	switch {
	case len(b) < headerSize:
		return "shorter than a segment header", false
	case string(b[:4]) != string(segmentMagic):
		return "no SF01 header", false
	case b[4] != segmentVersion:
		return fmt.Sprintf("segment version %d", b[4]), b[4] > segmentVersion
	case b[5] != 0:
		return fmt.Sprintf("segment flags 0x%02x", b[5]), true
	case b[6] != 0 || b[7] != 0:
		return "reserved header bytes in use", true
	case little.Uint64(b[8:]) > maxFSN:
		return "first frame number out of range", false
	}
	return "", false
}

func parseHeader(b []byte) header {
	return header{base: FSN(little.Uint64(b[8:])), created: int64(little.Uint64(b[16:]))}
}

// appendRecord appends a frame as it stands in a segment.
func appendRecord(dst, payload []byte) []byte {
	at := len(dst)
	dst = append(dst, 0, 0, 0, 0)
	dst = little.AppendUint32(dst, uint32(len(payload)))
	dst = append(dst, payload...)
	little.PutUint32(dst[at:], recordCRC(dst[at:]))
	return dst
}

// recordCRC covers the length and the payload.
func recordCRC(record []byte) uint32 { return crc32.Checksum(record[4:], castagnoli) }

func segmentName(gen int64) string {
	if gen == initialGen {
		return initialName
	}
	return fmt.Sprintf("sf-%016x%s", uint64(gen), segmentSuffix)
}

// fileGen reads the generation out of a name, whatever follows ".sfa": a
// quarantined file keeps its number from being used again.
func fileGen(name string) int64 {
	if name == initialName {
		return initialGen
	}
	digits, rest, ok := strings.Cut(strings.TrimPrefix(name, "sf-"), segmentSuffix)
	if !ok || len(digits) != 16 || !strings.HasPrefix(name, "sf-") || rest != "" && rest[0] != '.' {
		return foreignGen
	}
	gen, err := strconv.ParseInt(digits, 16, 64)
	if err != nil || strings.ToLower(digits) != digits || gen < 0 {
		return foreignGen
	}
	return gen
}
