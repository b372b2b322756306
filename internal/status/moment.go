// SPDX-License-Identifier: MIT

package status

import (
	"regexp"
	"time"
)

// moment is a time for people, and for the page's script, which writes it in the zone of
// who reads it.
type moment struct{ Machine, Words string }

func momentOf(t time.Time) moment {
	t = t.UTC()
	return moment{t.Format(time.RFC3339), t.Format("2006-01-02 15:04:05 UTC")}
}

// piece is a part of a text: words, or a time.
type piece struct {
	Text string
	Time *moment
}

var rfc3339 = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)`)

// piecesOf finds the times in a text, so that one page does not have them in two zones.
func piecesOf(text string) (all []piece) {
	for text != "" {
		at := rfc3339.FindStringIndex(text)
		if at == nil {
			return append(all, piece{Text: text})
		}
		if at[0] > 0 {
			all = append(all, piece{Text: text[:at[0]]})
		}
		word := text[at[0]:at[1]]
		if t, err := time.Parse(time.RFC3339, word); err == nil {
			m := momentOf(t)
			all = append(all, piece{Time: &m})
		} else {
			all = append(all, piece{Text: word})
		}
		text = text[at[1]:]
	}
	return all
}
