// SPDX-License-Identifier: MIT

package sfpool

import (
	"slices"
	"strings"

	"github.com/questdb-sf/questdb_sf/internal/link"
)

// Target is what .target says in a slot of a pool with this configuration: where its
// rows belong, without secrets.
func (c *Config) Target() string {
	if c.Destination != "" {
		return c.Destination + "\n"
	}
	return c.urls()
}

func (c *Config) urls() string { return canonical(strings.Join(c.URLs, "\n")) }

// Takes says whether rows for a target may go where a pool with this configuration
// sends. No target is any. URLs may change, and the rows of a slot that is or was ours
// follow; a label (sf_destination) means it, unless it was given to the very same URLs.
func (c *Config) Takes(target string, ours bool) bool {
	if target == "" || canonical(target) == c.Target() {
		return true
	}
	isLabel := !strings.Contains(target, "://")
	return ours && !isLabel && (c.Destination == "" || canonical(target) == c.urls())
}

func (p *Pool) target() string { return p.cfg.Target() }

func (p *Pool) belongs(target string, ours bool) bool { return p.cfg.Takes(target, ours) }

// canonical brings what a .target says into one spelling and order: the same
// endpoints must not look like another destination.
func canonical(target string) string {
	if target == "" {
		return ""
	}
	lines := strings.Split(strings.TrimSuffix(target, "\n"), "\n")
	for i, line := range lines {
		lines[i] = link.Canonical(line)
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n") + "\n"
}
