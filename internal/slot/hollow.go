// SPDX-License-Identifier: MIT

package slot

import (
	"errors"
	"os"
	"slices"
	"sort"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/vfs"
)

// While an old frame is pending, those behind it are settled all the same, and the
// files of whole segments of them would stay and fill the disk. Such a segment is
// made hollow: its file is replaced by one with as many frames, each the smallest
// message there is. The chain keeps its numbers, and every client can read it.

// commit is a message without tables, which official clients send too.
var commit = []byte("QWP1\x01\x08\x00\x00\x02\x00\x00\x00\x00\x00")

const (
	hollowRecord = recordHead + 14 // of commit
	// maxHollows bounds how long one settlement may take.
	maxHollows = 8
	// hollowPause is the time between two tries on a disk that refuses.
	hollowPause = 10 * time.Second
)

// hollowSize is the size of the file of a segment once it is hollow.
func (g *segment) hollowSize() int64 { return headerSize + g.frames*hollowRecord }

// isHollow says whether nothing is in a segment but the numbers of its frames.
func (g *segment) isHollow() bool { return g.rows == 0 && g.end == g.hollowSize() }

// hollowable says whether it is worth replacing the file of a segment that is
// settled, and nothing is lost with it: neither a wound, nor rows that are not
// accounted for, nor a name that recovery would not know as ours.
func (g *segment) hollowable() bool {
	return !g.wounded && len(g.holes) == 0 && g.lost == 0 && g.gone == g.rows &&
		g.gen != foreignGen && 2*g.hollowSize() <= g.held
}

// ripen takes note of a sealed segment above the watermark once all of it is settled:
// its bytes are not pending any more, and its file is to be replaced. It is asked for
// each settled frame, and when a segment is sealed. The caller holds mu.
func (s *Slot) ripen(g *segment) {
	if g.spent || g.frames == 0 || g.last() <= s.watermark || g == s.last() || s.behind(g.base) <= g.last() {
		return
	}
	g.spent = true
	s.pendingBytes -= g.end - headerSize
	if g.hollowable() && !s.o.Retain.keeps() {
		s.ripe = append(s.ripe, g)
	}
}

// anyRipe says whether there is anything to hollow out now.
func (s *Slot) anyRipe() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.overlooked && len(s.settled) <= maxIntervals {
		s.overlooked = false
		for _, g := range s.segs {
			if g.spent && g.hollowable() && !slices.Contains(s.ripe, g) {
				s.ripe = append(s.ripe, g)
			}
		}
	}
	return len(s.ripe) > 0 && !time.Now().Before(s.settler.hollowAfter)
}

// hollowOut replaces the files of ripe segments. That they are settled is on the
// device by now. Failure means nothing but files that are larger than need be: the
// disk may be full. The caller holds settling.
func (s *Slot) hollowOut() {
	for range maxHollows {
		g := s.nextRipe()
		if g == nil {
			return
		}
		h, err := s.writeHollow(g)
		if err != nil {
			s.putBack(g)
			return
		}
		s.replace(g, h)
	}
}

// nextRipe returns a segment that can be replaced; nil if there is none. One whose
// interval does not fit into .qsf-state has to wait until it does: after a restart its
// rows would be missing, and nobody would know why.
func (s *Slot) nextRipe() *segment {
	s.mu.Lock()
	defer s.mu.Unlock()
	for n := len(s.ripe); n > 0; n = len(s.ripe) {
		g := s.ripe[n-1]
		s.ripe = s.ripe[:n-1]
		if g.last() <= s.watermark || s.find(g.base) != g {
			continue
		}
		if sort.Search(len(s.settled), func(i int) bool { return s.settled[i].to >= g.base }) < maxIntervals {
			return g
		}
		s.overlooked = true
	}
	return nil
}

func (s *Slot) putBack(g *segment) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ripe = append(s.ripe, g)
	s.settler.hollowAfter = time.Now().Add(hollowPause)
}

// writeHollow replaces the file of a segment. A crash leaves the one or the other, or
// under its temporary name what the next open removes.
func (s *Slot) writeHollow(g *segment) (*segment, error) {
	h := &segment{
		extent: extent{end: g.hollowSize(), frames: g.frames}, name: g.name, gen: g.gen, base: g.base, created: g.created,
		size: g.hollowSize(), held: g.hollowSize(), entry: -1, spent: true,
	}
	record := appendRecord(nil, commit)
	h.firstCRC = little.Uint32(record)
	temp := s.path(g.name + vfs.TempSuffix)
	f, err := s.o.FS.OpenFile(temp, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	err = errors.Join(s.format(f, h, slices.Repeat(record, int(g.frames))), f.Close())
	if err == nil {
		err = s.o.FS.Rename(temp, s.path(g.name))
	}
	if err != nil {
		return nil, errors.Join(err, removeFile(s.o.FS, temp))
	}
	_ = s.syncDir() // whichever file the name is of after a crash is good
	return h, nil
}

// replace puts a hollow segment into the chain. It is another one for cursors that
// have the old file open. Its summary would cost a place in the table and spare reading
// a small file.
func (s *Slot) replace(g, h *segment) {
	s.account.add(h.held)
	s.mu.Lock()
	s.segs[slices.Index(s.segs, g)] = h
	if g.entry >= 0 {
		s.entries = append(s.entries, g.entry)
	}
	s.mu.Unlock()
	s.letGo(g, 0)
}
