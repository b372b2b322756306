// SPDX-License-Identifier: MIT

package sfpool

import (
	"fmt"

	"github.com/questdb-sf/questdb_sf/internal/verdict"
)

// TypeConflict says what becomes of a value whose type its column refuses.
type TypeConflict = verdict.Conflict

// The ways out of a conflict of types.
const (
	// ConflictSuffix stores it in the column <column>__<type>; the other columns of the
	// row are as they were.
	ConflictSuffix = verdict.Suffix
	// ConflictWiden makes a column of whole numbers DOUBLE, with ALTER TABLE, if the
	// value is a floating point number; else it is ConflictSuffix.
	ConflictWiden = verdict.Widen
	// ConflictDeadLetter makes a dead letter of the row.
	ConflictDeadLetter = verdict.DeadLetter
)

func (c Config) checkConflict() error {
	if c.TypeConflict > ConflictDeadLetter {
		return fmt.Errorf("%v is unknown: use suffix, widen or dead_letter", c.TypeConflict)
	}
	return nil
}

// learn opens what the senders of the pool have learned of refused values: the file
// <sender_id>.verdicts.json in sf_dir.
func (p *Pool) learn() *verdict.Book {
	o := verdict.Options{Log: p.cfg.Logger, Conflict: p.cfg.TypeConflict}
	if !p.cfg.inRAM() && !p.cfg.Beside { // which leaves no file that nobody reads
		o.FS, o.Path = p.cfg.FS, p.path(p.cfg.SenderID+".verdicts.json")
	}
	return verdict.New(o)
}
