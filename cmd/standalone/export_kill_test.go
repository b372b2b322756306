// SPDX-License-Identifier: MIT

package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/questdb-sf/questdb_sf/internal/steward"
	"github.com/questdb-sf/questdb_sf/testutil/execd"
	"github.com/questdb-sf/questdb_sf/testutil/qwpserver"
)

// everything keeps each row as it came: to the nanosecond, whenever it is from.
const everything = "time_out_of_range = \"keep\"\ntimestamp_precision = \"ns\""

// killedInTheMiddle has a process store telegrafs and then rows of t until it is killed
// in the middle of that, while the server is away. It returns how many lines were promised.
func (d *depot) killedInTheMiddle() (durable int64) {
	d.t.Helper()
	d.srv.Stop()
	conf, err := os.ReadFile(d.conf)
	d.must(err)
	p, err := execd.Start(string(conf))
	d.must(err)
	defer p.Close()
	_, err = io.WriteString(p.Stdin, telegrafs)
	d.must(err)
	promised := int64(strings.Count(telegrafs, "\n") - 1) // one of them goes over two lines
	d.must(p.WaitDurable(d.t.Context(), promised))
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		for id := 0; ; id++ { // until the other end is gone
			if _, err := fmt.Fprintf(p.Stdin, "t,host=h%d id=%di,fill=\"%s\" %d\n", id%7, id, strings.Repeat("x", 100), 1700000000000000001+int64(id)*1000); err != nil {
				return
			}
		}
	}()
	d.must(p.WaitDurable(d.t.Context(), promised+3000))
	d.must(p.Kill())
	<-stopped
	p.Close() // all that it reported is read
	d.must(d.srv.Restart())
	return p.Durable() - promised
}

// has fails unless a server has what killedInTheMiddle stored: of t as many rows as were
// promised or more, without a gap, and each once; of the rest all.
func (d *depot) has(srv *qwpserver.Server, durable int64) {
	d.t.Helper()
	var ids []int64
	for _, r := range srv.Rows("t") {
		ids = append(ids, r.Values["id"].(int64))
		if r.Time != 1700000000000000001+ids[len(ids)-1]*1000 {
			d.t.Fatalf("row %v at %d", r.Values, r.Time)
		}
	}
	slices.Sort(ids)
	if int64(len(ids)) < durable || len(ids) == 0 || ids[len(ids)-1] != int64(len(ids)-1) || len(slices.Compact(ids)) != len(ids) {
		d.t.Errorf("%d rows, %d were promised", len(ids), durable)
	}
	straight := started(d.t)
	newShop(d.t, straight.URL(), "close_flush_timeout = \"20s\"\n"+everything).take(telegrafs)
	rest := func(srv *qwpserver.Server) []string {
		return slices.DeleteFunc(rowsOf(srv), func(row string) bool { return strings.HasPrefix(row, "t1") })
	}
	if want, got := rest(straight), rest(srv); len(want) < 6 || !slices.Equal(want, got) {
		d.t.Errorf("%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// What was promised before SIGKILL travels to another machine, whole and once.
func TestWhatAKilledAgentLeftIsCarriedToAnotherMachine(t *testing.T) {
	t.Parallel()
	d := newDepot(t)
	d.conf = d.config(everything)
	durable := d.killedInTheMiddle()
	file, there := filepath.Join(t.TempDir(), "a.qsf"), *d
	there.dir = filepath.Join(t.TempDir(), "sf")
	d.must(os.Mkdir(there.dir, 0o750))
	slots, err := filepath.Glob(d.path("default-*"))
	d.must(err)
	rows := int64(0)
	for i, slot := range slots {
		one := fmt.Sprint(file, i)
		r := tell[steward.Exported](t, exitOK, "export", "-sf-dir", d.dir, "-slot", filepath.Base(slot), one)
		if rows += r.Rows; r.File != "" {
			tell[steward.Imported](t, exitOK, "import", "-sf-dir", there.dir, one)
		}
	}
	t.Logf("%d rows were promised, %d travel in %d slots", durable, rows, len(slots))
	if r := tell[drained](t, exitOK, "drain", "-config", there.config(everything)); r.Sent != rows {
		t.Fatalf("%+v, exported %d", r, rows)
	}
	d.has(d.srv, durable)
}

func TestADumpOfWhatAKilledAgentLeftGivesEqualRows(t *testing.T) {
	t.Parallel()
	d := newDepot(t)
	d.conf = d.config(everything)
	durable := d.killedInTheMiddle()
	code, text, stderr := ask("dump", "-config", d.conf)
	if code != exitOK || stderr != "" {
		t.Fatalf("exit %d, %q", code, stderr)
	}
	two := started(t)
	newShop(t, two.URL(), "close_flush_timeout = \"20s\"\n"+everything).take(text)
	d.has(two, durable)
}
