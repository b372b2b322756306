// SPDX-License-Identifier: MIT

package doctor_test

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/doctor"
	"github.com/questdb-sf/questdb_sf/internal/mounts"
	"github.com/questdb-sf/questdb_sf/internal/slot"
	"github.com/questdb-sf/questdb_sf/internal/vfs"
	"github.com/questdb-sf/questdb_sf/internal/vfs/vfstest"
)

func TestAHealthyDiskIsFoundHealthyAndLeftAsItWas(t *testing.T) {
	p := healthy(t)
	if err := os.MkdirAll(filepath.Join(p.Dir, "default-0"), 0o700); err != nil {
		t.Fatal(err)
	}
	before := digest(t, p.Dir)
	r := examine(t, p)
	for _, check := range []string{"permissions", "owner", "mount", "filesystem", "free space", "flock", "fsync"} {
		want(t, r, check, p.Dir, doctor.OK, "")
	}
	if runtime.GOOS == "linux" {
		want(t, r, "fallocate", p.Dir, doctor.OK, "offered")
	}
	want(t, r, "clock", "", doctor.OK, "")
	if r.Failed() || digest(t, p.Dir) != before {
		t.Errorf("failed=%t, and the directory is as before: %t", r.Failed(), digest(t, p.Dir) == before)
	}
	if says := advised(r, "sf_durability"); !strings.HasPrefix(says, `"flush"`) {
		t.Error(says)
	}
}

func TestADirectoryInRAMIsToldFromADisk(t *testing.T) {
	dir, err := os.MkdirTemp("/dev/shm", "doctor")
	if err != nil {
		t.Skip("there is no tmpfs at /dev/shm:", err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	p := healthy(t)
	p.Dir, p.Kind = dir, nil
	r := examine(t, p)
	want(t, r, "filesystem", dir, doctor.Warning, "nothing in it survives")
	if says := advised(r, "sf_durability"); !strings.HasPrefix(says, `"memory"`) {
		t.Error(says)
	}
}

func TestFilesystemsThatAreNotWhatTheySeemAreWarnedOf(t *testing.T) {
	for kind, v := range map[string]doctor.Verdict{"nfs": doctor.Warning, "smb": doctor.Warning, "overlay": doctor.Warning,
		"fuse": doctor.Warning, "9p": doctor.Warning, "xfs": doctor.OK, "": doctor.OK} {
		p := healthy(t)
		p.Kind = func(string) (string, error) { return kind, nil }
		want(t, examine(t, p), "filesystem", p.Dir, v, kind)
	}
}

func TestADirectoryThatCannotBeWrittenIsAFailure(t *testing.T) {
	p := failing(healthy(t), func(op vfstest.Op) error {
		if op.Kind == vfstest.OpOpen && op.Flag&os.O_CREATE != 0 {
			return syscall.EROFS
		}
		return nil
	})
	want(t, examine(t, p), "writing", p.Dir, doctor.Failure, "read-only")
	if os.Geteuid() == 0 {
		return // whom no permission stops
	}
	p = healthy(t)
	if err := os.Chmod(p.Dir, 0o500); err != nil {
		t.Fatal(err)
	}
	want(t, examine(t, p), "writing", p.Dir, doctor.Failure, "permission denied")
}

func TestADirectoryThatIsNoneIsToldFromOneThatIsMissing(t *testing.T) {
	p := healthy(t)
	p.Dir = filepath.Join(p.Dir, "a", "b")
	r := examine(t, p)
	want(t, r, "directory", p.Dir, doctor.Warning, "does not exist yet")
	want(t, r, "filesystem", filepath.Dir(filepath.Dir(p.Dir)), doctor.OK, "ext4")
	if _, err := os.Stat(p.Dir); err == nil {
		t.Error("it was created")
	}
	p = healthy(t)
	p.Dir = filepath.Join(p.Dir, "file")
	if err := os.WriteFile(p.Dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	want(t, examine(t, p), "directory", p.Dir, doctor.Failure, "no directory")
}

// slow has each sync take as long as the list says, on the clock of the patient.
func slow(p doctor.Patient, took ...time.Duration) doctor.Patient {
	clock, n := time.Unix(1_800_000_000, 0), 0
	p.Tick = func() time.Time { return clock }
	return failing(p, func(op vfstest.Op) error {
		if op.Kind == vfstest.OpSync {
			clock = clock.Add(took[n%len(took)])
			n++
		}
		return nil
	})
}

func TestTheLatencyOfSyncsDecidesOnDurability(t *testing.T) {
	for _, c := range []struct {
		took    []time.Duration
		v       doctor.Verdict
		found   string
		advised string
	}{
		{[]time.Duration{2 * time.Millisecond}, doctor.OK, "median 2ms, worst 2ms", `"flush"`},
		{[]time.Duration{250 * time.Millisecond}, doctor.Warning, "median 250ms", `"flush"`},
		{[]time.Duration{time.Millisecond, time.Millisecond, 1500 * time.Millisecond}, doctor.Warning, "worst 1.5s", `"flush"`},
		{[]time.Duration{time.Millisecond, 5 * time.Second, time.Millisecond}, doctor.Warning, "sf_append_deadline", `"periodic"`},
		{[]time.Duration{1200 * time.Millisecond}, doctor.Warning, "median 1.2s", `"periodic"`},
	} {
		p := slow(healthy(t), c.took...)
		r := examine(t, p)
		want(t, r, "fsync", p.Dir, c.v, c.found)
		if says := advised(r, "sf_durability"); !strings.HasPrefix(says, c.advised) {
			t.Errorf("%v: %s", c.took, says)
		}
	}
}

func TestADiskThatFailsIsAFailure(t *testing.T) {
	for kind, check := range map[vfstest.Kind]string{
		vfstest.OpSync: "fsync", vfstest.OpLock: "flock", vfstest.OpAllocate: "fallocate", vfstest.OpSpace: "free space",
	} {
		p := failing(healthy(t), func(op vfstest.Op) error {
			if op.Kind == kind {
				return syscall.EIO
			}
			return nil
		})
		before := digest(t, p.Dir)
		want(t, examine(t, p), check, p.Dir, doctor.Failure, syscall.EIO.Error())
		if digest(t, p.Dir) != before {
			t.Errorf("%v: the scratch file stays", kind)
		}
	}
}

// sized is a filesystem of a size that is not the real one.
type sized struct {
	vfs.FS
	total, free int64
	owners      map[string]int
}

func (s sized) Space(string) (total, free int64, err error) { return s.total, s.free, nil }

func (s sized) Owner(name string) (int, error) {
	if uid, ok := s.owners[filepath.Base(name)]; ok {
		return uid, nil
	}
	return s.FS.Owner(name)
}

func TestFreeSpaceIsComparedWithWhatTheStoreMayTake(t *testing.T) {
	for _, c := range []struct {
		free int64
		v    doctor.Verdict
		says string
	}{
		{500 << 20, doctor.OK, "500 MiB free"},
		{90 << 20, doctor.Warning, "sf_max_total_bytes to 40MiB at most"},
		{55 << 20, doctor.Failure, "8.0 MiB are needed in any case"},
		{50 << 20, doctor.Failure, "lower sf_min_free_space"},
	} {
		p := healthy(t)
		p.FS, p.Keep = sized{FS: vfs.OS, total: 1 << 30, free: c.free}, func(total int64) int64 { return total / 1024 * 50 }
		want(t, examine(t, p), "free space", p.Dir, c.v, c.says)
	}
}

func TestWhatBelongsToSomebodyElseIsAFailure(t *testing.T) {
	p := healthy(t)
	for _, name := range []string{"lost+found", "default-0"} {
		if err := os.Mkdir(filepath.Join(p.Dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	p.FS = sized{FS: vfs.OS, total: 1 << 40, free: 1 << 39, owners: map[string]int{"lost+found": 4711}}
	want(t, examine(t, p), "owner", p.Dir, doctor.OK, "")
	p.FS = sized{FS: vfs.OS, total: 1 << 40, free: 1 << 39, owners: map[string]int{"default-0": 4711}}
	want(t, examine(t, p), "owner", p.Dir, doctor.Failure, "default-0 to uid 4711")
	p.FS = sized{FS: vfs.OS, total: 1 << 40, free: 1 << 39, owners: map[string]int{filepath.Base(p.Dir): 4711, "default-0": 4711}}
	want(t, examine(t, p), "owner", p.Dir, doctor.Warning, "run this as the user of the agent")
	if err := os.Chmod(p.Dir, 0o777); err != nil {
		t.Fatal(err)
	}
	want(t, examine(t, p), "permissions", p.Dir, doctor.Warning, "chmod go-w")
}

func TestThatThereAreMoreTablesThanAreLookedAtIsSaid(t *testing.T) {
	p := healthy(t)
	p.Tables, p.MoreTables = []string{"a", "b"}, "default-0 cannot be read"
	want(t, examine(t, p), "tables", p.Dir, doctor.Warning, "default-0 cannot be read: 2 tables are looked at -> name the others with -tables")
}

func TestAMountThatIsMissingIsAFailure(t *testing.T) {
	p := healthy(t)
	tables := t.TempDir()
	fstab, info := filepath.Join(tables, "fstab"), filepath.Join(tables, "mountinfo")
	err := errors.Join(os.WriteFile(fstab, []byte("/dev/sdb1 "+mounts.Resolved(p.Dir)+" ext4 defaults 0 2\n"), 0o600),
		os.WriteFile(info, []byte("22 1 8:1 / / rw - ext4 /dev/sda1 rw\n"), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	p.Mounts = mounts.Tables{Fstab: fstab, Mountinfo: info}
	want(t, examine(t, p), "mount", p.Dir, doctor.Failure, "not mounted")
}

func TestAClockThatWasNeverSetIsAFailure(t *testing.T) {
	p := healthy(t)
	p.Now = func() time.Time { return time.Unix(86400, 0) }
	want(t, examine(t, p), "clock", "", doctor.Failure, "1970-01-02")
}

// Three segments, one a minute, are filled with 64 KiB each: the fourth is not full yet.
func TestTheSizeOfTheStoreFollowsTheRateAtWhichItFills(t *testing.T) {
	p := healthy(t)
	at := time.Now().Add(-time.Hour)
	s, err := slot.Open(slot.Options{
		FS: vfs.OS, Dir: filepath.Join(p.Dir, "default-0"), SegmentBytes: 64 << 10, MaxBytes: 1 << 20, Durability: slot.Memory,
		Now: func() time.Time { return at },
	})
	if err != nil {
		t.Fatal(err)
	}
	for range 4 {
		tx, err := s.Reserve(t.Context(), []int{60 << 10})
		if err == nil {
			err = tx.Append(slot.Frame{Bytes: make([]byte, 60<<10), Rows: 1})
		}
		if err != nil {
			t.Fatal(err)
		}
		tx.Publish()
		at = at.Add(time.Minute)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	before := digest(t, p.Dir)
	says := advised(examine(t, p), "sf_max_total_bytes")
	// 64 KiB a minute, three days and a quarter more
	if !strings.HasPrefix(says, `"337MiB"`) || !strings.Contains(says, "fills now") {
		t.Error(says)
	}
	p.Rate, p.Outage = 10<<10, 24*time.Hour
	if says := advised(examine(t, p), "sf_max_total_bytes"); !strings.HasPrefix(says, `"1054MiB"`) || !strings.Contains(says, "given") {
		t.Error(says)
	}
	p.Cap = func() (int64, error) { return 2 << 30, nil }
	if says := advised(examine(t, p), "sf_max_total_bytes"); says != "" {
		t.Errorf("it is large enough: %s", says)
	}
	if digest(t, p.Dir) != before {
		t.Error("the slot is not as it was")
	}
}
