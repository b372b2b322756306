// SPDX-License-Identifier: MIT

// Package pyclient runs the official Python client, so that our decoder meets
// bytes that we did not write.
package pyclient

import (
	"context"
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/questdb-sf/questdb_sf/testutil/client"
)

// Version is the release of the client on PyPI.
const Version = "6.0.0"

//go:embed write.py
var script string

// Program returns the program write.py, after making the virtual environment
// that it needs.
func Program(ctx context.Context) (client.Program, error) {
	dir, err := venv(ctx)
	if err != nil {
		return nil, err
	}
	return client.Program{python(dir), "-c", script}, nil
}

// venv returns a virtual environment that has the client. It is the directory
// that QUESTDB_SF_VENV names, or questdb_sf-venv in the user's cache directory,
// and is made with pip if it is not there.
func venv(ctx context.Context) (string, error) {
	dir := os.Getenv("QUESTDB_SF_VENV")
	if dir == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("pyclient: %w", err)
		}
		dir = filepath.Join(cache, "questdb_sf-venv")
	}
	unlock, err := client.Lock(ctx, dir+".lock")
	if err != nil {
		return "", err
	}
	defer unlock()
	if run(ctx, python(dir), "-c", "import questdb; assert questdb.__version__ == '"+Version+"'") == nil {
		return dir, nil
	}
	if err := run(ctx, "python3", "-m", "venv", dir); err != nil {
		return "", err
	}
	return dir, run(ctx, python(dir), "-m", "pip", "install", "--quiet", "questdb=="+Version)
}

func python(venv string) string { return filepath.Join(venv, "bin", "python") }

func run(ctx context.Context, name string, args ...string) error {
	if out, err := exec.CommandContext(ctx, name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("pyclient: %s %v: %w\n%s", name, args, err, out)
	}
	return nil
}
