// SPDX-License-Identifier: MIT

//go:build race

package slot_test

// thin is the step through exhaustive tests. The race detector makes them ten
// times as slow and finds nothing in them that other tests do not show.
const thin = 7
