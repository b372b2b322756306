// SPDX-License-Identifier: MIT

package mounts_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/questdb-sf/questdb_sf/internal/mounts"
)

const mountinfo = `22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 0:26 / /proc rw - proc proc rw
40 22 8:17 / /mnt/my\040card rw - vfat /dev/sdb1 rw
41 22 8:33 / /srv rw - ext4 /dev/sdc1 rw
`

// tables writes the two files.
func tables(t testing.TB, fstab, mountinfo string) mounts.Tables {
	t.Helper()
	dir := t.TempDir()
	m := mounts.Tables{Fstab: filepath.Join(dir, "fstab"), Mountinfo: filepath.Join(dir, "mountinfo")}
	for name, text := range map[string]string{m.Fstab: fstab, m.Mountinfo: mountinfo} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

func TestADirectoryBelowAListedMountPointNeedsTheMount(t *testing.T) {
	const fstab = "# comment /x ext4\nUUID=1 / ext4 defaults 0 1\nUUID=2 none swap sw 0 0\n\nUUID=3 /mnt/disk ext4 defaults,nofail 0 2\n" +
		"UUID=4\t/mnt/disk/inner ext4\nUUID=5 /mnt/stick vfat noauto,user 0 0\nUUID=6 /mnt/my\\040card vfat defaults 0 0\nUUID=7 /mnt/an\\040other/ vfat\n" +
		"UUID=8 /srv ext4 defaults 0 0\nbroken\n"
	m := tables(t, fstab, mountinfo)
	for dir, point := range map[string]string{
		"/var/lib/telegraf": "", "/mnt/diskette": "", "/mnt": "", "/mnt/disk": "/mnt/disk", "/mnt/disk/sf": "/mnt/disk",
		"/mnt/stick/sf": "", "/mnt/my card/sf": "", "/mnt/an other/sf": "/mnt/an other", "/srv/a/b": "", "/mnt/disk/../sf": "",
	} {
		err := m.Check(dir, "")
		var missing *mounts.MissingError
		switch {
		case point == "" && err != nil:
			t.Errorf("%s: %v", dir, err)
		case point != "" && (!errors.As(err, &missing) || missing.Point != point || !errors.Is(err, mounts.ErrMissing)):
			t.Errorf("%s: %v, want %s", dir, err, point)
		case point != "" && !strings.Contains(err.Error(), m.Fstab+" lists "+point):
			t.Errorf("%s: %v", dir, err)
		}
	}
}

func TestAMountThatWasSeenNeedsNoList(t *testing.T) {
	m := tables(t, "", mountinfo)
	for _, c := range []struct {
		dir, seen string
		missing   bool
	}{{"/srv/sf", "/srv", false}, {"/mnt/x/sf", "/mnt/x", true}, {"/mnt/y", "/mnt/x", false}, {"/mnt/x/sf", "", false}} {
		if err := m.Check(c.dir, c.seen); errors.Is(err, mounts.ErrMissing) != c.missing {
			t.Errorf("%s, seen %q: %v", c.dir, c.seen, err)
		}
	}
}

func TestTheMountOfADirectoryIsTheDeepest(t *testing.T) {
	m := tables(t, "", mountinfo+"50 41 8:34 / /srv/a rw - ext4 /dev/sdd rw\n")
	for dir, want := range map[string]string{"/var/sf": "", "/srv/sf": "/srv", "/srv/a": "/srv/a", "/srv/a/sf": "/srv/a", "/mnt/my card/sf": "/mnt/my card"} {
		if got := m.Of(dir); got != want {
			t.Errorf("%s: %q, want %q", dir, got, want)
		}
	}
}

// A link to the mount point is a way there as well as any.
func TestLinksAreFollowed(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	point, name := filepath.Join(dir, "point"), filepath.Join(dir, "name")
	if err := errors.Join(os.Mkdir(point, 0o700), os.Symlink(point, name)); err != nil {
		t.Fatal(err)
	}
	m := tables(t, "UUID=1 "+name+" ext4 defaults\n", mountinfo)
	for _, sf := range []string{filepath.Join(name, "sf"), filepath.Join(point, "sf")} {
		if err := m.Check(sf, ""); !errors.Is(err, mounts.ErrMissing) {
			t.Errorf("%s: %v", sf, err)
		}
	}
	m = tables(t, "UUID=1 "+name+" ext4 defaults\n", mountinfo+"60 22 8:99 / "+point+" rw - ext4 /dev/sde rw\n")
	if err := m.Check(filepath.Join(name, "sf"), ""); err != nil {
		t.Error(err)
	}
}

func TestWhereNothingIsKnownNothingIsMissing(t *testing.T) {
	m := tables(t, "UUID=3 /mnt/disk ext4 defaults 0 2\n", "")
	for _, m := range []mounts.Tables{{}, {Fstab: m.Fstab}, {Fstab: m.Fstab, Mountinfo: "/does/not/exist"}, m, {Mountinfo: m.Mountinfo}} {
		if err := m.Check("/mnt/disk/sf", "/mnt/disk"); err != nil {
			t.Errorf("%+v: %v", m, err)
		}
	}
	if err := mounts.System().Check(t.TempDir(), ""); err != nil {
		t.Error(err)
	}
}
