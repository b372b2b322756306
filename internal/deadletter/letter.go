// SPDX-License-Identifier: MIT

// Package deadletter keeps rows that their table did not take: as line protocol
// that line-protocol/v2 decodes, each behind comments that say why, in files that
// are synced before anybody relies on them.
//
//	# 2026-11-22T12:00:00Z table "cpu", slot default-0, fsn 12, row 3 of block 0: cast error …
//	# qsf1 5d3fa2c1 46 class=refused unit=us key="default-0"/12/9a0b1c2d/0/3 column="usage" type=DOUBLE host="db:9000"
//	cpu,host=a usage=1.5 1795348800000000000
//
// The first line is for people: when and where, and the reason in the words of
// whoever refused the row, on one line. The second is for programs: CRC-32C of all
// the rest of the letter, how many bytes follow the line, and what line protocol
// cannot say: the class, the unit of the time in the row (us, ns, none), which stored
// row it is, and what was refused. Without a key the row never was in a slot.
//
// A row that line protocol cannot express exactly has no third line. It stands in
// two more comments, in words and as a QWP frame of that one row in base64:
//
//	# not line protocol (column "id" is a UUID): "id"=UUID("…",0) time=1795348800000000
//	# frame=UVdQMQ…
//
// What is read back is the row as it was, with its cells in another order. Feed it
// to a [github.com/questdb-sf/questdb_sf/sfpool.Pool], or the line to anything that
// reads line protocol: mapping it again changes nothing.
package deadletter

import (
	"fmt"
	"hash/fnv"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/qwp"
)

// Class says whether a row may still be delivered. Zero is no class.
type Class uint8

const (
	// Final is a row that can never be stored, whatever the server does.
	Final Class = iota + 1
	// Refused is a row that the server may come to accept, when a column was
	// altered for example.
	Refused
)

// classes are all classes, in the order in which letters are given up.
var classes = [...]Class{Final, Refused}

// String returns the word that stands in a letter.
func (c Class) String() string {
	switch c {
	case Final:
		return "final"
	case Refused:
		return "refused"
	}
	return fmt.Sprintf("class %d", uint8(c))
}

// stem is the part of a file name between sender_id and number.
func (c Class) stem() string {
	if c == Refused {
		return "refused"
	}
	return "dead-letter"
}

// Key names a stored row, so that a crash between the letter and the settlement of
// its frame makes no second letter.
type Key struct {
	Slot  string
	FSN   int64
	CRC   uint32 // of the frame
	Block int    // table block of the frame
	Row   int    // of the block
}

// keyHash is what is remembered of a key.
type keyHash [16]byte

func (k *Key) hash() (sum keyHash) {
	h := fnv.New128a()
	_, _ = fmt.Fprintf(h, "%s/%d/%d/%d/%d", k.Slot, k.FSN, k.CRC, k.Block, k.Row)
	h.Sum(sum[:0])
	return sum
}

// Group is a reason why rows are refused: letters of one group are likely to be
// accepted all together.
type Group struct {
	Host, Table, Column string
	Type                qwp.Type
}

// Letter is one row and the reason why it is not in its table.
type Letter struct {
	// Key is nil for a row that never was in a slot.
	Key *Key
	// Row is the row. A letter that is read has none if neither line protocol nor a
	// frame could hold it: then it stands in words in the file.
	Row *qwp.Row
	// Frame is a self-contained frame of just this row, as qwp.View.AppendPart makes
	// it. It is needed only for rows of types that a qwp.Builder cannot encode. A
	// letter that is read has one where there is no line.
	Frame []byte
	// Reason is why, in the words of the server or ours. Line breaks are escaped,
	// and it is cut at 1,024 bytes.
	Reason string
	Class  Class
	// Host, Column and Type are what was refused where, for the Refused; a zero
	// value says that it is not known.
	Host, Column string
	Type         qwp.Type
	// Time is when the letter was written. Add sets it.
	Time time.Time

	under string // the table of a letter that was read without a row
}

// Group returns the reason that the letter shares with others.
func (l *Letter) Group() Group {
	g := Group{Host: clip(l.Host, maxName), Table: l.under, Column: clip(l.Column, maxName), Type: l.Type}
	if l.Row != nil {
		g.Table = clip(l.Row.Table, maxName)
	}
	return g
}
