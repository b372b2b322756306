// SPDX-License-Identifier: MIT

package doctor_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/questdb-sf/questdb_sf/internal/doctor"
	"github.com/questdb-sf/questdb_sf/internal/link"
	"github.com/questdb-sf/questdb_sf/internal/vfs"
	"github.com/questdb-sf/questdb_sf/internal/vfs/vfstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// healthy is a patient on a disk of its own, without servers.
func healthy(t testing.TB) doctor.Patient {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o750); err != nil {
		t.Fatal(err)
	}
	return doctor.Patient{
		FS: vfs.OS, Dir: dir,
		Cap: func() (int64, error) { return 64 << 20, nil }, Keep: func(int64) int64 { return 0 }, Segments: 8 << 20,
		Link:          link.Config{Transport: link.Auto, Compression: link.CompressionAuto},
		FlushInterval: 10 * time.Second, IdleTimeout: 5 * time.Second, AppendDeadline: 2 * time.Second, Outage: 72 * time.Hour,
		Kind: func(string) (string, error) { return "ext4", nil },
	}
}

// talkingTo adds servers.
func talkingTo(p doctor.Patient, urls ...string) doctor.Patient {
	p.Link.URLs = urls
	return p
}

// failing has the disk of a patient go through a hook.
func failing(p doctor.Patient, hook func(vfstest.Op) error) doctor.Patient {
	p.FS = vfstest.Wrap(p.FS, hook)
	return p
}

func examine(t testing.TB, p doctor.Patient) doctor.Report {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	return doctor.Examine(ctx, p)
}

// want fails the test unless a check has the verdict for each subject that ends so, and
// says a text in what it found or what to do.
func want(t testing.TB, r doctor.Report, check, subject string, v doctor.Verdict, says string) {
	t.Helper()
	for _, f := range r.Findings {
		if f.Check != check || !strings.HasSuffix(f.Subject, subject) {
			continue
		}
		if f.Verdict != v || !strings.Contains(f.Found+" -> "+f.Remedy, says) {
			t.Errorf("%s of %q: %s, %q -> %q; want %s, %q", check, f.Subject, f.Verdict, f.Found, f.Remedy, v, says)
		}
		if (f.Verdict == doctor.OK) != (f.Remedy == "") {
			t.Errorf("%s of %q: %s with the remedy %q", check, f.Subject, f.Verdict, f.Remedy)
		}
		return
	}
	t.Errorf("nothing is said of %s of %q: %+v", check, subject, r.Findings)
}

// advised returns what a report recommends for an option, and why.
func advised(r doctor.Report, option string) string {
	for _, a := range r.Advice {
		if a.Option == option {
			return a.Value + " " + a.Why
		}
	}
	return ""
}

// digest is of all names and bytes below a directory.
func digest(t testing.TB, dir string) string {
	t.Helper()
	h := sha256.New()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			fmt.Fprintln(h, path, err)
			return err
		}
		b, err := os.ReadFile(path)
		fmt.Fprintln(h, path, len(b))
		h.Write(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(h.Sum(nil))
}
