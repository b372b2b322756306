// SPDX-License-Identifier: MIT

package sfpool

import (
	"strconv"
	"strings"
)

// managed says whether a name is that of a slot of a pool: exactly
// <base>-<index>, the index in [0, count) and written as numbers are.
func managed(name, base string, count int) bool {
	b, index, ok := splitName(name)
	return ok && b == base && index < count
}

// splitName takes <base>-<index> apart; false if the index is not canonical.
func splitName(name string) (base string, index int, ok bool) {
	at := strings.LastIndexByte(name, '-')
	if at < 0 {
		return "", 0, false
	}
	base, digits := name[:at], name[at+1:]
	index, err := strconv.Atoi(digits)
	return base, index, err == nil && index >= 0 && strconv.Itoa(index) == digits
}

// imported says whether a slot was renamed out of the way of ours, or was made of
// ours by Rewind: it is ours by name, so it is drained in any case.
func imported(name, base string) bool {
	b, _, ok := splitName(name)
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
