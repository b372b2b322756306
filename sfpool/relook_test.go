// SPDX-License-Identifier: MIT

package sfpool

import "testing"

// A look at sf_dir that comes while a drainer is about to find out that a pool is
// open must not be lost: that pool may have closed in between, and the next look
// waits for a write.
func TestALookDuringADrainIsNotForgotten(t *testing.T) {
	for name, err := range map[string]error{"owned": &ownedError{base: "other"}, "held": &TargetError{Dir: "/sf/other-0"}} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t)
			p := b.open(b.config())
			for look, want := range map[bool]orphanState{false: map[string]orphanState{"owned": owned, "held": held}[name], true: waiting} {
				k := &orphan{state: draining}
				p.mu.Lock()
				p.orphans.known, p.orphans.draining = map[string]*orphan{"other-0": k}, 1
				p.unlock()
				if look {
					p.noteOrphan("other-0", nil)
				}
				p.noteDrain("other-0", stuck, err)
				p.mu.Lock()
				if k.state != want || k.relook {
					t.Errorf("after a look %t: %s, want %s", look, k.state, want)
				}
				p.unlock()
			}
		})
	}
}
