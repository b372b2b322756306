// SPDX-License-Identifier: MIT

//go:build !linux

package doctor

import "github.com/questdb-sf/questdb_sf/internal/vfs"

// kindOf is not known here.
func kindOf(string) (string, error) { return "", nil }

// reserves: package vfs writes zeros on this system.
func reserves(vfs.File) (bool, error) { return false, nil }
