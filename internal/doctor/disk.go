// SPDX-License-Identifier: MIT

package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/mounts"
	"github.com/questdb-sf/questdb_sf/internal/vfs"
)

// diskFacts is what the advice goes by. A time of 0 was not measured.
type diskFacts struct {
	exists        bool
	kind          string
	median, worst time.Duration
	total, free   int64 // of the filesystem, in bytes
	used          int64 // by segment files
	maximum       int64 // that they may use
	keep          int64 // to be left free
	rate          float64
}

const (
	syncs     = 20
	syncBytes = 4 << 10
	// slowSync is a median from which a batch waits noticeably, longSync a worst from
	// which a write may miss its deadline.
	slowSync = 100 * time.Millisecond
	longSync = time.Second
)

func (x *examination) examineDisk() {
	info, err := x.FS.Stat(mounts.Resolved(x.Dir))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		x.add("directory", x.Dir, Warning, "create it, owned by the user of the agent; the agent creates it too where it may",
			"it does not exist yet")
		x.examineMount()
		x.examineKind(existing(x.FS, x.Dir))
		return
	case err != nil:
		x.add("directory", x.Dir, Failure, "name a directory that can be read: see sf_dir", "%v", err)
		return
	case !info.IsDir():
		x.add("directory", x.Dir, Failure, "name a directory: see sf_dir", "it is no directory")
		return
	}
	x.disk.exists = true
	x.examineOwner(info)
	x.examineMount()
	x.examineKind(x.Dir)
	x.examineSpace()
	x.examineScratch()
}

// existing returns the nearest directory above one that is not there.
func existing(fsys vfs.FS, dir string) string {
	for {
		if _, err := fsys.Stat(dir); err == nil || filepath.Dir(dir) == dir {
			return dir
		}
		dir = filepath.Dir(dir)
	}
}

// examineOwner looks for what keeps the agent from its files, and lets others write them.
func (x *examination) examineOwner(info fs.FileInfo) {
	uid, err := x.FS.Owner(mounts.Resolved(x.Dir))
	if err != nil {
		x.add("owner", x.Dir, Failure, "name a directory that can be read: see sf_dir", "%v", err)
		return
	}
	mode := info.Mode().Perm()
	if uid >= 0 && mode&0o022 != 0 && info.Mode()&fs.ModeSticky == 0 {
		x.add("permissions", x.Dir, Warning, "run chmod go-w "+x.Dir, "%v: others may write there", mode)
	} else {
		x.add("permissions", x.Dir, OK, "", "%v", mode)
	}
	if name, other := x.strange(uid); name != "" {
		x.add("owner", x.Dir, Failure, fmt.Sprintf("run chown -R %d %s, and run everything as one user", uid, x.Dir),
			"it belongs to uid %d, but %s to uid %d: what belongs to somebody else is not used", uid, name, other)
		return
	}
	if me := os.Geteuid(); uid >= 0 && me >= 0 && uid != me {
		x.add("owner", x.Dir, Warning, "run this as the user of the agent: what is found as another one need not hold for it",
			"it belongs to uid %d, and this runs as uid %d", uid, me)
		return
	}
	x.add("owner", x.Dir, OK, "", "uid %d, which this runs as", uid)
}

// strange returns a slot that belongs to somebody else than the directory.
func (x *examination) strange(uid int) (name string, owner int) {
	entries, _ := x.FS.ReadDir(x.Dir)
	for _, e := range entries {
		if e.Name() == "lost+found" { // root's, at the top of a filesystem
			continue
		}
		if got, err := x.FS.Owner(filepath.Join(x.Dir, e.Name())); err == nil && got != uid {
			return e.Name(), got
		}
	}
	return "", 0
}

func (x *examination) examineMount() {
	err := x.Mounts.Check(x.Dir, "")
	if err != nil {
		x.add("mount", x.Dir, Failure, "mount it, or name another directory", "%v", err)
		return
	}
	point := x.Mounts.Of(x.Dir)
	if point == "" {
		point = "the root filesystem"
	}
	x.add("mount", x.Dir, OK, "", "on %s", point)
}

// kinds are filesystems on which a store is not what it seems.
var kinds = map[string]struct {
	verdict        Verdict
	means, instead string
}{
	"tmpfs":   {Warning, "it is in RAM: nothing in it survives a restart of the box", "name a directory on a disk"},
	"ramfs":   {Warning, "it is in RAM: nothing in it survives a restart of the box", "name a directory on a disk"},
	"nfs":     {Warning, "it is on another machine: locks and syncs are as good as that one's, and it goes away with the network that this store is to bridge", "name a directory on a local disk"},
	"smb":     {Warning, "it is on another machine: locks and syncs are as good as that one's, and it goes away with the network that this store is to bridge", "name a directory on a local disk"},
	"overlay": {Warning, "it is the layer of a container, or of an image in RAM, and goes away with it", "mount a volume there"},
	"fuse":    {Warning, "whether it keeps what was synced is up to a program", "name a directory on a local disk, or see that program's documentation"},
	"9p":      {Warning, "it belongs to the host of this machine, which decides what a sync is", "name a directory on a disk of this machine"},
}

func (x *examination) examineKind(dir string) {
	kind, err := x.Kind(dir)
	if err != nil || kind == "" {
		x.add("filesystem", dir, OK, "", "its kind is not known")
		return
	}
	x.disk.kind = kind
	if k, ok := kinds[kind]; ok {
		x.add("filesystem", dir, k.verdict, k.instead, "%s: %s", kind, k.means)
		return
	}
	x.add("filesystem", dir, OK, "", "%s", kind)
}

// examineSpace compares what is free with what the store may take of it.
func (x *examination) examineSpace() {
	d := &x.disk
	var err error
	if d.total, d.free, err = x.FS.Space(x.Dir); err == nil {
		d.maximum, err = x.Cap()
	}
	if err != nil {
		x.add("free space", x.Dir, Failure, "see that the filesystem is mounted and can be read", "%v", err)
		return
	}
	d.keep = x.Keep(d.total)
	d.used, d.rate = x.segments()
	room, wants := d.free-d.keep, max(0, d.maximum-d.used)
	found := fmt.Sprintf("%s free of %s; the store has %s of at most %s, and leaves %s free", Bytes(d.free), Bytes(d.total), Bytes(d.used), Bytes(d.maximum), Bytes(d.keep))
	switch {
	case room <= 0:
		x.add("free space", x.Dir, Failure, "free some, or lower sf_min_free_space: until then the store counts as full", "%s", found)
	case d.used+room < x.Segments:
		x.add("free space", x.Dir, Failure, "free some, or name a directory on a larger disk in sf_dir",
			"%s: %s are needed in any case", found, Bytes(x.Segments))
	case room < wants:
		x.add("free space", x.Dir, Warning, fmt.Sprintf("free some, or set sf_max_total_bytes to %s at most", Size(d.used+room)),
			"%s: it is full after %s more", found, Bytes(room))
	default:
		x.add("free space", x.Dir, OK, "", "%s", found)
	}
}

// examineScratch tries what only a file can show.
func (x *examination) examineScratch() {
	name := filepath.Join(x.Dir, fmt.Sprintf(".doctor-%d.tmp", os.Getpid()))
	f, err := x.FS.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		x.add("writing", x.Dir, Failure, "see the owner and the permissions, that it is not mounted read-only, and that it is not full", "%v", err)
		return
	}
	defer func() {
		if err := errors.Join(f.Close(), x.FS.Remove(name)); err != nil {
			x.add("writing", x.Dir, Warning, "remove "+name, "%v", err)
		}
	}()
	x.examineReserve(f)
	x.examineLock(f, name)
	x.examineSync(f)
}

func (x *examination) examineReserve(f vfs.File) {
	err := f.Allocate(16 * syncBytes)
	if err != nil {
		x.add("fallocate", x.Dir, Failure, "free some space", "%v", err)
		return
	}
	can, err := reserves(f)
	switch {
	case err != nil:
		x.add("fallocate", x.Dir, Warning, "ask the filesystem's documentation", "%v", err)
	case !can:
		x.add("fallocate", x.Dir, Warning, "nothing needs to be done; ext4, xfs, btrfs and f2fs can",
			"not offered: new segments are written with zeros first, which costs as much writing again")
	default:
		x.add("fallocate", x.Dir, OK, "", "offered: segments are reserved without being written")
	}
}

// examineLock locks the scratch file twice, which must not succeed.
func (x *examination) examineLock(f vfs.File, name string) {
	const without = "name a directory on a filesystem with flock: without it two agents could use one slot"
	other, err := x.FS.OpenFile(name, os.O_RDWR, 0o600)
	if err == nil {
		defer func() { _ = other.Close() }()
		err = f.Lock()
	}
	if err != nil {
		x.add("flock", x.Dir, Failure, without, "%v", err)
		return
	}
	defer func() { _ = f.Unlock() }()
	if err := other.Lock(); !errors.Is(err, vfs.ErrLocked) {
		x.add("flock", x.Dir, Failure, without, "a file that is locked can be locked again (%v)", err)
		return
	}
	x.add("flock", x.Dir, OK, "", "it works")
}

// examineSync measures what each batch waits for under durability flush.
func (x *examination) examineSync(f vfs.File) {
	var took []time.Duration
	for i := range syncs {
		began := x.Tick()
		_, err := f.WriteAt(make([]byte, syncBytes), int64(i)%16*syncBytes)
		if err == nil {
			err = f.Sync()
		}
		if err != nil {
			x.add("fsync", x.Dir, Failure, "look at the kernel's log: the disk may be full or failing", "%v", err)
			return
		}
		took = append(took, x.Tick().Sub(began))
	}
	slices.Sort(took)
	x.disk.median, x.disk.worst = took[syncs/2], took[syncs-1]
	found := fmt.Sprintf("median %s, worst %s of %d syncs of %s", rounded(x.disk.median), rounded(x.disk.worst), syncs, Bytes(syncBytes))
	switch {
	case x.disk.worst > max(longSync, x.AppendDeadline):
		x.add("fsync", x.Dir, Warning, `use a faster disk, or sf_durability = "periodic"`, "%s: longer than sf_append_deadline (%s)", found, x.AppendDeadline)
	case x.disk.median > slowSync || x.disk.worst > longSync:
		x.add("fsync", x.Dir, Warning, `it will do where batches are seconds apart; else use a faster disk, or sf_durability = "periodic"`, "%s: slow", found)
	default:
		x.add("fsync", x.Dir, OK, "", "%s", found)
	}
}

func rounded(d time.Duration) time.Duration {
	switch {
	case d > time.Second:
		return d.Round(10 * time.Millisecond)
	case d > time.Millisecond:
		return d.Round(100 * time.Microsecond)
	}
	return d.Round(time.Microsecond)
}

// Bytes writes a number of bytes for people.
func Bytes(n int64) string {
	const units = "KMGTP"
	if n > -1024 && n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	v, i := float64(n)/1024, 0
	for ; i < len(units)-1 && (v >= 1024 || v <= -1024); i++ {
		v /= 1024
	}
	if v >= 100 || v <= -100 {
		return fmt.Sprintf("%.0f %ciB", v, units[i])
	}
	return fmt.Sprintf("%.1f %ciB", v, units[i])
}

// Size writes a number of bytes as an option takes it, rounded down.
func Size(n int64) string {
	switch {
	case n >= 10<<30:
		return fmt.Sprintf("%dGiB", n>>30)
	case n >= 1<<20:
		return fmt.Sprintf("%dMiB", n>>20)
	}
	return fmt.Sprintf("%dKiB", n>>10)
}

// isSegment says whether a name is that of a segment in use.
func isSegment(name string) bool { return strings.HasSuffix(name, ".sfa") }
