// SPDX-License-Identifier: MIT

package slot

import (
	"bytes"
	"hash/crc32"
	"math"
)

const (
	stateName    = ".qsf-state"
	stateRecord  = 4096 // two of them, alternating by generation
	stateCore    = 512  // one sector: a crash keeps or loses it whole
	stateVersion = 1
	stateTable   = 2 * stateRecord
	maxIntervals = 64
	intervalSize = 16
	summarySize  = 64
	summaryKind  = 1
	flagClean    = 1 << 0
	flagCRC      = 1 << 1
	flagSynced   = 1 << 2
	flagHasTime  = 1 << 8
	flagWounded  = 1 << 9
	maxNumbered  = 8
	ackName      = ".ack-watermark"
	ackSize      = 16
)

var (
	stateMagic = []byte("QSF1")
	ackMagic   = []byte("AKW1")
)

// head names a segment. Its base alone would not: another client may have begun
// to count anew. And a crash may leave its file with a base that was provisional.
type head struct {
	base    FSN
	created int64
	gen     int64
}

func (h head) is(f found) bool {
	return h.created == f.head.created && (h.base == f.head.base || h.gen == f.gen && h.gen != foreignGen)
}

// interval is a closed interval of FSNs.
type interval struct{ from, to FSN }

// state is one generation of .qsf-state; see the package comment.
type state struct {
	generation uint64
	watermark  FSN
	crc        uint32 // of the frame at the watermark
	hasCRC     bool
	clean      bool // written by Close
	synced     bool // every sealed segment is on the device
	next       FSN
	head       head  // the first segment that must still be there
	durableGen int64 // file generation of the segment that durableEnd is about
	durableEnd int64 // up to here its bytes are known to be on the device
	ledger     ledger
	settled    []interval // above the watermark, at most maxIntervals
	torn       bool       // what was read of them is not what was written
	target     uint32     // checksum of .target; 0 when unknown
	// numbered are the hashes of holes with whose numbers the intervals reckon.
	numbered [maxNumbered]uint32
}

func (s *state) flags() uint32 {
	var f uint32
	if s.clean {
		f |= flagClean
	}
	if s.hasCRC {
		f |= flagCRC
	}
	if s.synced {
		f |= flagSynced
	}
	return f
}

// append appends the core sector and, behind it, the intervals.
func (s *state) append(dst []byte) []byte {
	at := len(dst)
	dst = append(dst, stateMagic...)
	dst = little.AppendUint32(dst, stateVersion)
	dst = little.AppendUint64(dst, s.generation)
	dst = little.AppendUint64(dst, uint64(s.watermark))
	dst = little.AppendUint32(dst, s.crc)
	dst = little.AppendUint32(dst, s.flags())
	for _, v := range []int64{
		int64(s.next), int64(s.head.base), s.head.created, s.head.gen, s.durableGen, s.durableEnd, s.ledger.accepted,
	} {
		dst = little.AppendUint64(dst, uint64(v))
	}
	for _, v := range s.ledger.settled[Acked:] {
		dst = little.AppendUint64(dst, uint64(v))
	}
	list := s.appendIntervals(nil)
	dst = little.AppendUint32(dst, uint32(len(list)/intervalSize))
	dst = little.AppendUint32(dst, crc32.Checksum(list, castagnoli))
	dst = little.AppendUint32(dst, s.target)
	for _, hash := range s.numbered {
		dst = little.AppendUint32(dst, hash)
	}
	dst = append(dst, make([]byte, at+stateCore-4-len(dst))...)
	dst = little.AppendUint32(dst, crc32.Checksum(dst[at:], castagnoli))
	return append(dst, list...)
}

func (s *state) appendIntervals(dst []byte) []byte {
	for _, i := range s.settled[:min(len(s.settled), maxIntervals)] {
		dst = little.AppendUint64(dst, uint64(i.from))
		dst = little.AppendUint64(dst, uint64(i.to))
	}
	return dst
}

// parseState reads one record; false if there is none. Intervals that do not
// match their checksum are left out: that is a replay at worst, not a loss.
func parseState(b []byte) (state, bool) {
	if len(b) < stateRecord || !bytes.Equal(b[:4], stateMagic) || little.Uint32(b[4:]) != stateVersion ||
		little.Uint32(b[stateCore-4:]) != crc32.Checksum(b[:stateCore-4], castagnoli) {
		return state{}, false
	}
	flags := little.Uint32(b[28:])
	s := state{
		generation: little.Uint64(b[8:]), watermark: FSN(little.Uint64(b[16:])), crc: little.Uint32(b[24:]),
		hasCRC: flags&flagCRC != 0, clean: flags&flagClean != 0, synced: flags&flagSynced != 0,
		next: FSN(little.Uint64(b[32:])),
		head: head{
			base: FSN(little.Uint64(b[40:])), created: int64(little.Uint64(b[48:])), gen: int64(little.Uint64(b[56:])),
		},
		durableGen: int64(little.Uint64(b[64:])), durableEnd: int64(little.Uint64(b[72:])),
	}
	s.ledger.accepted = int64(little.Uint64(b[80:]))
	at := 88
	for as := Acked; as <= Unknown; as++ {
		s.ledger.settled[as] = int64(little.Uint64(b[at:]))
		at += 8
	}
	s.settled, s.torn = parseIntervals(b[stateCore:stateRecord], little.Uint32(b[at:]), little.Uint32(b[at+4:]))
	s.target = little.Uint32(b[136:])
	for i := range s.numbered {
		s.numbered[i] = little.Uint32(b[140+4*i:])
	}
	return s, s.plausible()
}

func parseIntervals(b []byte, n, crc uint32) (list []interval, torn bool) {
	if n > maxIntervals || crc32.Checksum(b[:n*intervalSize], castagnoli) != crc {
		return nil, true
	}
	for ; n > 0; n-- {
		list = append(list, interval{from: FSN(little.Uint64(b)), to: FSN(little.Uint64(b[8:]))})
		b = b[intervalSize:]
	}
	return list, false
}

// plausible says whether the numbers are such that can be reckoned with.
func (s *state) plausible() bool {
	for _, n := range append(s.ledger.settled[:], s.ledger.accepted) {
		if n < 0 || n > maxFSN {
			return false
		}
	}
	return s.watermark >= -1 && s.watermark < maxFSN && s.next >= 0 && s.next < maxFSN
}

// appendSummary appends the summary of a sealed segment. Nil when its size does
// not fit the format: such a segment is scanned at the next open.
func appendSummary(dst []byte, g *segment) []byte {
	if g.size > math.MaxUint32 || g.frames > math.MaxUint32 {
		return nil
	}
	at := len(dst)
	dst = little.AppendUint32(dst, 0)                            // the checksum, below
	dst = little.AppendUint32(dst, uint32(g.frames-g.missing())) // those of the file
	for _, v := range []int64{int64(g.base), g.created, g.rows} {
		dst = little.AppendUint64(dst, uint64(v))
	}
	dst = little.AppendUint32(dst, uint32(g.end))
	dst = little.AppendUint32(dst, uint32(g.size))
	dst = little.AppendUint64(dst, uint64(g.min))
	dst = little.AppendUint64(dst, uint64(g.max))
	dst = little.AppendUint32(dst, g.firstCRC)
	flags := uint32(summaryKind)
	if g.ok {
		flags |= flagHasTime
	}
	if g.wounded {
		flags |= flagWounded
	}
	dst = little.AppendUint32(dst, flags)
	little.PutUint32(dst[at:], crc32.Checksum(dst[at+4:], castagnoli))
	return dst
}

// parseSummary reads one entry of the table; false if it is empty or damaged.
func parseSummary(b []byte) (segment, bool) {
	flags := little.Uint32(b[60:])
	if flags&^(flagHasTime|flagWounded) != summaryKind || crc32.Checksum(b[4:summarySize], castagnoli) != little.Uint32(b) {
		return segment{}, false
	}
	g := segment{
		base: FSN(little.Uint64(b[8:])), created: int64(little.Uint64(b[16:])),
		size: int64(little.Uint32(b[36:])), firstCRC: little.Uint32(b[56:]),
		wounded: flags&flagWounded != 0,
	}
	g.frames, g.rows, g.end = int64(little.Uint32(b[4:])), int64(little.Uint64(b[24:])), int64(little.Uint32(b[32:]))
	g.span = span{min: int64(little.Uint64(b[40:])), max: int64(little.Uint64(b[48:])), ok: flags&flagHasTime != 0}
	return g, g.frames > 0 && g.rows >= 0 && g.end > headerSize && g.end <= g.size
}

// appendAck appends the content of .ack-watermark; zeros stand for none.
func appendAck(dst []byte, watermark FSN) []byte {
	if watermark < 0 {
		return append(dst, make([]byte, ackSize)...)
	}
	dst = append(dst, ackMagic...)
	dst = little.AppendUint32(dst, 0)
	return little.AppendUint64(dst, uint64(watermark))
}

func parseAck(b []byte) FSN {
	if len(b) < ackSize || !bytes.Equal(b[:4], ackMagic) || little.Uint64(b[8:]) > maxFSN {
		return -1
	}
	return FSN(little.Uint64(b[8:]))
}
