// SPDX-License-Identifier: MIT

package sender

import "time"

// Acked and Ready are what the send loop tells a Replay and asks it.
func (r *Replay) Acked(rows int, took time.Duration) { r.acked(rows, took) }

func (r *Replay) Ready() time.Time { return r.ready() }
