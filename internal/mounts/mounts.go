// SPDX-License-Identifier: MIT

// Package mounts says whether a directory is on the filesystem that it is meant to
// be on: one that is not mounted, a card or a share that did not come up, leaves an
// empty directory behind, and what is written there fills the root filesystem and
// is hidden as soon as the mount is back.
//
// It reads what Linux offers, /etc/fstab for what is meant to be and
// /proc/self/mountinfo for what is. Where the latter cannot be read, nothing is
// known and nothing is missing.
package mounts

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// ErrMissing is in every *MissingError.
var ErrMissing = errors.New("not mounted")

// MissingError says that the filesystem for a directory is not mounted.
type MissingError struct {
	Dir, Point string
	Why        string // how it is known that there should be one
}

func (e *MissingError) Error() string {
	return fmt.Sprintf("the filesystem for %s is not mounted: %s %s; mount it, or name another directory", e.Dir, e.Why, e.Point)
}

// Unwrap returns ErrMissing.
func (e *MissingError) Unwrap() error { return ErrMissing }

// Tables are the files to read. The zero value reads nothing.
type Tables struct {
	Fstab     string
	Mountinfo string
}

// System returns the files of this machine.
func System() Tables { return Tables{Fstab: "/etc/fstab", Mountinfo: "/proc/self/mountinfo"} }

// Check returns a *MissingError if dir lies below a mount point, or is one, that is
// not mounted: one that fstab lists, without the option noauto, or the one given,
// where it was seen before; "" is none.
func (t Tables) Check(dir, seen string) error {
	mounted, ok := t.mounted()
	if !ok {
		return nil
	}
	dir = Resolved(dir)
	if seen != "" && below(dir, seen) && !slices.Contains(mounted, seen) {
		return &MissingError{Dir: dir, Point: seen, Why: "it was there before, at"}
	}
	for _, point := range t.listed() {
		if real := Resolved(point); below(dir, real) && !slices.Contains(mounted, real) {
			return &MissingError{Dir: dir, Point: point, Why: t.Fstab + " lists"}
		}
	}
	return nil
}

// Of returns the mount point of the filesystem that dir is on; "" where that is not
// known, and for the root, which is always there.
func (t Tables) Of(dir string) (point string) {
	mounted, _ := t.mounted()
	dir = Resolved(dir)
	for _, m := range mounted {
		if m != string(filepath.Separator) && below(dir, m) && len(m) > len(point) {
			point = m
		}
	}
	return point
}

// mounted returns all mount points of now.
func (t Tables) mounted() (points []string, ok bool) {
	text, err := read(t.Mountinfo)
	if err != nil {
		return nil, false
	}
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); len(f) > 4 { // id parent device root point …
			points = append(points, filepath.Clean(plain(f[4])))
		}
	}
	return points, len(points) > 0
}

// listed returns the mount points of fstab that are to be there at boot.
func (t Tables) listed() (points []string) {
	text, err := read(t.Fstab)
	if err != nil {
		return nil
	}
	for line := range strings.Lines(text) {
		f := strings.Fields(line) // device point type options …
		if len(f) < 3 || strings.HasPrefix(f[0], "#") || !strings.HasPrefix(f[1], "/") {
			continue
		}
		if len(f) > 3 && slices.Contains(strings.Split(f[3], ","), "noauto") {
			continue
		}
		if point := filepath.Clean(plain(f[1])); point != "/" {
			points = append(points, point)
		}
	}
	return points
}

func read(name string) (string, error) {
	if name == "" {
		return "", os.ErrNotExist
	}
	b, err := os.ReadFile(name)
	return string(b), err
}

// plain undoes the octal escapes of both files: \040 is a space.
func plain(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// below says whether dir is point or lies in it.
func below(dir, point string) bool {
	return dir == point || strings.HasPrefix(dir, strings.TrimSuffix(point, "/")+"/")
}

// Resolved follows symbolic links as far as the path exists: one directory is the
// same under whatever name.
func Resolved(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		path = abs
	}
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real
	}
	if parent := filepath.Dir(path); parent != path {
		return filepath.Join(Resolved(parent), filepath.Base(path))
	}
	return path
}
