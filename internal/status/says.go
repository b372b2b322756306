// SPDX-License-Identifier: MIT

package status

import (
	"fmt"
	"strings"
	"time"
)

// says tells in one line what goes on: what is wrong, or else why rows wait, or else
// that they do not.
func (r *report) says() string {
	v := &r.view
	n, held := v.pending(), v.HeldRows+v.RAMStats.HeldRows
	switch s := v.outage(); {
	case len(r.why) > 0:
		return strings.Join(r.why, "; ")
	case !r.look.Open:
		return "the store is not open yet"
	case s != nil:
		return fmt.Sprintf("%d rows are pending; %s", n, waiting(s))
	case held > 0:
		return fmt.Sprintf("%d rows are pending; %d of them wait for their tables%s", n, held, r.barred())
	case n > 0 && timeToEmpty(v) > 0:
		return fmt.Sprintf("%d rows are pending and being sent; at this rate they are gone in %s", n, timeToEmpty(v).Round(time.Second))
	case n > 0:
		return fmt.Sprintf("%d rows are pending and being sent", n)
	}
	return "nothing is pending" + aside(*r)
}

// barred is the reason of the server for one table of which it takes no rows.
func (r *report) barred() string {
	for _, b := range append(r.look.Details.Barred, r.look.RAMDetails.Barred...) {
		return fmt.Sprintf(", as %q: %s", b.Table, words(b.Words))
	}
	return ""
}

// quoted writes a word for a shell.
func quoted(word string) string {
	if !strings.ContainsFunc(word, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("/._-:", c)
	}) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
