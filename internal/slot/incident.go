// SPDX-License-Identifier: MIT

package slot

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"strings"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/vfs"
)

const (
	incidentPrefix = "incident-"
	incidentSuffix = ".json"
	corruptSuffix  = ".corrupt"
	incidentRetry  = time.Minute // until one that could not be written is tried again
)

// Incident is the receipt for what could not be read. It stands in the directory of
// the slot as incident-<file>-<8 hex>.json and never says what was in a row.
type Incident struct {
	What string `json:"what"`
	// File is the damaged file; "" for one that is missing. KeptAs is where its bytes
	// are kept once all else in it is settled; "" where there are none.
	File   string `json:"file"`
	KeptAs string `json:"kept_as"`
	Offset int64  `json:"offset"` // of the first damaged byte, in the file
	Bytes  int64  `json:"bytes"`  // that cannot be read
	// FirstFSN to LastFSN are the frames concerned; LastFSN is below FirstFSN if there
	// are none. Frames between that could be read are not among Frames.
	FirstFSN FSN   `json:"first_fsn"`
	LastFSN  FSN   `json:"last_fsn"`
	Frames   int64 `json:"frames"`
	// Rows are lost, if RowsKnown; else they are those that can be told of, if any.
	Rows      int64 `json:"rows"`
	RowsKnown bool  `json:"rows_known"`
	// Earliest and Latest, RFC 3339, are the timestamps between which the rows of the
	// segment lie; "" if unknown.
	Earliest string `json:"earliest"`
	Latest   string `json:"latest"`
	Found    string `json:"found"` // RFC 3339
	WhatToDo string `json:"what_to_do"`
}

// stem is what the names of incidents call a file.
func stem(file string) string {
	return strings.TrimLeft(strings.TrimSuffix(file, segmentSuffix), ".")
}

// name returns the file name. The same wound has the same name whenever it is found.
func (i *Incident) name() string {
	about := stem(i.File)
	if about == "" {
		about = "missing"
	}
	key := fmt.Sprint(i.What, i.Offset, i.Bytes, i.FirstFSN, i.LastFSN, i.Frames)
	return fmt.Sprintf("%s%s-%08x%s", incidentPrefix, about, crc32.Checksum([]byte(key), castagnoli), incidentSuffix)
}

// IncidentFile returns the name of the file in the directory of the slot in which an
// incident is told.
func IncidentFile(i Incident) string { return i.name() }

// aboutOf returns the stem of the file that an incident is about.
func aboutOf(name string) (about string, ok bool) {
	name, isIncident := strings.CutPrefix(name, incidentPrefix)
	name, isJSON := strings.CutSuffix(name, incidentSuffix)
	i := strings.LastIndexByte(name, '-')
	if !isIncident || !isJSON || i < 0 {
		return "", false
	}
	return name[:i], true
}

// setSpan says between which times the rows lie.
func (i *Incident) setSpan(s span) {
	if s.ok {
		i.Earliest = time.UnixMicro(s.min).UTC().Format(time.RFC3339)
		i.Latest = time.UnixMicro(s.max).UTC().Format(time.RFC3339)
	}
}

// tell writes an incident, once for each wound, and tells the caller of the slot.
// One that cannot be written is told all the same, and written later. The caller
// holds settling, or is alone.
func (s *Slot) tell(i Incident) {
	name := i.name()
	_, err := s.o.FS.Stat(s.path(name))
	if err == nil {
		return
	}
	i.Found = s.o.Now().UTC().Format(time.RFC3339)
	b, _ := json.MarshalIndent(i, "", "  ") // strings and numbers always can be
	b = append(b, '\n')
	if !errors.Is(err, fs.ErrNotExist) || vfs.WriteWhole(s.o.FS, s.path(name), b) != nil {
		s.settler.untold = append(s.settler.untold, untold{name: name, content: b})
		s.settler.toldAt = s.o.Now()
	}
	s.mu.Lock()
	s.incidents++
	s.mu.Unlock()
	if s.o.OnIncident != nil {
		s.o.OnIncident(i)
	}
}

// untold is an incident that could not be written yet.
type untold struct {
	name    string
	content []byte
}

// retell writes what could not be written before, now and then. The caller holds
// settling.
func (s *Slot) retell(now bool) {
	if len(s.settler.untold) == 0 || !now && s.o.Now().Sub(s.settler.toldAt).Abs() < incidentRetry {
		return
	}
	s.settler.toldAt = s.o.Now()
	for len(s.settler.untold) > 0 {
		u := s.settler.untold[0]
		if vfs.WriteWhole(s.o.FS, s.path(u.name), u.content) != nil {
			return
		}
		s.settler.untold = s.settler.untold[1:]
	}
}
