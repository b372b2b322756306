// SPDX-License-Identifier: MIT

package slot_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"syscall"
	"testing"

	"github.com/questdb-sf/questdb_sf/internal/slot"
	"github.com/questdb-sf/questdb_sf/internal/vfs/vfstest"
)

// outcome is what is to be seen of a slot that was opened, read and closed.
type outcome struct {
	pending     []entry
	lost, gone  int64 // rows
	aside, told []string
}

// visit opens a slot, reads all of it, and closes it.
func visit(o slot.Options) (outcome, error) {
	s, err := slot.Open(o)
	if err != nil {
		return outcome{}, err
	}
	list, err := readAll(s.NewCursor())
	st := s.Stats()
	err = errors.Join(err, s.Close())
	return outcome{pending: list, lost: st.Quarantined + st.Unknown, gone: st.Acked}, err
}

// look visits a slot with a disk that is well, and lists what was set aside.
func look(t testing.TB, mem *vfstest.Mem) outcome {
	t.Helper()
	o := options(mem)
	got, err := visit(o)
	do(t, err)
	for _, name := range names(t, mem) {
		if strings.Contains(name, ".corrupt") {
			got.aside = append(got.aside, name)
		}
		if strings.HasPrefix(name, "incident-") {
			got.told = append(got.told, name)
		}
	}
	return got
}

// TestATransientErrorIsNeverDamage fails each call of opening and reading healthy and
// wounded slots, once and from there on: what the disk shows later is what it would
// have shown without, and nothing was set aside because of the error.
func TestATransientErrorIsNeverDamage(t *testing.T) {
	p := sick(t, true)
	slots := maps.Clone(wounds)
	slots["healthy"] = func(map[string][]byte) {}
	errs := []error{
		syscall.EMFILE, syscall.ENFILE, syscall.ENOSPC, syscall.EDQUOT, syscall.EIO, syscall.EACCES, syscall.EROFS, context.Canceled,
	}
	if testing.Short() {
		errs = errs[2:6:6]
	}
	cases := 0
	for name, change := range slots {
		mem, _ := p.with(t, change)
		want := look(t, mem.CrashKept())
		for _, err := range errs {
			for _, forever := range []bool{false, true} {
				for at, reached := int64(1), true; reached && !t.Failed(); at += thin {
					f := fault{at: at, forever: forever, err: err}
					left := mem.CrashKept()
					_, got := visit(options(vfstest.Wrap(left, f.hook)))
					reached = f.reached
					cases++
					if wound := (*slot.DamageError)(nil); errors.As(got, &wound) {
						t.Errorf("%s, %v at call %d, forever=%t: %v", name, err, at, forever, got)
					}
					if after := look(t, left.CrashKept()); fmt.Sprint(after) != fmt.Sprint(want) {
						t.Errorf("%s, %v at call %d, forever=%t:\nshows %v\nwant  %v", name, err, at, forever, after, want)
					}
				}
			}
		}
	}
	t.Logf("%d cases of %d slots and %d errors", cases, len(slots), len(errs))
}
