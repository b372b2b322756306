// SPDX-License-Identifier: MIT

package slot

import (
	"strconv"
	"strings"
)

// SplitName takes <base>-<index> apart; false if the name is none of a slot.
func SplitName(name string) (base string, index int, ok bool) {
	at := strings.LastIndexByte(name, '-')
	if at < 0 {
		return "", 0, false
	}
	base, digits := name[:at], name[at+1:]
	index, err := strconv.Atoi(digits)
	return base, index, err == nil && index >= 0 && strconv.Itoa(index) == digits
}
