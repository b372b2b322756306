// SPDX-License-Identifier: MIT

package store_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/mounts"
	"github.com/questdb-sf/questdb_sf/internal/store"
	"github.com/questdb-sf/questdb_sf/internal/vfs"
	"github.com/questdb-sf/questdb_sf/internal/vfs/vfstest"
	"github.com/questdb-sf/questdb_sf/sfpool"
)

// table has a mountinfo that the test changes.
type table struct {
	testing.TB
	mounts.Tables
}

func newTable(t testing.TB, fstab string) *table {
	t.Helper()
	dir := t.TempDir()
	m := &table{t, mounts.Tables{Fstab: filepath.Join(dir, "fstab"), Mountinfo: filepath.Join(dir, "mountinfo")}}
	do(t, os.WriteFile(m.Fstab, []byte(fstab), 0o600))
	m.shows()
	return m
}

// shows lets these mount points be there, and the root.
func (m *table) shows(points ...string) {
	m.Helper()
	text := "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
	for _, p := range points {
		text += "40 22 8:17 / " + p + " rw - ext4 /dev/sdb1 rw\n"
	}
	do(m, os.WriteFile(m.Mountinfo, []byte(text), 0o600))
}

const listsMnt = "UUID=1 /mnt ext4 defaults,nofail 0 2\n"

// onMnt are settings of a store below a mount point.
func (d *disk) onMnt(m *table) store.Settings {
	s := d.settings()
	s.Pool.Dir, s.Pool.Mounts = "/mnt/sf", &m.Tables
	return s
}

func TestADirectoryOnAFilesystemThatIsNotMountedIsNotCreatedOnAnother(t *testing.T) {
	m := newTable(t, listsMnt)
	inTime(t, func(t *testing.T, d *disk) {
		st := opened(t, d.onMnt(m))
		do(t, put(t, st, 3))
		wants(t, st, 0, 3, true)
		time.Sleep(5 * time.Minute)
		if _, err := d.Stat("/mnt"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("/mnt was made on the filesystem below: %v", err)
		}
		d.log.said(t, m.Fstab+" lists /mnt", 1)
		d.log.said(t, "its filesystem is not mounted", 1)
		m.shows("/mnt")
		time.Sleep(31 * time.Second)
		wants(t, st, 3, 0, false)
		do(t, st.Release(context.Background()))
	})
}

func TestWithWaitAFilesystemThatIsNotMountedIsTheCallersError(t *testing.T) {
	m := newTable(t, listsMnt)
	inTime(t, func(t *testing.T, d *disk) {
		s := d.onMnt(m)
		s.RAM = false
		st := share(t, s)
		if err := put(t, st, 1); !errors.Is(err, mounts.ErrMissing) {
			t.Error(err)
		}
		m.shows("/mnt")
		time.Sleep(2 * time.Second)
		do(t, put(t, st, 1))
		wants(t, st, 1, 0, false)
	})
}

var durabilities = []sfpool.Durability{sfpool.DurabilityFlush, sfpool.DurabilityPeriodic, sfpool.DurabilityMemory}

// A mount that goes leaves a directory of another device behind, or none.
func TestAMountThatGoesWhileTheStoreIsOpenSendsRowsToRAM(t *testing.T) {
	for _, durability := range durabilities {
		t.Run(durability.String(), func(t *testing.T) {
			m := newTable(t, "") // it was seen once: that is enough
			m.shows("/mnt")
			inTime(t, func(t *testing.T, d *disk) {
				s := d.onMnt(m)
				s.Pool.Durability = durability
				st := opened(t, s)
				do(t, put(t, st, 3))
				var below []string
				d.SetDevice(2)
				m.shows()
				d.watch(func(op vfstest.Op) {
					if op.Kind == vfstest.OpOpen && op.Flag&os.O_CREATE != 0 || op.Kind == vfstest.OpMkdir || op.Kind == vfstest.OpRemove || op.Kind == vfstest.OpRename {
						below = append(below, op.Kind.String()+" "+op.Path)
					}
				})
				do(t, put(t, st, 2))
				wants(t, st, 3, 2, true)
				time.Sleep(5 * time.Minute)
				wants(t, st, 3, 2, true)
				if len(below) > 0 {
					t.Errorf("done on the filesystem below: %q", below)
				}
				d.log.said(t, "its filesystem was mounted or unmounted meanwhile", 1)
				d.log.said(t, "it was there before, at /mnt", 1)
				d.watch(nil)
				d.SetDevice(1)
				m.shows("/mnt")
				time.Sleep(31 * time.Second)
				openAllSlots(t, st)
				wants(t, st, 5, 0, false)
				do(t, st.Release(context.Background()))
			})
		})
	}
}

func TestWithWaitAStoreThatWasRemountedIsOpenedAnew(t *testing.T) {
	for name, change := range map[string]func(d *disk){
		"another device": func(d *disk) { d.SetDevice(2) },
		"removed":        func(d *disk) { d.removeAll("/sf") },
	} {
		t.Run(name, func(t *testing.T) {
			inTime(t, func(t *testing.T, d *disk) {
				s := d.settings()
				s.RAM = false
				st := opened(t, s)
				do(t, put(t, st, 1))
				change(d)
				if err := put(t, st, 1); !errors.Is(err, vfs.ErrRemounted) && !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("error %v", err)
				}
				time.Sleep(time.Minute)
				do(t, put(t, st, 1))
				d.log.said(t, "rows stay with the writer until it is opened again", 1)
				if st.Stats().RAM {
					t.Error("in RAM")
				}
				do(t, st.Release(context.Background()))
			})
		})
	}
}

// What is said of a disk that fails is told for read-only, I/O errors and a
// directory that somebody removed, whatever the durability, and rows go on.
func TestADirectoryThatIsRemovedWhileTheStoreIsOpenIsLeftForRAM(t *testing.T) {
	for _, durability := range durabilities {
		t.Run(durability.String(), func(t *testing.T) {
			inTime(t, func(t *testing.T, d *disk) {
				s := d.settings()
				s.Pool.Durability = durability
				st := opened(t, s)
				do(t, put(t, st, 1))
				d.removeAll("/sf")
				do(t, put(t, st, 2))
				if s := st.Stats(); !s.RAM || s.RAMStats.Pending != 2 {
					t.Errorf("RAM %t, %d rows there", s.RAM, s.RAMStats.Pending)
				}
				d.log.said(t, "it is missing: removed, or not mounted", 1)
				time.Sleep(time.Minute)
				if s := st.Stats(); s.RAM || s.Pending != 2 {
					t.Errorf("later RAM %t, %d rows on disk", s.RAM, s.Pending)
				}
				do(t, st.Release(context.Background()))
			})
		})
	}
}

func TestAFilesystemThatTurnsReadOnlyIsLeftForRAMWhereverItIsNoticed(t *testing.T) {
	writes := func(op vfstest.Op) bool {
		switch op.Kind {
		case vfstest.OpOpen:
			return op.Flag&(os.O_CREATE|os.O_RDWR|os.O_WRONLY) != 0
		case vfstest.OpRead, vfstest.OpStat, vfstest.OpReadDir, vfstest.OpSize, vfstest.OpSpace, vfstest.OpLock, vfstest.OpDevice, vfstest.OpOwner:
			return false
		}
		return true
	}
	inTime(t, func(t *testing.T, d *disk) {
		st := opened(t, d.settings())
		do(t, put(t, st, 1))
		d.fails(syscall.EROFS, writes)
		do(t, put(t, st, 2))
		wants(t, st, 1, 2, true)
		d.log.said(t, "its filesystem is read-only", 1)
		time.Sleep(5 * time.Minute)
		d.fails(nil, nil)
		time.Sleep(31 * time.Second)
		openAllSlots(t, st)
		wants(t, st, 3, 0, false)
		do(t, st.Release(context.Background()))
	})
}

// Without its locks a directory is of no use; a slot alone would ail alone.
func TestLocksOfAnotherUserAreAReasonToGoToRAM(t *testing.T) {
	inTime(t, func(t *testing.T, d *disk) {
		do(t, d.MkdirAll("/sf/.slot-locks", 0o700))
		d.SetOwner("/sf/.slot-locks", 4242)
		st := opened(t, d.settings())
		do(t, put(t, st, 2))
		wants(t, st, 0, 2, true)
		d.log.said(t, "/sf/.slot-locks belongs to the user with uid 4242", 1)
		d.SetOwner("/sf/.slot-locks", -1)
		time.Sleep(31 * time.Second)
		wants(t, st, 2, 0, false)
		do(t, st.Release(context.Background()))
	})
}
