// SPDX-License-Identifier: MIT

//go:build custom

package main

// The directory plugins/inputs/internal may only be imported from inside
// Telegraf; with the tags "custom,inputs.internal" this package imports it, and
// nothing else, on our behalf.
import _ "github.com/influxdata/telegraf/plugins/inputs/all"
