// SPDX-License-Identifier: MIT

package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// nowhere refuses every connection.
const nowhere = "http://127.0.0.1:1"

// shop is a store with its configuration.
type shop struct {
	testing.TB
	conf, dir string
}

func newShop(t testing.TB, url, more string) *shop {
	t.Helper()
	root := t.TempDir()
	s := &shop{t, filepath.Join(root, "questdb_sf.conf"), filepath.Join(root, "sf")}
	s.sendTo(url, more)
	return s
}

// sendTo writes the configuration anew.
func (s *shop) sendTo(url, more string) {
	s.Helper()
	text := fmt.Sprintf("[[outputs.questdb_sf]]\nurls = [%q]\nsf_dir = %q\n%s\n", url, s.dir, more)
	if err := os.WriteFile(s.conf, []byte(text), 0o600); err != nil {
		s.Fatal(err)
	}
}

// take stores lines, and ends.
func (s *shop) take(lines string) {
	s.Helper()
	var log bytes.Buffer
	if code := run([]string{"-config", s.conf}, strings.NewReader(lines), io.Discard, &log); code != exitOK {
		s.Fatalf("exit %d\n%s", code, &log)
	}
}

// ask runs a read-only command, which must not change a byte.
func (s *shop) ask(command string) (code int, stdout, stderr string) {
	s.Helper()
	before := hashOf(s, s.dir)
	args := strings.Fields(command)
	code, stdout, stderr = ask(append([]string{args[0], "-config", s.conf}, args[1:]...)...)
	if hashOf(s, s.dir) != before {
		s.Errorf("%s has changed the store", command)
	}
	return code, stdout, stderr
}

// hashOf is that of all names, modes, times and bytes below a directory.
func hashOf(t testing.TB, dir string) string {
	t.Helper()
	h := sha256.New()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		fmt.Fprintln(h, path, info.Mode(), info.ModTime(), info.Size())
		if e.Type().IsRegular() {
			b, err := os.ReadFile(path)
			h.Write(b)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}

// segment is the path of a segment file that has frames.
func (s *shop) segment() string {
	s.Helper()
	list, err := filepath.Glob(filepath.Join(s.dir, "*", "sf-*.sfa"))
	if err != nil {
		s.Fatal(err)
	}
	for _, path := range list {
		if b, err := os.ReadFile(path); err == nil && bytes.Contains(b, []byte("QWP1")) {
			return path
		}
	}
	s.Fatalf("no segment with a frame among %v", list)
	return ""
}

// harm changes the bytes of a file.
func (s *shop) harm(path string, change func(b []byte) []byte) {
	s.Helper()
	b, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, change(b), 0o600)
	}
	if err != nil {
		s.Fatal(err)
	}
}

// strangers puts files of others into the store, and the slot of another client.
func (s *shop) strangers() {
	s.Helper()
	for name, text := range map[string]string{"notes.txt": "QWP1", "lost+found/x": "", "notes/sf.txt": "sf-"} {
		path := filepath.Join(s.dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			s.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			s.Fatal(err)
		}
	}
	if err := os.CopyFS(filepath.Join(s.dir, "python-0"), os.DirFS("../../internal/slot/testdata/g3-python-6.0.0")); err != nil {
		s.Fatal(err)
	}
}

// some are lines of one table, a microsecond apart.
func some(from, to int) string {
	var b strings.Builder
	for i := from; i < to; i++ {
		fmt.Fprintf(&b, "t,host=a id=%di %d\n", i, 1700000000000000000+1000*int64(i))
	}
	return b.String()
}

// living runs the binary until it is let go, and returns what writes to its stdin.
func (s *shop) living() (stdin io.Writer, letGo func()) {
	s.Helper()
	r, w := io.Pipe()
	done := make(chan int)
	var log bytes.Buffer
	go func() { done <- run([]string{"-config", s.conf}, r, io.Discard, &log) }()
	return w, func() {
		_ = w.Close()
		if code := <-done; code != exitOK {
			s.Errorf("exit %d\n%s", code, &log)
		}
	}
}

// until asks again until what is said has the text.
func until(t testing.TB, text string, ask func() string) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		said := ask()
		if strings.Contains(said, text) {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("nobody says %q:\n%s", text, said)
		}
	}
}
