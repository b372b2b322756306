// SPDX-License-Identifier: MIT

package vfs

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// blocks returns how many bytes of the file have real blocks behind them.
func blocks(t testing.TB, name string) int64 {
	t.Helper()
	info, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	return info.Sys().(*syscall.Stat_t).Blocks * 512
}

func TestAllocateReservesRealBlocksAndZerosForThemCountAsWritten(t *testing.T) {
	for name, refusal := range map[string]error{
		"fallocate": nil, "EOPNOTSUPP": unix.EOPNOTSUPP, "ENOSYS": unix.ENOSYS, "EINVAL": unix.EINVAL,
	} {
		t.Run(name, func(t *testing.T) {
			fsys := OS
			if refusal != nil {
				fsys = osFS{reserve: func(f *os.File, _ int64) (bool, error) {
					if !cannotReserve(&os.PathError{Op: "fallocate", Path: f.Name(), Err: refusal}) {
						t.Errorf("%v is not taken as a filesystem that cannot reserve", refusal)
					}
					return false, nil
				}}
			}
			path := filepath.Join(t.TempDir(), "f")
			meter := Meter(fsys)
			f, err := meter.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			const size = 100_000
			if err := f.Allocate(size); err != nil {
				t.Fatal(err)
			}
			if n, err := f.Size(); err != nil || n != size {
				t.Fatalf("size %d, %v; want %d", n, err, size)
			}
			if err := f.Sync(); err != nil {
				t.Fatal(err)
			}
			if got := blocks(t, path); got < size {
				t.Fatalf("%d bytes have blocks behind them, want %d: a sparse file", got, size)
			}
			zeros := int64(0)
			if refusal != nil {
				zeros = size
			}
			if all, _ := meter.Wear(); all.Bytes != zeros {
				t.Errorf("%d bytes count as written, want %d", all.Bytes, zeros)
			}
		})
	}
}

func TestOnlyRefusalsOfTheFilesystemLeadToZeros(t *testing.T) {
	for _, err := range []error{unix.ENOSPC, unix.EIO, unix.EFBIG, unix.EINTR, nil} {
		if cannotReserve(err) {
			t.Errorf("%v is taken as a filesystem that cannot reserve", err)
		}
	}
}
