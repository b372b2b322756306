// SPDX-License-Identifier: MIT

// Package rustclient runs the official Rust client, the crate questdb-rs in the
// version of Cargo.toml, so that our decoder meets bytes that we did not write.
package rustclient

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/questdb-sf/questdb_sf/testutil/client"
)

//go:embed Cargo.toml Cargo.lock main.rs
var source embed.FS

// Build compiles the program main.rs and returns it. Cargo works in the directory
// that QUESTDB_SF_CARGO_TARGET names, or questdb_sf-cargo in the user's cache
// directory, and does nothing there when nothing has changed.
func Build(ctx context.Context) (client.Program, error) {
	if err := haveCargo(ctx); err != nil {
		return nil, err
	}
	dir, err := target()
	if err != nil {
		return nil, fmt.Errorf("rustclient: %w", err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("rustclient: %w", err)
	}
	unlock, err := client.Lock(ctx, filepath.Join(dir, "lock"))
	if err != nil {
		return nil, err
	}
	defer unlock()
	project := filepath.Join(dir, "project")
	if err := unpack(project); err != nil {
		return nil, fmt.Errorf("rustclient: %w", err)
	}
	cmd := exec.CommandContext(ctx, "cargo", "build", "--locked", "--target-dir", dir)
	cmd.Dir = project
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("rustclient: %s in %s: %w\n%s", cmd, project, err, out)
	}
	return client.Program{filepath.Join(dir, "debug", "rustclient")}, nil
}

// ErrNoCargo says that there is no cargo here that can build the client. Debian's
// is too old and no package has a newer one, so tests skip with this reason.
var ErrNoCargo = errors.New("rustclient: needs cargo 1.91 or newer")

const oldestCargo = 91 // minor version: the rust-version of questdb-rs

func haveCargo(ctx context.Context) error {
	out, err := exec.CommandContext(ctx, "cargo", "--version").Output()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNoCargo, err)
	}
	var minor int
	if _, err := fmt.Sscanf(string(out), "cargo 1.%d.", &minor); err != nil || minor < oldestCargo {
		return fmt.Errorf("%w, found %s", ErrNoCargo, bytes.TrimSpace(out))
	}
	return nil
}

// target returns the absolute path of cargo's target directory.
func target() (string, error) {
	if dir := os.Getenv("QUESTDB_SF_CARGO_TARGET"); dir != "" {
		return filepath.Abs(dir)
	}
	cache, err := os.UserCacheDir()
	return filepath.Join(cache, "questdb_sf-cargo"), err
}

// unpack writes the sources that are not there yet: cargo builds anew what has a
// new modification time.
func unpack(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	entries, err := source.ReadDir(".")
	if err != nil {
		return err
	}
	for _, e := range entries {
		want, err := source.ReadFile(e.Name())
		if err != nil {
			return err
		}
		path := filepath.Join(dir, e.Name())
		if have, err := os.ReadFile(path); err == nil && bytes.Equal(have, want) {
			continue
		}
		if err := os.WriteFile(path, want, 0o644); err != nil {
			return err
		}
	}
	return nil
}
