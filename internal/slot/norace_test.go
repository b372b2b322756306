// SPDX-License-Identifier: MIT

//go:build !race

package slot_test

// thin is the step through exhaustive tests: every position.
const thin = 1
