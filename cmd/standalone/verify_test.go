// SPDX-License-Identifier: MIT

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestVerifyOfAStoreThatIsWholeIsClean(t *testing.T) {
	s := newShop(t, nowhere, quick)
	if err := os.Mkdir(s.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if code, text, stderr := s.ask("verify"); code != exitOK || !strings.Contains(text, "is clean") {
		t.Errorf("empty: exit %d, %q, %q", code, text, stderr)
	}
	s.take(some(0, 500) + "t id=1i -5\n") // the last is a dead letter
	s.strangers()
	code, text, stderr := s.ask("verify")
	for _, says := range []string{"default-0", "python-0", "default.dead-letter.lp", "1 letters", "agrees", "is clean"} {
		if code != exitOK || !strings.Contains(text, says) {
			t.Errorf("exit %d, %q does not say %q, %q", code, text, says, stderr)
		}
	}
	code, text, _ = s.ask("verify -json default-0")
	var v map[string]any
	if err := json.Unmarshal([]byte(text), &v); code != exitOK || err != nil || v["grade"] != "clean" {
		t.Errorf("exit %d, %v, %q", code, err, text)
	}
	if code, _, stderr := s.ask("verify defalt-0"); code != exitFailed || !strings.Contains(stderr, "did you mean default-0?") {
		t.Errorf("exit %d, %q", code, stderr)
	}
}

func TestVerifySaysWhatIsTornAndWhatIsWounded(t *testing.T) {
	behind := func(b []byte) int { return len(strings.TrimRight(string(b), "\x00")) }
	letters := "default.dead-letter.lp"
	for name, c := range map[string]struct {
		file   string
		change func(b []byte) []byte
		code   int
		says   string
	}{
		"torn tail":        {"", func(b []byte) []byte { b[behind(b)+200] = 7; return b }, exitTorn, "are cut"},
		"flipped byte":     {"", func(b []byte) []byte { b[60] ^= 1; return b }, exitWounded, "frames 0 to 0"},
		"flipped header":   {"", func(b []byte) []byte { b[9] ^= 1; return b }, exitWounded, "header"},
		"cut file":         {"", func(b []byte) []byte { return b[:behind(b)-5] }, exitWounded, "at byte"},
		"state":            {"default-0/.qsf-state", func(b []byte) []byte { b[20] ^= 1; b[4096+20] ^= 1; return b }, exitTorn, ".qsf-state"},
		"target":           {"default-0/.target", func(b []byte) []byte { b[9] ^= 1; return b }, exitWounded, ".target"},
		"torn letter":      {letters, func(b []byte) []byte { return b[:len(b)-3] }, exitTorn, letters},
		"flipped letter":   {letters, func(b []byte) []byte { b[30] ^= 1; return b }, exitWounded, letters},
		"a directory":      {"", nil, exitFailed, "could not be looked at"},
		"notes in letters": {letters, func(b []byte) []byte { return append([]byte("# my notes\n"), b...) }, exitOK, "clean"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newShop(t, nowhere, quick)
			for i := range 3 {
				s.take(some(10*i, 10*i+10) + "t id=1i -5\n")
			}
			path := filepath.Join(s.dir, c.file)
			if c.file == "" {
				path = s.segment()
			}
			if c.change == nil {
				hide(t, filepath.Dir(path))
			} else {
				s.harm(path, c.change)
			}
			code, text, stderr := s.ask("verify")
			if code != c.code || !strings.Contains(text+stderr, c.says) {
				t.Errorf("exit %d instead of %d, %s %q does not say %q", code, c.code, text, stderr, c.says)
			}
			if c.code == exitFailed {
				return
			}
			if code, _, _ := s.ask("verify -json"); code != c.code {
				t.Errorf("for machines exit %d", code)
			}
		})
	}
}

// hide has something that is no generation anybody knows stand in a slot.
func hide(t *testing.T, slot string) {
	t.Helper()
	b := append([]byte("SF01\x02\x00\x00\x00"), make([]byte, 4096)...)
	b[100] = 1
	for _, name := range []string{".qsf-state", ".ack-watermark"} {
		if err := os.Remove(filepath.Join(slot, name)); err != nil {
			t.Fatal(err)
		}
	}
	list, _ := filepath.Glob(filepath.Join(slot, "*.sfa"))
	for _, path := range list {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
