// SPDX-License-Identifier: MIT

package main

import _ "github.com/questdb-sf/questdb_sf/plugins/outputs/questdb_sf"
