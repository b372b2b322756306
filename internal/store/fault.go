// SPDX-License-Identifier: MIT

package store

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"syscall"

	"github.com/questdb-sf/questdb_sf/internal/mounts"
	"github.com/questdb-sf/questdb_sf/internal/vfs"
	"github.com/questdb-sf/questdb_sf/sfpool"
)

// faults are the errors of a directory or a disk that cannot be used, and what
// each means.
var faults = append([]fault{
	{mounts.ErrMissing, "its filesystem is not mounted"},
	{vfs.ErrRemounted, "its filesystem was mounted or unmounted meanwhile"},
	{fs.ErrNotExist, "it is missing: removed, or not mounted"},
	{fs.ErrPermission, "this user may not write there"},
	{syscall.ENOTDIR, "a part of its path is not a directory"},
	{syscall.EROFS, "its filesystem is read-only, which is what Linux makes of a failing disk"},
	{syscall.EIO, "its disk reports I/O errors"},
	{syscall.ENODEV, "its device is gone"},
	{syscall.ENXIO, "its device is gone"},
	{syscall.ESTALE, "its network filesystem was mounted anew at the server"},
	{syscall.ENOTCONN, "its network filesystem has lost the server"},
	{syscall.ELOOP, "a symbolic link in its path leads in a circle"},
}, osFaults...)

// full are the errors of a disk without room. Where a store is open that is
// backpressure, which passes; a store that cannot even be opened has no use of it.
var full = []fault{
	{syscall.ENOSPC, "its filesystem is full"},
	{syscall.EDQUOT, "the quota of this user is used up"},
}

// untrusted is what makes a whole directory unusable when it is opened, and a
// single slot later.
var untrusted = []fault{{vfs.ErrUntrusted, "there is a link or a file of another user where its locks should be"}}

// fault is an error and what it means for sf_dir.
type fault struct {
	is    error
	means string
}

// diskFault says what is wrong with the disk if that is why a flush failed; ""
// for anything else.
func diskFault(err error) (means string) {
	switch {
	case errors.Is(err, sfpool.ErrStoreFull):
		return "" // sf_full says what to do
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return "" // slow is not broken
	case errors.As(err, new(*sfpool.AcquireError)):
		return "" // all busy; what ails a single slot is the pool's business
	case errors.As(err, new(*sfpool.LockedError)):
		return "" // the disk works, and belongs to somebody else
	case errors.As(err, new(*sfpool.TargetError)), errors.As(err, new(*sfpool.DamageError)):
		return "" // one slot's own; its rows must not be passed over in silence
	case errors.As(err, new(*sfpool.RowError)), errors.As(err, new(*sfpool.PanicError)):
		return "" // the rows' fault, or ours
	}
	return find(faults, err)
}

// openFault is diskFault for sfpool.Open.
func openFault(err error) (means string) {
	if means = diskFault(err); means != "" || errors.Is(err, sfpool.ErrStoreFull) {
		return means
	}
	return cmp.Or(find(full, err), find(untrusted, err))
}

func find(list []fault, err error) (means string) {
	for _, f := range list {
		if errors.Is(err, f.is) {
			return f.means
		}
	}
	return ""
}
