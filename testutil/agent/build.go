// SPDX-License-Identifier: MIT

// Package agent builds and runs the small Telegraf of testutil/telegraf: the
// real agent in a process of its own, which can be killed and reloaded.
package agent

import (
	"context"
	"fmt"
	"hash/crc32"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
)

// TelegrafVersion is what the agent calls itself.
const TelegrafVersion = "1.37.2"

const (
	mainPackage = "github.com/questdb-sf/questdb_sf/testutil/telegraf"
	versionFlag = "-X github.com/influxdata/telegraf/internal.Version=" + TelegrafVersion
	// buildTags let the agent have inputs.internal, see testutil/telegraf.
	buildTags = "custom,inputs.internal"
)

// built is the one build of this process.
var built struct {
	sync.Mutex
	path string
}

// Build builds the agent and returns its path, in the user's cache directory.
// A process builds once; the go command's cache makes later processes fast.
func Build(ctx context.Context) (string, error) {
	built.Lock()
	defer built.Unlock()
	if built.path != "" {
		return built.path, nil
	}
	path, err := build(ctx)
	if err != nil {
		return "", fmt.Errorf("agent: %w", err)
	}
	built.path = path
	return path, nil
}

// build links under a name of its own and renames: another process may be
// running the binary of before.
func build(ctx context.Context) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	root, err := moduleRoot(ctx)
	if err != nil {
		return "", err
	}
	// One for each checkout: tests of two may run at once.
	dir := filepath.Join(cache, "questdb_sf", fmt.Sprintf("%08x", crc32.ChecksumIEEE([]byte(root))))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	fresh := filepath.Join(dir, fmt.Sprintf("telegraf.%d", os.Getpid()))
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-tags", buildTags,
		"-ldflags", "-s -w "+versionFlag, "-o", fresh, mainPackage)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", mainPackage, err, out)
	}
	path := filepath.Join(dir, "telegraf")
	return path, os.Rename(fresh, path)
}

// moduleRoot is the directory of the go.mod above the working directory.
func moduleRoot(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("go env GOMOD: %w", err)
	}
	return filepath.Dir(strings.TrimSpace(string(out))), nil
}
