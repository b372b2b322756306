// SPDX-License-Identifier: MIT

package netem

// WriteSplit shows what a reader cannot see, because the kernel joins segments.
var WriteSplit = writeSplit
