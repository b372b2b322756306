// SPDX-License-Identifier: MIT

// Package pyclient runs the official Python client, so that our decoder meets
// bytes that we did not write.
package pyclient

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/questdb-sf/questdb_sf/testutil/qwpserver"
)

// Version is the release of the client on PyPI.
const Version = "6.0.0"

//go:embed write.py
var script string

// Venv returns a virtual environment that has the client. It is the directory
// that QUESTDB_SF_VENV names, or questdb_sf-venv in the user's cache directory,
// and is made with pip if it is not there.
func Venv(ctx context.Context) (string, error) {
	dir := os.Getenv("QUESTDB_SF_VENV")
	if dir == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("pyclient: %w", err)
		}
		dir = filepath.Join(cache, "questdb_sf-venv")
	}
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

// Write lets the client write its rows to a server at host:port and returns them
// as they should read back. It returns when the server has acknowledged all.
func Write(ctx context.Context, addr string) ([]qwpserver.Row, error) {
	venv, err := Venv(ctx)
	if err != nil {
		return nil, err
	}
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, python(venv), "-", addr)
	cmd.Stdin = bytes.NewReader([]byte(script))
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("pyclient: write to %s: %w\n%s", addr, err, stderr.Bytes())
	}
	return parse(&stdout)
}

// printed is a row as write.py prints it. A value is nil or type and value.
type printed struct {
	Table  string
	At     int64
	Values map[string][]json.RawMessage
}

func parse(r io.Reader) ([]qwpserver.Row, error) {
	var rows []qwpserver.Row
	for d := json.NewDecoder(r); ; {
		var p printed
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return rows, nil
		} else if err != nil {
			return nil, fmt.Errorf("pyclient: output of write.py: %w", err)
		}
		row := qwpserver.Row{Table: p.Table, Time: p.At, Values: make(map[string]any)}
		for name, v := range p.Values {
			if v == nil {
				continue
			}
			value, err := typed(v)
			if err != nil {
				return nil, fmt.Errorf("pyclient: column %s: %w", name, err)
			}
			row.Values[name] = value
		}
		rows = append(rows, row)
	}
}

// typed makes the value that the server stores of a pair of type and value.
func typed(pair []json.RawMessage) (any, error) {
	var kind string
	if len(pair) != 2 {
		return nil, fmt.Errorf("value is %s", pair)
	}
	if err := json.Unmarshal(pair[0], &kind); err != nil {
		return nil, err
	}
	switch kind {
	case "symbol":
		return as[qwpserver.Symbol](pair[1])
	case "varchar":
		return as[string](pair[1])
	case "bool":
		return as[bool](pair[1])
	case "long":
		return as[int64](pair[1])
	case "double":
		return as[float64](pair[1])
	case "timestamp":
		nanos, err := as[int64](pair[1])
		return time.Unix(0, nanos).UTC(), err
	}
	return nil, fmt.Errorf("unknown type %q", kind)
}

func as[T any](raw json.RawMessage) (v T, err error) {
	err = json.Unmarshal(raw, &v)
	return v, err
}
