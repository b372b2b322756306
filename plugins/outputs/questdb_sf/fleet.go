// SPDX-License-Identifier: MIT

package questdb_sf

import (
	"runtime/debug"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/fleet"
	"github.com/questdb-sf/questdb_sf/internal/tables"
	"github.com/questdb-sf/questdb_sf/sfpool"
)

// fleet says what the store writes about itself. Where nobody but the operator creates
// tables, such rows would wait for theirs for ever, and with them the files that they
// are in: there they are written only by somebody who asks for rows of status, and has
// created both tables.
func (o *Output) fleet(pool *sfpool.Config) fleet.Options {
	return fleet.Options{
		Events:      pool.TableCreate != tables.Never || o.StatusRows > 0,
		StatusEvery: time.Duration(o.StatusRows),
		Version:     version(o.Version),
	}
}

// modulePath is that of this module.
const modulePath = "github.com/questdb-sf/questdb_sf"

// version returns own, or the version with which this module was built into a program.
func version(own string) string {
	info, ok := debug.ReadBuildInfo()
	if own != "" || !ok {
		return own
	}
	if info.Main.Path == modulePath {
		return info.Main.Version
	}
	for _, m := range info.Deps {
		if m.Path == modulePath {
			return m.Version
		}
	}
	return ""
}
