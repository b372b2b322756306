// SPDX-License-Identifier: MIT

package intake

// Ways returns over how many shards the batch goes that is being filled; 0 for one
// that is not split.
func (in *Intake) Ways() int { return in.ways }

// Break makes the next chunk of each shard panic.
func (in *Intake) Break() {
	for _, s := range in.shards[:in.ways] {
		s.Batch = nil
	}
}

// Limits of the decision.
const (
	SplitRows    = splitRows
	SplitPending = splitPending
)
