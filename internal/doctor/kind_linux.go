// SPDX-License-Identifier: MIT

package doctor

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/questdb-sf/questdb_sf/internal/vfs"
)

// magics are the numbers of statfs(2).
var magics = map[uint32]string{
	0x01021994: "tmpfs", 0x858458f6: "ramfs", 0x6969: "nfs", 0x517b: "smb", 0xff534d42: "smb", 0xfe534d42: "smb",
	0x794c7630: "overlay", 0x65735546: "fuse", 0x01021997: "9p", 0xef53: "ext4", 0x58465342: "xfs", 0x9123683e: "btrfs",
	0xf2f52010: "f2fs", 0x4d44: "vfat", 0x2011bab0: "exfat", 0x24051905: "ubifs", 0x72b6: "jffs2", 0x2fc12fc1: "zfs", 0x7366746e: "ntfs",
}

// kindOf returns the kind of the filesystem that a directory is on.
func kindOf(dir string) (string, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return "", &os.PathError{Op: "statfs", Path: dir, Err: err}
	}
	magic := uint32(st.Type)
	if name, ok := magics[magic]; ok {
		return name, nil
	}
	return fmt.Sprintf("filesystem 0x%x", magic), nil
}

// reserves says whether the filesystem of a file can reserve blocks. It asks for those
// that the file has.
func reserves(f vfs.File) (bool, error) {
	size, err := f.Size()
	if err != nil {
		return false, err
	}
	g, err := os.OpenFile(f.Name(), os.O_RDWR, 0)
	if err != nil {
		return false, err
	}
	defer func() { _ = g.Close() }()
	err = unix.Fallocate(int(g.Fd()), 0, 0, size)
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EINVAL) {
		return false, nil
	}
	return err == nil, err
}
