// SPDX-License-Identifier: MIT

//go:build unix

package main

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/questdb-sf/questdb_sf/internal/steward"
)

// trial is a command as it is typed. CONF is a configuration, SFDIR its store, SLOT a slot
// of it, FILE and DIR what is not there yet, PARCEL an export, PID the process that has the
// store open.
type trial struct {
	typed   string
	looks   bool // it changes nothing
	usual   ending
	endings map[string]ending // by the name of the state
}

// ending is how a command has to end.
type ending struct {
	code int
	says string // on stdout or stderr
}

// missing is how it ends where there is no store.
var missing = ending{exitFailed, "there is no directory SFDIR: nothing was stored there yet"}

// trials has one for each command, and for each of its verbs.
var trials = []trial{
	{"top -n 1 -config CONF", true, ending{exitOK, "pending 60 rows"}, map[string]ending{
		"empty": {exitOK, "pending 0 rows"}, "missing": {exitFailed, "SFDIR: no such file"}, "live": {exitOK, "pending 80 rows"},
		"wounded": {exitOK, "pending "}, "strange": {exitOK, "default-2/.qsf-state is no regular file"},
		"failed": {exitOK, "pending 190 rows"}, "foreign": {exitOK, "pending 190 rows"},
	}},
	{"slots -config CONF", true, ending{exitOK, "total: 60 rows"}, map[string]ending{
		"empty": {exitOK, "there are no slots in SFDIR"}, "missing": missing, "live": {exitOK, "in use, pid PID"}, "wounded": {exitOK, "total: 40 rows"},
		"failed": {exitOK, "the disk was wet"}, "foreign": {exitOK, "orphan, of another client"},
	}},
	{"verify -config CONF", true, ending{exitOK, "SFDIR is clean"}, map[string]ending{
		"missing": missing, "wounded": {exitWounded, "in sf-initial.sfa at byte"}, "state damaged": {exitTorn, "in .qsf-state"},
		"torn": {exitTorn, "in sf-initial.sfa at byte"}, "strange": {exitTorn, "is no regular file"},
	}},
	{"dump -config CONF", true, ending{exitOK, "id=59i"}, map[string]ending{
		"empty": {exitOK, ""}, "missing": missing, "live": {exitOK, "id=81i"}, "wounded": {exitFailed, "skipped: default-0/sf-initial.sfa"},
		"failed": {exitOK, "32 of 190 rows are no line protocol"}, "foreign": {exitOK, "32 of 190 rows are no line protocol"},
	}},
	{"doctor -config CONF", true, ending{exitOK, "fsync"}, map[string]ending{
		"missing": {exitOK, "it does not exist yet"}, "live": {exitFailed, "connection refused"},
	}},
	{"dead-letter list -config CONF", true, ending{exitOK, "1969 is before 1970"}, map[string]ending{
		"empty": {exitOK, "there are no dead letters"}, "missing": missing,
	}},
	{"dead-letter show -config CONF", true, ending{exitOK, "old id=1i"}, map[string]ending{"empty": {exitOK, ""}, "missing": missing}},
	{"check-config CONF", true, ending{exitOK, "CONF is valid"}, nil},
	{"version", true, ending{exitOK, "questdb_sf"}, nil},
	{"drain -config CONF -timeout 1m", false, ending{exitOK, " rows sent"}, map[string]ending{
		"empty": {exitOK, "0 rows sent"}, "missing": missing, "live": {exitOK, "an agent has the store open (process PID)"},
		"failed": {exitFailed, "the disk was wet"}, "strange": {exitFailed, "default-3 is a symbolic link"},
	}},
	{"dead-letter replay -config CONF", false, ending{exitOK, "2 refused rows were sent again"}, map[string]ending{
		"empty": {exitOK, "0 refused rows"}, "missing": missing, "live": {exitFailed, "an agent has the store open (process PID)"},
	}},
	{"rewind -config CONF -since 1h", false, ending{exitOK, "nothing that was acknowledged since then"}, map[string]ending{
		"missing": {exitFailed, "SFDIR: no such file"}, "strange": {exitFailed, "default-2/.qsf-state is no regular file"},
	}},
	{"drop -config CONF -before 0s -yes", false, ending{exitOK, "60 rows were given up"}, map[string]ending{
		"empty": {exitOK, "nothing was dropped"}, "missing": missing, "live": {exitFailed, "default-0 is in use: process PID"},
		"wounded": {exitOK, "40 rows were given up"}, "failed": {exitOK, "190 rows were given up"}, "foreign": {exitOK, "190 rows were given up"},
	}},
	{"export -config CONF -slot SLOT FILE", false, ending{exitOK, "FILE: 60 rows in 3 frames"}, map[string]ending{
		"empty": {exitFailed, "there is no slot SLOT in SFDIR"}, "missing": missing, "live": {exitFailed, "SLOT is in use: process PID"},
		"wounded": {exitOK, "40 rows in 2 frames"}, "failed": {exitOK, "130 rows in 7 frames"}, "foreign": {exitOK, "130 rows in 7 frames"},
	}},
	{"import -sf-dir SFDIR PARCEL", false, ending{exitOK, "60 rows in 3 frames"}, map[string]ending{"missing": missing}},
	{"repair -config CONF -slot SLOT -to DIR", false, ending{exitOK, "60 rows in 3 frames"}, map[string]ending{
		"empty": {exitFailed, "there is no slot SLOT in SFDIR"}, "missing": missing, "live": {exitFailed, "SLOT is in use: process PID"},
		"wounded": {exitLosses, "could not be read"}, "torn": {exitOK, "cut off by a crash"},
		"failed": {exitOK, "130 rows in 7 frames"}, "foreign": {exitOK, "130 rows in 7 frames"},
	}},
}

func TestEveryCommandIsTriedOnEveryState(t *testing.T) {
	for _, c := range commands() {
		verbs := c.verbs
		if len(verbs) == 0 {
			verbs = []string{""}
		}
		for _, verb := range verbs {
			name := strings.TrimSpace(c.name + " " + verb)
			if !slices.ContainsFunc(trials, func(r trial) bool { return r.typed == name || strings.HasPrefix(r.typed, name+" ") }) {
				t.Errorf("%s is not tried", name)
			}
		}
	}
	known := map[string]bool{}
	for _, s := range states() {
		known[s.name] = true
	}
	for _, r := range trials {
		for name := range r.endings {
			if !known[name] {
				t.Errorf("%s: there is no state %q", r.typed, name)
			}
		}
	}
}

func TestCommandsEndAsTheyShouldWhateverIsThere(t *testing.T) {
	parcel := filepath.Join(t.TempDir(), "p.qsf")
	from := newDepot(t)
	from.stock()
	tell[steward.Exported](t, exitOK, "export", "-config", from.conf, "-slot", "default-0", parcel)
	for _, s := range states() {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			var d *depot
			for _, r := range trials {
				if d == nil || !r.looks { // what looks leaves it as it is
					d = newDepot(t)
					s.make(d)
				}
				d.try(r, s, parcel)
			}
		})
	}
}

// try runs a command in a state of the store.
func (d *depot) try(r trial, s state, parcel string) {
	d.t.Helper()
	root := d.t.(*testing.T).TempDir()
	names := strings.NewReplacer("CONF", d.conf, "SFDIR", d.dir, "SLOT", s.slot, "PARCEL", parcel, "PID", fmt.Sprint(d.pid),
		"FILE", filepath.Join(root, "x"), "DIR", filepath.Join(root, "new"))
	want, special := r.endings[s.name]
	if !special {
		want = r.usual
	}
	before := surface(d.t, d.dir)
	code, stdout, stderr := ask(strings.Fields(names.Replace(r.typed))...)
	if says := names.Replace(want.says); code != want.code || !strings.Contains(stdout+stderr, says) {
		d.t.Errorf("%s: exit %d, want %d and %q\n%.600s\n%.600s", r.typed, code, want.code, says, stdout, stderr)
	}
	if strings.Contains(stdout+stderr, "bug:") || (code != exitOK) != (stderr != "" && strings.Contains(stderr, "questdb_sf "+strings.Fields(r.typed)[0]+": ")) {
		d.t.Errorf("%s: exit %d, and says %.600q", r.typed, code, stderr)
	}
	after := surface(d.t, d.dir)
	if strings.HasPrefix(r.typed, "doctor") { // it makes a file in sf_dir, and removes it
		delete(before, d.dir)
		delete(after, d.dir)
	}
	if r.looks && !maps.Equal(before, after) {
		d.t.Errorf("%s has changed the store:\n%v\n%v", r.typed, before, after)
	}
}

// surface is what can be seen of all below a directory: kind, time and content.
func surface(t testing.TB, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if os.IsNotExist(err) && path == dir {
			return nil
		}
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		all[path] = fmt.Sprint(info.Mode(), info.ModTime())
		if e.Type().IsRegular() {
			b, err := os.ReadFile(path)
			all[path] += fmt.Sprintf(" %d %x", len(b), sha256.Sum256(b))
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
