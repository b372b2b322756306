// SPDX-License-Identifier: MIT

//go:build unix

package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/questdb-sf/questdb_sf/testutil/execd"
)

// state is what a command may find in sf_dir.
type state struct {
	name string
	slot string // to work on
	make func(d *depot)
}

// states are those that every command is tried on.
func states() []state {
	return []state{
		{"empty", "default-0", func(*depot) {}},
		{"missing", "default-0", func(d *depot) { d.must(os.Remove(d.dir)) }},
		{"clean", "default-0", (*depot).stock},
		{"live", "default-0", (*depot).livesElsewhere},
		{"wounded", "default-0", func(d *depot) { d.stock(); d.change("sf-initial.sfa", func(b []byte) { b[len(d.head(b))/2] ^= 1 }) }},
		{"state damaged", "default-0", func(d *depot) { d.stock(); d.change(".qsf-state", func(b []byte) { b[20] ^= 1; b[4096+20] ^= 1 }) }},
		{"torn", "default-0", func(d *depot) {
			d.stock()
			d.change("sf-initial.sfa", func(b []byte) { b[len(d.head(b))+200] = 7 })
		}},
		{"failed", "other-0", func(d *depot) {
			d.stock()
			d.foreign("other-0")
			d.put("the disk was wet", "other-0", ".failed")
		}},
		{"foreign", "other-0", func(d *depot) {
			d.stock()
			d.foreign("other-0")
			d.put("QWP1", "notes.txt")
			d.put("", "lost+found", "x")
			d.put("sf-", "notes", "sf.txt")
		}},
		{"strange", "default-0", (*depot).strange},
	}
}

// stock leaves 60 rows in three frames of a slot, and three dead letters.
func (d *depot) stock() {
	d.t.Helper()
	for range 3 {
		d.store(20)
	}
	d.letters(2)
}

// put writes a file into the store.
func (d *depot) put(text string, elem ...string) {
	d.t.Helper()
	d.must(os.MkdirAll(filepath.Dir(d.path(elem...)), 0o700))
	d.must(os.WriteFile(d.path(elem...), []byte(text), 0o600))
}

// change changes bytes of a file of default-0.
func (d *depot) change(name string, change func(b []byte)) {
	d.t.Helper()
	path := d.path("default-0", name)
	b, err := os.ReadFile(path)
	d.must(err)
	change(b)
	d.must(os.WriteFile(path, b, 0o600))
}

// head is a segment up to the end of what was written.
func (*depot) head(b []byte) []byte { return bytes.TrimRight(b, "\x00") }

// livesElsewhere has another process take rows into the store, whose server is away.
func (d *depot) livesElsewhere() {
	d.t.Helper()
	d.stock()
	d.srv.Stop()
	conf, err := os.ReadFile(d.conf)
	d.must(err)
	p, err := execd.Start(string(conf))
	d.must(err)
	d.t.Cleanup(p.Close)
	d.pid = p.PID()
	var lines strings.Builder
	for range 20 {
		fmt.Fprintf(&lines, "t id=%di %d\n", d.next, 1700000000000000000+int64(d.next)*1000)
		d.next++
	}
	_, err = p.Stdin.Write([]byte(lines.String()))
	d.must(err)
	d.must(p.WaitDurable(d.t.Context(), 20))
	d.must(p.WaitLog(d.t.Context(), "no connection"))
}

// strange has things beside the files of a store that are none, and look like them.
func (d *depot) strange() {
	d.t.Helper()
	d.stock()
	d.must(syscall.Mkfifo(d.path("default.refused.7.lp"), 0o600))
	d.must(syscall.Mkfifo(d.path("pipe-0"), 0o600))
	d.must(syscall.Mkfifo(d.path("default-0", "sf-0000000000000077.sfa"), 0o600))
	d.must(os.Mkdir(d.path("default-0", "sf-0000000000000078.sfa"), 0o700))
	d.must(os.Mkdir(d.path("default.dead-letter.9.lp"), 0o700))
	d.must(os.Symlink("loop-0", d.path("loop-0")))
	d.must(os.Symlink(".", d.path("default-3")))
	d.must(os.Symlink("../..", d.path("default-0", "up")))
	d.put("no directory", "default-7")
	d.must(os.Mkdir(d.path("default-2"), 0o700))
	d.must(syscall.Mkfifo(d.path("default-2", ".qsf-state"), 0o600))
}
