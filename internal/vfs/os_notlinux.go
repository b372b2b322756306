// SPDX-License-Identifier: MIT

//go:build !linux

package vfs

import "os"

// dataSync is a full sync; on Darwin package os asks the drive to flush too.
func dataSync(f *os.File) error { return f.Sync() }

// reserve has no equal here that also sets the size: zeros are written.
func reserve(*os.File, int64) (bool, error) { return false, nil }
