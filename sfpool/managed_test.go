// SPDX-License-Identifier: MIT

package sfpool

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// slotNames says of each name whether it is a slot of a pool with base "default"
// and four senders.
var slotNames = map[string]bool{
	"default-0": true, "default-1": true, "default-2": true, "default-3": true,

	"default-4": false, "default-007": false, "default-00": false, "default--1": false,
	"default-+1": false, "default-1x": false, "default-foo": false, "default-": false,
	"default": false, "defaults-0": false, "other-0": false,
	"default-9223372036854775808": false, "default-18446744073709551616": false, "default-4294967296": false,

	"": false, "-": false, "-0": false, "0": false, "default-0-0": false, "default-imported-1": false,
	"Default-0": false, "default-0 ": false, "default- 0": false, "default-0x1": false, "default-1e0": false,
	"default-1_0": false, "default-\u0661": false, "default_0": false,
}

func TestAPoolFencesOffExactlyItsOwnSlots(t *testing.T) {
	for name, want := range slotNames {
		if got := managed(name, "default", 4); got != want {
			t.Errorf("managed(%q) = %t, want %t", name, got, want)
		}
	}
}

func TestAPoolWithoutSlotsFencesOffNothing(t *testing.T) {
	for _, count := range []int{0, -1, math.MinInt} {
		for name := range slotNames {
			if managed(name, "default", count) {
				t.Errorf("managed(%q) with %d slots", name, count)
			}
		}
	}
}

func TestAShrunkenPoolDoesNotFenceOffWhatItHadBefore(t *testing.T) {
	for index := range 4 {
		name := fmt.Sprintf("default-%d", index)
		if got := managed(name, "default", 2); got != (index < 2) {
			t.Errorf("managed(%q) = %t with two slots", name, got)
		}
	}
}

// A base may end like a slot of another pool.
func TestABaseWithDashesFencesOffItsOwnSlotsOnly(t *testing.T) {
	for _, c := range []struct {
		name, base string
		want       bool
	}{
		{"default-0-1", "default-0", true},
		{"default-0-1", "default", false},
		{"default-0", "default-0", false},
		{"default--1", "default-", true},
		{"--0", "-", true},
	} {
		if got := managed(c.name, c.base, 4); got != c.want {
			t.Errorf("managed(%q, %q) = %t", c.name, c.base, got)
		}
	}
}

func TestManagedAgreesWithTheListOfTheSlots(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		base := rapid.StringMatching(`[A-Za-z0-9_-]{1,3}`).Draw(t, "base")
		count := rapid.IntRange(-1, 12).Draw(t, "count")
		p := &Pool{cfg: Config{SenderID: base}}
		var own []string
		for i := range count {
			own = append(own, p.slotName(i))
		}
		name := rapid.OneOf(
			rapid.StringMatching(`[A-Za-z0-9_-]{1,3}-?[0-9+-]{0,3}`),
			rapid.Map(rapid.StringMatching(`-[0-9+-]{0,3}`), func(tail string) string { return base + tail }),
		).Draw(t, "name")
		if got, want := managed(name, base, count), slices.Contains(own, name); got != want {
			t.Errorf("managed(%q, %q, %d) = %t", name, base, count, got)
		}
	})
}
