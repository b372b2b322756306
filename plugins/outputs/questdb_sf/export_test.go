// SPDX-License-Identifier: MIT

package questdb_sf

import "github.com/questdb-sf/questdb_sf/internal/fleet"

// Tells returns what the store of a block writes about itself.
func (o *Output) Tells() (fleet.Options, error) {
	set, err := o.settings()
	return set.Fleet, err
}
