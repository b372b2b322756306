// SPDX-License-Identifier: MIT

package slot

import "fmt"

// FSN is a frame sequence number: it counts the frames of a slot from 0 and
// goes on across restarts. -1 stands for "none yet".
type FSN int64

// Durability is the promise for a published frame. Zero is none of them.
type Durability uint8

const (
	// Flush has every Tx.Sync sync the device: a published frame survives a
	// power cut.
	Flush Durability = iota + 1
	// Periodic syncs at most Options.SyncInterval or SyncBytes after a publish:
	// a power cut loses no more than that, the death of the process nothing.
	Periodic
	// Memory never syncs: a published frame survives the death of the process.
	Memory
)

// SyncBytes is how much may be published but unsynced under Periodic.
const SyncBytes = 4 << 20

var durabilityNames = [...]string{Flush: "flush", Periodic: "periodic", Memory: "memory"}

// String returns the name that ParseDurability takes.
func (d Durability) String() string {
	if d < Flush || d > Memory {
		return fmt.Sprintf("durability %d", uint8(d))
	}
	return durabilityNames[d]
}

// ParseDurability returns the durability called "flush", "periodic" or "memory".
func ParseDurability(name string) (Durability, error) {
	for d := Flush; d <= Memory; d++ {
		if durabilityNames[d] == name {
			return d, nil
		}
	}
	return 0, fmt.Errorf("durability %q: use flush, periodic or memory", name)
}

// Settlement is how the rows of a frame left the slot. Zero is none.
type Settlement uint8

const (
	Acked        Settlement = iota + 1 // the server took them
	DeadLettered                       // at fault themselves, kept as dead letters
	Evicted                            // given up for room or age
	Quarantined                        // set aside with a wound
	Unknown                            // lost in a wound that hides how many they were
)

var settlementNames = [...]string{
	Acked: "acked", DeadLettered: "dead-lettered", Evicted: "evicted",
	Quarantined: "quarantined", Unknown: "unknown",
}

// String returns the word used in logs.
func (s Settlement) String() string {
	if s < Acked || s > Unknown {
		return fmt.Sprintf("settlement %d", uint8(s))
	}
	return settlementNames[s]
}

// Share is a number of rows of one frame and how they left.
type Share struct {
	As   Settlement
	Rows int
}

// ledger counts rows since the slot began.
type ledger struct {
	accepted int64
	settled  [Unknown + 1]int64 // by Settlement; 0 stays empty
}

func (l *ledger) gone() int64 {
	var sum int64
	for _, n := range l.settled {
		sum += n
	}
	return sum
}

func (l *ledger) pending() int64 { return l.accepted - l.gone() }
