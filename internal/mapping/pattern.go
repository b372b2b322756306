// SPDX-License-Identifier: MIT

package mapping

import (
	"strings"

	"github.com/questdb-sf/questdb_sf/internal/qwp"
)

// Pattern turns a pattern of Telegraf's filter package for names of tags into one
// for the columns that they become, which is what Options.Symbol is asked for:
// what a name may not have and means nothing in a pattern becomes '_', outside of
// brackets. So request.id is found by request.id, although it is stored as
// request_id.
func Pattern(glob string) string {
	class, braces := false, 0
	return strings.Map(func(r rune) rune {
		switch r {
		case '[', ']':
			class = r == '['
		case '{':
			braces++
		case '}':
			braces--
		}
		meant := class || strings.ContainsRune(`*?\`, r) || r == ',' && braces > 0
		if !meant && qwp.RefusedInColumn(r) {
			return '_'
		}
		return r
	}, glob)
}
