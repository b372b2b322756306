// SPDX-License-Identifier: MIT

package deadletter_test

import (
	"path/filepath"
	"testing"

	"github.com/questdb-sf/questdb_sf/internal/deadletter"
)

// A file that was moved away, or in which somebody deleted lines, has other letters
// at the places that were read before: they were not fed back, and must stay.
func TestPlacesThatWereReadBeforeAFileChangedTakeNothingOut(t *testing.T) {
	for name, change := range map[string]func(t *testing.T, text []byte) []byte{
		"moved away":    func(*testing.T, []byte) []byte { return nil },
		"lines deleted": func(_ *testing.T, text []byte) []byte { return text[len(text)/2:] },
	} {
		t.Run(name, func(t *testing.T) {
			const file = "default.refused.lp"
			disk := newDisk(t)
			f := open(disk)
			do(t, f.Add(lettersOf(deadletter.Refused, 10, 12)))
			first, err := f.Oldest(map[deadletter.Group]int{letterGroup(): 1}, 1<<20)
			do(t, err)
			if text := change(t, content(t, disk, file)); text == nil {
				do(t, disk.Remove(filepath.Join(dir, file)))
			} else {
				put(t, disk, file, text)
			}
			do(t, f.Add(lettersOf(deadletter.Refused, 12, 13)))
			before := ids(t, f, deadletter.Refused)
			do(t, f.Remove([]deadletter.Place{first[0].Place}))
			equal(t, "letters", ids(t, f, deadletter.Refused), before)
		})
	}
}

// Else nothing would be fed any more until the file is begun anew.
func TestALetterWhoseFileWasMovedAwayIsTakenOut(t *testing.T) {
	disk := newDisk(t)
	f := open(disk, sealed)
	do(t, f.Add(lettersOf(deadletter.Refused, 0, 8)))
	do(t, f.Add(lettersOf(deadletter.Refused, 8, 10)))
	list, err := f.Oldest(map[deadletter.Group]int{letterGroup(): 10}, 1<<20)
	do(t, err)
	do(t, disk.Remove(filepath.Join(dir, "default.refused.lp")))
	do(t, f.Remove([]deadletter.Place{list[0].Place, list[9].Place}))
	equal(t, "letters", ids(t, f, deadletter.Refused), upTo(1, 8))
	equal(t, "counted", f.Stats().Refused.Letters, 7)
}

func letterGroup() deadletter.Group {
	l := letterOf(deadletter.Refused, 0)
	return l.Group()
}
