// SPDX-License-Identifier: MIT

// Package api has the types of /api/status: what the agent writes, and what top and
// the page read.
//
// Times are RFC 3339. Names that end in _ns are nanoseconds, those with bytes in them
// bytes, those with rows in them rows. No list is null.
//
// A version only grows: fields, figures, states and words may be added, and whoever
// reads has to pass over what he does not know. What is there keeps its name, its unit
// and its meaning. Anything else makes a new version.
package api

import "time"

// Version is that of the format.
const Version = 1

// Document is /api/status.
type Document struct {
	Version int       `json:"version"` // 0 is that of agents older than the field, else as 1
	Program string    `json:"program"` // the version of questdb_sf; "" where it is not known
	Now     time.Time `json:"now"`
	Stores  []Store   `json:"stores"`
}

// Store is what the blocks with one sf_dir and sender_id share.
type Store struct {
	Dir      string `json:"sf_dir"`
	SenderID string `json:"sender_id"`
	// Says is what goes on, and why, in one line.
	Says    string   `json:"says"`
	Healthy bool     `json:"healthy"`
	Why     []string `json:"why"` // it is not
	// Full says that nothing is left of the room for rows.
	Full bool `json:"full"`
	// Durability is flush, periodic, memory or ram.
	Durability string `json:"durability"`
	// Moved is when rows were last seen to move, or that none were pending.
	Moved time.Time `json:"moved"`
	// Figures are those of /metrics by their names in selfstat.
	Figures   map[string]int64   `json:"figures"`
	Latencies map[string]Latency `json:"latencies"`
	Slots     []Slot             `json:"slots"`
	Orphans   []Orphan           `json:"orphans"`
	Letters   Letters            `json:"dead_letters"`
	Verdicts  []Verdict          `json:"verdicts"`
	Barred    []Barred           `json:"barred"`
	Incidents []Incident         `json:"incidents"` // the oldest first, of the last ones
	// MoreIncidents are told in files that are older, or cannot be read.
	MoreIncidents int64    `json:"more_incidents"`
	Kept          Kept     `json:"kept"`
	History       []Sample `json:"history"` // of the last hour, the oldest first
}

// Latency is how long something took since the store was opened.
type Latency struct {
	Count int64 `json:"count"`
	SumNS int64 `json:"sum_ns"`
	// P99NS is the bound of the bucket in which the 99th percentile lies; of the last
	// bucket, which has none, that of the bucket before: then it is more.
	P99NS   int64    `json:"p99_ns"`
	Buckets []Bucket `json:"buckets"`
}

// Bucket counts what took no longer, and longer than the bucket before; le_ns is 0 for
// the last, which has no bound.
type Bucket struct {
	UpToNS int64 `json:"le_ns"`
	Count  int64 `json:"count"`
}

// Slot is one slot of the store, on disk or in RAM.
type Slot struct {
	Name      string           `json:"name"`
	InRAM     bool             `json:"in_ram"`
	State     string           `json:"state"` // free, building, live, closing, leaked
	Figures   map[string]int64 `json:"figures"`
	Ledger    Ledger           `json:"ledger"`
	Transport string           `json:"transport"` // "" before the first connection
	Host      string           `json:"host"`
	LastError string           `json:"last_error"` // "" in health
	Oldest    *time.Time       `json:"oldest_pending"`
	Outage    *time.Time       `json:"outage_since"`
	Segments  []Segment        `json:"segments"` // the oldest first
}

// Ledger counts rows since the slot was made: accepted is the sum of the others.
type Ledger struct {
	Accepted     int64 `json:"accepted"`
	Acked        int64 `json:"acked"`
	Pending      int64 `json:"pending"`
	DeadLettered int64 `json:"dead_lettered"`
	Evicted      int64 `json:"evicted"`
	Quarantined  int64 `json:"quarantined"`
	Unknown      int64 `json:"unknown"`
}

// Segment is a file of a slot. Settled of its frames need not be sent any more.
type Segment struct {
	First   int64 `json:"first_fsn"`
	Frames  int64 `json:"frames"`
	Settled int64 `json:"settled"`
	Rows    int64 `json:"rows"`
	Used    int64 `json:"used_bytes"`
	Size    int64 `json:"size_bytes"`
}

// Orphan is a slot in sf_dir that no pool has.
type Orphan struct {
	Name string `json:"name"`
	// State is waiting, draining, other destination, owned by another pool, or failed;
	// Reason says more.
	State   string `json:"state"`
	Reason  string `json:"reason"`
	Foreign bool   `json:"foreign"` // of another client, whose rows are counted once it is drained
	// Counted says that Pending is known, Partial that there may be more. Looked says that
	// the files were looked into, which tells Foreign, Bytes, FileBytes and Oldest. What is
	// not known is 0, or null; Error is why the files cannot be looked into.
	Counted   bool       `json:"counted"`
	Partial   bool       `json:"partial"`
	Looked    bool       `json:"looked_into"`
	Error     string     `json:"error"`
	Pending   int64      `json:"rows_pending"`
	Bytes     int64      `json:"bytes_pending"`
	FileBytes int64      `json:"file_bytes"` // of its segments
	Oldest    *time.Time `json:"oldest_pending"`
}

// Letters are the dead letters in files, by their reasons. They are looked at every
// few seconds at most: the figures are newer.
type Letters struct {
	Rows    int64    `json:"rows"`
	Bytes   int64    `json:"file_bytes"`
	Reasons []Reason `json:"reasons"`      // the most rows first, some of them
	More    int64    `json:"more_reasons"` // that are not among them
	Unread  int64    `json:"unread_bytes"` // of large files, which are not counted in rows
	Command string   `json:"command"`      // shows all of it
	// Error is why the files, or some of them, could not be read.
	Error string `json:"error"`
}

// Reason is why rows are dead letters.
type Reason struct {
	Class  string    `json:"class"` // final, or refused: these may still be delivered
	Table  string    `json:"table"`
	Column string    `json:"column"` // "" where it is not about one, like type and host
	Type   string    `json:"type"`
	Host   string    `json:"host"`
	Rows   int64     `json:"rows"`
	Newest time.Time `json:"newest"`
	Words  string    `json:"words"` // of the newest
}

// Verdict is a type of values that a column refuses.
type Verdict struct {
	Host   string `json:"host"`
	Table  string `json:"table"`
	Column string `json:"column"`
	Type   string `json:"type"`
	To     string `json:"to"` // the column that takes the values; "" for none
	Words  string `json:"words"`
}

// Barred is a table of which the server takes no rows now.
type Barred struct {
	Host  string `json:"host"`
	Table string `json:"table"`
	Words string `json:"words"`
}

// Incident is something in a slot that could not be read.
type Incident struct {
	Slot string `json:"slot"`
	What string `json:"what"`
	// File is the damaged file; "" for one that is missing. KeptAs is where its bytes are
	// kept, in the directory of the slot, KeptBytes how many there are now.
	File      string `json:"file"`
	KeptAs    string `json:"kept_as"`
	KeptBytes int64  `json:"kept_bytes"`
	Offset    int64  `json:"offset"` // of the first damaged byte, in the file
	Bytes     int64  `json:"bytes"`  // that cannot be read
	FirstFSN  int64  `json:"first_fsn"`
	LastFSN   int64  `json:"last_fsn"` // below first_fsn where no frames are concerned
	Frames    int64  `json:"frames"`   // of them, that could not be read
	Rows      int64  `json:"rows"`
	RowsKnown bool   `json:"rows_known"` // else there may be more
	Earliest  string `json:"earliest"`   // of the times of its rows; "" if unknown, like latest
	Latest    string `json:"latest"`
	Found     string `json:"found"`
	WhatToDo  string `json:"what_to_do"`
	Receipt   string `json:"receipt"` // the file that tells of it, in the directory of the slot
}

// Kept are the files with what could not be read, of all slots in sf_dir.
type Kept struct {
	Files  int64      `json:"files"`
	Bytes  int64      `json:"file_bytes"`
	Oldest *time.Time `json:"oldest,omitempty"` // when it was last written
	Error  string     `json:"error"`            // why the slots could not be looked into
}

// Sample is a point of the history. The rates are bytes of frames a second since the
// point before.
type Sample struct {
	At           time.Time `json:"at"`
	PendingRows  int64     `json:"rows_pending"`
	PendingBytes int64     `json:"bytes_pending"`
	Stored       int64     `json:"stored_bytes_per_second"`
	Sent         int64     `json:"sent_bytes_per_second"`
}
