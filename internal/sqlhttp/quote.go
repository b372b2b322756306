// SPDX-License-Identifier: MIT

package sqlhttp

import "strings"

// Quote makes an identifier of a table or column name. The name ends where it ends,
// whatever it contains: QuestDB knows no escape but the doubled quote.
func Quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// Literal makes a text of SQL, as Quote makes an identifier.
func Literal(text string) string { return `'` + strings.ReplaceAll(text, `'`, `''`) + `'` }
