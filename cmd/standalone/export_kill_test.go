// SPDX-License-Identifier: MIT

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/questdb-sf/questdb_sf/internal/steward"
	"github.com/questdb-sf/questdb_sf/testutil/execd"
)

// What was promised before SIGKILL travels to another machine, whole and once.
func TestWhatAKilledAgentLeftIsCarriedToAnotherMachine(t *testing.T) {
	t.Parallel()
	d := newDepot(t)
	d.srv.Stop()
	conf, err := os.ReadFile(d.conf)
	if err != nil {
		t.Fatal(err)
	}
	p, err := execd.Start(string(conf))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	var lines strings.Builder
	for ; d.next < 2000; d.next++ {
		fmt.Fprintf(&lines, "t,host=h%d id=%di,fill=\"%s\" %d\n", d.next%7, d.next, strings.Repeat("x", 100), 1700000000000000000+int64(d.next)*1000)
	}
	if _, err := p.Stdin.Write([]byte(lines.String())); err != nil {
		t.Fatal(err)
	}
	if err := p.WaitDurable(t.Context(), int64(d.next)); err != nil {
		t.Fatal(err)
	}
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := d.srv.Restart(); err != nil {
		t.Fatal(err)
	}
	file, there := filepath.Join(t.TempDir(), "a.qsf"), *d
	if r := tell[steward.Exported](t, exitOK, "export", "-sf-dir", d.dir, "-slot", "default-0", file); r.Rows != 2000 {
		t.Fatalf("%+v", r)
	}
	there.dir = filepath.Join(t.TempDir(), "sf")
	if err := os.Mkdir(there.dir, 0o750); err != nil {
		t.Fatal(err)
	}
	tell[steward.Imported](t, exitOK, "import", "-sf-dir", there.dir, file)
	if r := tell[drained](t, exitOK, "drain", "-config", there.config("")); r.Sent != 2000 {
		t.Fatalf("%+v", r)
	}
	d.arrived()
}
