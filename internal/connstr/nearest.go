// SPDX-License-Identifier: MIT

package connstr

import "strings"

// nearEnough is the most edits between a slip of the hand and the word meant.
const nearEnough = 3

// Nearest returns the candidate that is fewest edits away from name, whatever
// its case, or "" if name looks like none. Short names need to be nearer.
func Nearest(name string, candidates []string) string {
	best, nearest := min(nearEnough, len(name)/3)+1, ""
	for _, c := range candidates {
		if len(c)-len(name) >= best || len(name)-len(c) >= best {
			continue
		}
		if d := distance(strings.ToLower(name), c); d < best {
			best, nearest = d, c
		}
	}
	return nearest
}

// distance is Levenshtein's, in bytes: keys are ASCII.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// Name returns a key as errors show it: whole, unless nobody could have meant
// it as one.
func Name(key string) string {
	const longest = 60
	if len(key) > longest {
		return key[:longest] + "..."
	}
	return key
}
