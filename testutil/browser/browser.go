// SPDX-License-Identifier: MIT

// Package browser asks a headless Chromium what a page shows.
package browser

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

// ErrNone says that there is no Chromium.
var ErrNone = errors.New("no chromium in PATH")

// Find returns the path of Chromium.
func Find() (string, error) {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", ErrNone
}

// Look is how a page is looked at. The zero value is light, on a desk.
type Look struct {
	Dark          bool
	Width, Height int // of the window; 0 is 1100 by 1000
}

// DOM returns the document once scripts have had a moment.
func DOM(ctx context.Context, url string, l Look) (string, error) {
	return run(ctx, l, "--dump-dom", url)
}

// Picture writes a PNG.
func Picture(ctx context.Context, url, file string, l Look) error {
	_, err := run(ctx, l, "--screenshot="+file, "--hide-scrollbars", url)
	return err
}

// run starts Chromium with a profile of its own, which nothing is left of.
func run(ctx context.Context, l Look, args ...string) (string, error) {
	bin, err := Find()
	if err != nil {
		return "", err
	}
	profile, err := os.MkdirTemp("", "chromium-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(profile)
	if l.Width == 0 {
		l.Width, l.Height = 1100, 1000
	}
	all := []string{
		"--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-extensions",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-proxy-server",
		"--user-data-dir=" + profile, fmt.Sprintf("--window-size=%d,%d", l.Width, l.Height),
		"--virtual-time-budget=3000", // what scripts fetch first is there by then
	}
	if l.Dark {
		all = append(all, "--blink-settings=preferredColorScheme=0")
	} else {
		all = append(all, "--blink-settings=preferredColorScheme=1")
	}
	cmd := exec.CommandContext(ctx, bin, append(all, args...)...)
	var out, says bytes.Buffer
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = &out, &says, 5*time.Second
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s %s: %w\n%s", bin, strings.Join(args, " "), err, says.String())
	}
	return out.String(), nil
}
