// SPDX-License-Identifier: MIT

package slot_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/slot"
	"github.com/questdb-sf/questdb_sf/internal/vfs"
	"github.com/questdb-sf/questdb_sf/internal/vfs/vfstest"
)

// listener keeps what a slot tells.
func listener(o *slot.Options) *[]slot.Incident {
	told := &[]slot.Incident{}
	o.OnIncident = func(i slot.Incident) { *told = append(*told, i) }
	return told
}

func TestAnIncidentSaysWhatWhereAndHowMuch(t *testing.T) {
	o := options(vfs.OS)
	o.Dir = filepath.Join(t.TempDir(), "base-0")
	s := open(t, o)
	fill(t, s, 0, 8, 1000)
	do(t, s.Close())
	file := filepath.Join(o.Dir, "sf-initial.sfa")
	b, err := os.ReadFile(file)
	do(t, err)
	b[24+1008+500] ^= 1
	do(t, os.WriteFile(file, b, 0o600))
	told := listener(&o)
	s = open(t, o)
	if n := len(pending(t, s)); n != 7 || len(*told) != 1 || s.Stats().Incidents != 1 {
		t.Fatalf("%d frames, told %+v, %+v", n, *told, s.Stats())
	}
	receipt := filepath.Join(o.Dir, slot.IncidentFile((*told)[0]))
	info, err := os.Stat(receipt)
	do(t, err)
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %s", info.Mode())
	}
	b, err = os.ReadFile(receipt)
	do(t, err)
	got := map[string]any{}
	do(t, json.Unmarshal(b, &got))
	delete(got, "what_to_do")
	want := map[string]any{
		"what": "frames that cannot be read, with whole ones around them", "file": "sf-initial.sfa", "kept_as": "sf-initial.sfa.corrupt",
		"offset": 1032.0, "bytes": 1008.0, "first_fsn": 1.0, "last_fsn": 1.0, "frames": 1.0, "rows": 1.0, "rows_known": true,
		"earliest": "1970-01-01T00:00:00Z", "latest": "1970-01-01T00:00:00Z", "found": "2026-11-22T16:16:44Z",
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%v\nwant %v", got, want)
	}
}

// A full disk keeps no row from being sent: the receipt is written later.
func TestAnIncidentThatCannotBeWrittenIsWrittenLater(t *testing.T) {
	mem := newMem()
	s := open(t, options(mem))
	fill(t, s, 0, 8, 1000)
	do(t, s.Close())
	edit(t, mem, "sf-initial.sfa", func(b []byte) []byte { b[24+1008+500] ^= 1; return b })
	o := options(mem)
	now := o.Now()
	o.Now = func() time.Time { return now }
	told := listener(&o)
	full := true
	o.FS = vfstest.Wrap(mem, func(op vfstest.Op) error {
		if full && op.Kind == vfstest.OpWrite && strings.Contains(op.Path, "incident-") {
			return syscall.ENOSPC
		}
		return nil
	})
	receipts := func() int {
		return len(slices.DeleteFunc(names(t, mem), func(n string) bool { return !strings.HasPrefix(n, "incident-") }))
	}
	s = open(t, o)
	if n := len(pending(t, s)); n != 7 || len(*told) != 1 || receipts() != 0 {
		t.Fatalf("%d frames, told %+v, %d receipts", n, *told, receipts())
	}
	full = false
	settle(t, s, 0, 0)
	if receipts() != 0 {
		t.Error("tried again at once")
	}
	now = now.Add(2 * time.Minute)
	settle(t, s, 2, 2)
	if receipts() != 1 || len(*told) != 1 {
		t.Errorf("%d receipts, told %+v", receipts(), *told)
	}
}

func TestAMissingOldestSegmentIsTold(t *testing.T) {
	mem := newMem()
	s := open(t, options(mem))
	fill(t, s, 0, 10, 1000)
	settle(t, s, 0, 0)
	do(t, s.Close())
	remove(t, mem, "sf-initial.sfa")
	o := options(mem)
	told := listener(&o)
	for range 2 {
		s = open(t, o)
		wantIDs(t, s, 4, ids(4, 10)...)
		st := s.Stats()
		balanced(t, st)
		if st.Acked != 1 || st.Unknown != 3 || st.Pending != 6 {
			t.Errorf("%+v", st)
		}
		do(t, s.Close())
	}
	if len(*told) != 1 || (*told)[0].FirstFSN != 1 || (*told)[0].LastFSN != 3 || (*told)[0].File != "" {
		t.Errorf("told %+v", *told)
	}
}

func TestADamagedLastFrameThatWasSyncedIsKeptAndTold(t *testing.T) {
	mem := closed(t, 3)
	edit(t, mem, "sf-initial.sfa", func(b []byte) []byte { b[24+2*108+60] ^= 1; return b })
	hurt := read(t, mem, "sf-initial.sfa")
	o := options(mem)
	told := listener(&o)
	s := open(t, o)
	wantIDs(t, s, 0, 0, 1)
	fill(t, s, 3, 5, 100)
	if got := pending(t, s); fmt.Sprint(got) != "[{0 0} {1 1} {3 3} {4 4}]" {
		t.Errorf("pending %v: a number was used again", got)
	}
	if len(*told) != 1 || (*told)[0].FirstFSN != 2 || (*told)[0].Rows != 1 || !(*told)[0].RowsKnown {
		t.Errorf("told %+v", *told)
	}
	settle(t, s, 0, 1)
	if got := read(t, mem, "sf-initial.sfa.corrupt"); !bytes.Equal(got, hurt) {
		t.Error("the bytes were not kept")
	}
	balanced(t, s.Stats())
	if st := s.Stats(); st.Unknown != 1 || st.Acked != 2 || st.Pending != 2 {
		t.Errorf("%+v", st)
	}
}

func TestOneFrameCanBeSetAside(t *testing.T) {
	mem := newMem()
	o := options(mem)
	told := listener(&o)
	s := open(t, o)
	garbage := slot.Frame{Bytes: []byte("this is no message at all"), Rows: 7}
	mustStore(t, s, frame(0, 2, 100), garbage, frame(2, 3, 100))
	do(t, s.Quarantine(1, "it has no magic"))
	do(t, s.Quarantine(1, "again")) // is settled
	do(t, s.Quarantine(2, "the server panics"))
	if err := s.Quarantine(3, "never published"); err == nil {
		t.Error("a frame that is not there was set aside")
	}
	if got := pending(t, s); fmt.Sprint(got) != "[{0 0}]" {
		t.Errorf("pending %v", got)
	}
	st := s.Stats()
	balanced(t, st)
	if st.Unknown != 7 || st.Quarantined != 3 || st.Pending != 2 || st.Incidents != 2 {
		t.Errorf("%+v", st)
	}
	if got := read(t, mem, "sf-initial.sfa.1.corrupt"); string(got) != string(garbage.Bytes) {
		t.Errorf("kept %q", got)
	}
	if i := (*told)[0]; i.FirstFSN != 1 || i.KeptAs != "sf-initial.sfa.1.corrupt" || !strings.HasSuffix(i.What, "it has no magic") || i.Rows != 7 {
		t.Errorf("told %+v", i)
	}
	do(t, s.Close())
	wantIDs(t, open(t, options(mem)), 0, 0)
}

// A wound is met while others append, settle and read.
func TestAWoundIsPassedOverWhileOthersWork(t *testing.T) {
	mem := newMem()
	s := open(t, options(mem))
	fill(t, s, 0, 20, 1000)
	do(t, s.Close())
	for _, name := range []string{"sf-initial.sfa", "sf-0000000000000001.sfa", "sf-0000000000000002.sfa"} {
		edit(t, mem, name, func(b []byte) []byte { b[24+1008+500] ^= 1; b[24+3*1008+100] ^= 1; return b })
	}
	o := options(mem)
	var mu sync.Mutex
	told := 0
	o.OnIncident = func(slot.Incident) { mu.Lock(); defer mu.Unlock(); told++ }
	s = open(t, o)
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			c := s.NewCursor()
			defer c.Close()
			if list, err := readAll(c); err != nil || len(list) < 14 {
				t.Errorf("%v, %v", list, err)
			}
		})
	}
	wg.Go(func() {
		for id := range uint64(10) {
			if err := store(s, frame(20+id, 1, 900)); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Wait()
	if told != 3 || len(pending(t, s)) != 24 {
		t.Errorf("%d incidents, %d frames", told, len(pending(t, s)))
	}
	st := s.Stats()
	balanced(t, st)
	if st.Quarantined != 6 || st.Pending != 24 {
		t.Errorf("%+v", st)
	}
}

func TestAFrameOfTheLastSegmentThatRotsIsPassedOverAndNothingFollowsIt(t *testing.T) {
	mem := newMem()
	o := options(mem)
	told := listener(&o)
	s := open(t, o)
	fill(t, s, 0, 3, 500)
	f, err := mem.OpenFile(dir+"/sf-initial.sfa", os.O_RDWR, 0)
	do(t, err)
	_, err = f.WriteAt([]byte{0, 0, 0, 0}, 24+508+100)
	do(t, err)
	if got := pending(t, s); fmt.Sprint(got) != "[{0 0} {2 2}]" || len(*told) != 1 {
		t.Errorf("pending %v, told %+v", got, *told)
	}
	fill(t, s, 3, 4, 500)
	if n := s.Stats().Segments; n != 2 {
		t.Errorf("%d segments: a frame was appended behind a wound", n)
	}
	settle(t, s, 0, 3)
	do(t, s.Close())
	s = open(t, o)
	if st := s.Stats(); st.Accepted != 4 || st.Acked != 3 || st.Quarantined != 1 || st.Pending != 0 || len(*told) != 1 {
		t.Errorf("%+v", st)
	}
}

func TestAPowerCutUnderMemoryLeavesASlotThatOpens(t *testing.T) {
	mem := newMem()
	o := options(mem)
	o.Durability = slot.Memory
	s := open(t, o)
	fill(t, s, 0, 30, 1000)
	afterPowerCut(t, mem, o, func(got []entry) {
		seen := map[uint64]bool{}
		for i, e := range got {
			if e.id >= 30 || seen[e.id] || i > 0 && e.fsn <= got[i-1].fsn {
				t.Fatalf("after the power cut %v", got)
			}
			seen[e.id] = true
		}
	})
}
