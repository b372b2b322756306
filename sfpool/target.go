// SPDX-License-Identifier: MIT

package sfpool

import "strings"

// Takes says whether rows for a target may go where a pool with this configuration
// sends. No target is any. URLs may change, and the rows of a slot that is or was ours
// follow; a label (sf_destination) means it, unless it was given to the very same URLs.
func (c Config) Takes(target string, ours bool) bool {
	if c.Sends(target) {
		return true
	}
	isLabel := !strings.Contains(target, "://")
	return ours && !isLabel && (c.Destination == "" || canonical(target) == c.urls())
}

func (p *Pool) belongs(target string, ours bool) bool { return p.cfg.Takes(target, ours) }
