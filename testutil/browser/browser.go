// SPDX-License-Identifier: MIT

// Package browser asks a headless Chromium what a page shows. It speaks the DevTools
// protocol over pipes: no port is opened, and windows may be as narrow as a phone.
package browser

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"maps"
	"os"
	"os/exec"
	"slices"
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
	NoScript      bool // scripts of the page do not run
	Width, Height int  // CSS pixels of the window; 0 is 1100 by 1000
}

// Browser is a Chromium of its own, which nothing is left of after Close. Its methods, and
// those of its pages, are called one at a time.
type Browser struct {
	cmd     *exec.Cmd
	pipe    *pipe
	profile string
	says    bytes.Buffer
	once    bool // closed
}

// Start starts Chromium. What it prints is in errors.
func Start(ctx context.Context) (*Browser, error) {
	bin, err := Find()
	if err != nil {
		return nil, err
	}
	profile, err := os.MkdirTemp("", "chromium-")
	if err != nil {
		return nil, err
	}
	b := &Browser{profile: profile}
	b.cmd = exec.CommandContext(ctx, bin,
		"--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-extensions",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-proxy-server",
		"--user-data-dir="+profile, "--remote-debugging-pipe")
	b.cmd.Stderr, b.cmd.WaitDelay = &b.says, 5*time.Second
	if b.pipe, err = connect(b.cmd); err != nil {
		b.remove()
		return nil, fmt.Errorf("start %s: %w", bin, err)
	}
	return b, nil
}

// Close ends Chromium and removes its profile. Another call does nothing.
func (b *Browser) Close() {
	if b.once {
		return
	}
	b.once = true
	_ = b.cmd.Process.Kill()
	_ = b.cmd.Wait()
	b.pipe.close()
	b.remove()
}

// remove waits for those that Chromium has started: they may still write.
func (b *Browser) remove() {
	for range 50 {
		if os.RemoveAll(b.profile) == nil {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// Page is a page that is open.
type Page struct {
	b               *Browser
	target, session string
	look            Look
}

// Open opens a page and waits until it is whole.
func (b *Browser) Open(ctx context.Context, url string, l Look) (*Page, error) {
	if l.Width == 0 {
		l.Width, l.Height = 1100, 1000
	}
	var target struct{ TargetID string }
	if err := b.pipe.call(ctx, "", "Target.createTarget", params{"url": "about:blank", "newWindow": true}, &target); err != nil {
		return nil, b.explain(err)
	}
	var session struct{ SessionID string }
	if err := b.pipe.call(ctx, "", "Target.attachToTarget", params{"targetId": target.TargetID, "flatten": true}, &session); err != nil {
		return nil, b.explain(err)
	}
	p := &Page{b: b, target: target.TargetID, session: session.SessionID, look: l}
	theme := map[bool]string{true: "dark", false: "light"}[l.Dark]
	for _, c := range []struct {
		method string
		params params
	}{
		{"Page.enable", nil}, {"Runtime.enable", nil}, {"Log.enable", nil},
		{"Emulation.setEmulatedMedia", params{"features": []params{{"name": "prefers-color-scheme", "value": theme}}}},
		{"Emulation.setScriptExecutionDisabled", params{"value": l.NoScript}},
	} {
		if err := p.call(ctx, c.method, c.params, nil); err != nil {
			return nil, err
		}
	}
	if err := p.resize(ctx, l.Width, l.Height); err != nil {
		return nil, err
	}
	var gone struct{ ErrorText string }
	if err := p.call(ctx, "Page.navigate", params{"url": url}, &gone); err != nil || gone.ErrorText != "" {
		return nil, errors.Join(err, fmt.Errorf("open %s: %s", url, gone.ErrorText))
	}
	return p, p.Wait(ctx, `location.href !== "about:blank" && document.readyState === "complete"`)
}

// Close closes the page.
func (p *Page) Close(ctx context.Context) error {
	return p.b.pipe.call(ctx, "", "Target.closeTarget", params{"targetId": p.target}, nil)
}

func (b *Browser) explain(err error) error { return fmt.Errorf("%w\n%s", err, b.says.String()) }

func (p *Page) call(ctx context.Context, method string, with params, into any) error {
	if err := p.b.pipe.call(ctx, p.session, method, with, into); err != nil {
		return p.b.explain(err)
	}
	return nil
}

func (p *Page) resize(ctx context.Context, width, height int) error {
	return p.call(ctx, "Emulation.setDeviceMetricsOverride",
		params{"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}, nil)
}

// Eval evaluates an expression, whose value is stored in into; a promise is waited for.
func (p *Page) Eval(ctx context.Context, expression string, into any) error {
	var answer struct {
		Result           struct{ Value any }
		ExceptionDetails *struct {
			Text      string
			Exception struct{ Description string }
		}
	}
	answer.Result.Value = into
	err := p.call(ctx, "Runtime.evaluate", params{"expression": expression, "returnByValue": true, "awaitPromise": true}, &answer)
	if x := answer.ExceptionDetails; err == nil && x != nil {
		err = fmt.Errorf("%s: %s %s", expression, x.Text, x.Exception.Description)
	}
	return err
}

// Wait waits until an expression is true. What cannot be evaluated yet is not.
func (p *Page) Wait(ctx context.Context, expression string) error {
	for {
		var is bool
		err := p.Eval(ctx, "!!("+expression+")", &is)
		if err == nil && is {
			return nil
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("wait for %s: %w", expression, ctx.Err()), err)
		}
	}
}

// DOM returns the document as it is now.
func (p *Page) DOM(ctx context.Context) (dom string, err error) {
	err = p.Eval(ctx, "document.documentElement.outerHTML", &dom)
	return dom, err
}

// Complaints returns what Chromium has to say against the page so far: exceptions, and
// what its policy has kept from it.
func (p *Page) Complaints(ctx context.Context) ([]string, error) {
	err := p.Eval(ctx, "1", new(int)) // what was said before the answer has been read then
	return p.b.pipe.complaints[p.session], err
}

// Picture writes a PNG in 256 colours of the page, up to so many CSS pixels of its height.
func (p *Page) Picture(ctx context.Context, file string, most int) error {
	var height int
	if err := p.Eval(ctx, "document.documentElement.scrollHeight", &height); err != nil {
		return err
	}
	if err := p.resize(ctx, p.look.Width, min(height, most)); err != nil {
		return err
	}
	var shot struct{ Data []byte } // base64
	if err := p.call(ctx, "Page.captureScreenshot", params{"format": "png"}, &shot); err != nil {
		return err
	}
	whole, err := png.Decode(bytes.NewReader(shot.Data))
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&b, paletted(whole)); err != nil {
		return err
	}
	return os.WriteFile(file, b.Bytes(), 0o644)
}

// paletted keeps the 256 colours that are there most: what lies in a repository is to be
// small, and the others are edges of letters.
func paletted(from image.Image) *image.Paletted {
	count, area := map[color.Color]int{}, from.Bounds()
	for y := area.Min.Y; y < area.Max.Y; y++ {
		for x := area.Min.X; x < area.Max.X; x++ {
			count[from.At(x, y)]++
		}
	}
	most := slices.SortedFunc(maps.Keys(count), func(a, b color.Color) int { return count[b] - count[a] })
	to, index := image.NewPaletted(area, color.Palette(most[:min(256, len(most))])), map[color.Color]int{}
	for _, c := range most {
		index[c] = to.Palette.Index(c)
	}
	for y := area.Min.Y; y < area.Max.Y; y++ {
		for x := area.Min.X; x < area.Max.X; x++ {
			to.SetColorIndex(x, y, uint8(index[from.At(x, y)]))
		}
	}
	return to
}
