// SPDX-License-Identifier: MIT

package sfpool

import (
	"strings"

	"github.com/questdb-sf/questdb_sf/internal/slot"
)

// managed says whether a name is that of a slot of a pool: exactly
// <base>-<index>, the index in [0, count) and written as numbers are.
func managed(name, base string, count int) bool {
	b, index, ok := slot.SplitName(name)
	return ok && b == base && index < count
}

// imported says whether a slot was renamed out of the way of ours, or was made of
// ours by Rewind: it is ours by name, so it is drained in any case.
func imported(name, base string) bool {
	b, _, ok := slot.SplitName(name)
	return ok && (b == base+importedSuffix || b == base+rewindSuffix)
}

// offspring returns the sender_id of the pool that drains such a slot.
func offspring(base string) (owner string, is bool) {
	if owner, is = strings.CutSuffix(base, importedSuffix); is {
		return owner, true
	}
	return strings.CutSuffix(base, rewindSuffix)
}

// ImportSuffix stands behind the sender_id in names of slots that were imported from a
// file. Unlike others of ours, such a slot does not follow the URLs: its rows go where
// they were to go, or where the import said.
const ImportSuffix = "-import"

// importedSuffix stands behind the sender_id in names that slot.Import gives.
const importedSuffix = "-imported"
