// SPDX-License-Identifier: MIT

package sfpool

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/questdb-sf/questdb_sf/internal/connstr"
)

// Full says what gives way when the store has no room for a batch.
type Full uint8

// The ways of a full store. Every row that is dropped is counted as evicted, and
// told of with its range of time.
const (
	// FullBlock waits for room, up to AppendDeadline; then Flush returns
	// ErrStoreFull and the rows stay with the caller.
	FullBlock Full = iota + 1
	// FullDropOldest gives up the oldest segments of the pool until there is room.
	// A batch that can never fit is dropped itself.
	FullDropOldest
	// FullDropNewest drops the batch: Flush returns nil, and nothing was stored.
	FullDropNewest
)

var fullNames = [...]string{FullBlock: "block", FullDropOldest: "drop_oldest", FullDropNewest: "drop_newest"}

// String returns the word that ParseFull takes.
func (f Full) String() string {
	if f < FullBlock || f > FullDropNewest {
		return fmt.Sprintf("sf_full %d", uint8(f))
	}
	return fullNames[f]
}

// ParseFull reads block, drop_oldest or drop_newest.
func ParseFull(name string) (Full, error) {
	for f := FullBlock; f <= FullDropNewest; f++ {
		if fullNames[f] == name {
			return f, nil
		}
	}
	return 0, fmt.Errorf("full %q: use drop_oldest, drop_newest or block", name)
}

// FreeSpace is how much of a filesystem the store leaves to others: the larger of
// Bytes and Percent of its size. The zero value is nothing.
type FreeSpace struct {
	Bytes   int64
	Percent float64 // 0 to below 100
}

// ParseFreeSpace reads a percentage, "5%", or a size in bytes, "1g".
func ParseFreeSpace(value string) (FreeSpace, error) {
	digits, isPercent := strings.CutSuffix(value, "%")
	if !isPercent {
		bytes, err := connstr.Size(0)(value)
		return FreeSpace{Bytes: bytes}, err
	}
	p, err := strconv.ParseFloat(digits, 64)
	if err != nil || !validPercent(p) {
		return FreeSpace{}, fmt.Errorf("want a percentage from 0%% to below 100%%, or a size in bytes")
	}
	return FreeSpace{Percent: p}, nil
}

func validPercent(p float64) bool { return p >= 0 && p < 100 }

func (f FreeSpace) validate() error {
	if f.Bytes < 0 || !validPercent(f.Percent) {
		return fmt.Errorf("sf_min_free_space of %d bytes and %g%%: use 0 or more bytes, and 0%% to below 100%%", f.Bytes, f.Percent)
	}
	return nil
}

// Of returns the bytes to keep free of a filesystem of so many.
func (f FreeSpace) Of(total int64) int64 {
	return max(f.Bytes, int64(math.Ceil(float64(total)*f.Percent/100)))
}

// String returns what ParseFreeSpace takes, as far as it can say both.
func (f FreeSpace) String() string {
	if f.Percent > 0 {
		return strconv.FormatFloat(f.Percent, 'g', -1, 64) + "%"
	}
	return strconv.FormatInt(f.Bytes, 10)
}
