// SPDX-License-Identifier: MIT

// Package verdict keeps what servers have refused, so that it is known before rows
// are sent (DESIGN.md 12). All senders of a pool share one Book.
//
// A verdict says that a server refuses values of a wire type in a column of a table,
// and what is done about it. It is kept in a file, and renewed or lifted by a row that
// is sent as it is now and then: a probe. A bar says that a server takes no rows of a
// table at the time, for a reason that somebody there has to mend; it lives in RAM.
package verdict

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/questdb-sf/questdb_sf/internal/qwp"
)

// Conflict is the option type_conflict: what becomes of a value whose type its column
// refuses. Zero is Suffix.
type Conflict uint8

// The ways out of a conflict of types.
const (
	Suffix     Conflict = iota // it goes to the column <column>__<type>
	Widen                      // the column is altered to DOUBLE where that helps, else as Suffix
	DeadLetter                 // its row becomes a dead letter
)

var conflictNames = [...]string{Suffix: "suffix", Widen: "widen", DeadLetter: "dead_letter"}

// String returns the name that ParseConflict reads.
func (c Conflict) String() string {
	if int(c) < len(conflictNames) {
		return conflictNames[c]
	}
	return fmt.Sprintf("type_conflict %d", uint8(c))
}

// to returns the column for values that a column refuses; empty for none.
func (c Conflict) to(column string, t qwp.Type) string {
	if c == DeadLetter {
		return ""
	}
	return SuffixOf(column, t)
}

// ParseConflict reads suffix, widen or dead_letter.
func ParseConflict(s string) (Conflict, error) {
	for c, name := range conflictNames {
		if name == s {
			return Conflict(c), nil
		}
	}
	return 0, fmt.Errorf("type_conflict %q is unknown: use suffix, widen or dead_letter", s)
}

// Key names what a server refuses: values of a wire type in a column of a table. Names
// that differ only in case are the same to QuestDB.
type Key struct {
	Host, Table, Column string
	Type                qwp.Type
}

func (k Key) fold() Key {
	k.Table, k.Column = strings.ToLower(k.Table), strings.ToLower(k.Column)
	return k
}

// Verdict is what was learned of a Key.
type Verdict struct {
	Key
	// To is the column that takes the values instead; empty: their rows are dead
	// letters.
	To string
	// Wait says that somebody at the server has to mend it: rows with such a value stay
	// in the store. It is not kept in the file, and To is empty.
	Wait  bool
	Words string // the server's
	// Mark is the Mark of the Book when it was learned or renewed, in this process.
	Mark int64
}

// typeWords are the types as a suffix has them.
var typeWords = map[qwp.Type]string{
	qwp.TypeLong: "long", qwp.TypeDouble: "double", qwp.TypeVarchar: "varchar", qwp.TypeSymbol: "symbol",
	qwp.TypeBoolean: "boolean", qwp.TypeTimestamp: "timestamp", qwp.TypeTimestampNanos: "timestamp_ns",
}

// SuffixOf returns the column for values of a type that a column refuses. It is empty
// where that is such a column already: then nothing but a dead letter is left.
func SuffixOf(column string, t qwp.Type) string {
	word := typeWords[t]
	if word == "" {
		word = strings.ToLower(t.String())
	}
	suffix := "__" + word
	if strings.HasSuffix(strings.ToLower(column), suffix) {
		return ""
	}
	for len(column)+len(suffix) > qwp.MaxName {
		_, size := utf8.DecodeLastRuneInString(column)
		column = column[:len(column)-size]
	}
	return column + suffix
}
