// SPDX-License-Identifier: MIT

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/questdb-sf/questdb_sf/testutil/qwpserver"
)

// telegrafs are lines with every type and every character that Telegraf has.
const telegrafs = `cpu,host=a\ b,path=C:\\dir,eq=x\=y,comma=p\,q usage=1.5,n=-3i,up=true,down=false,s="two \"x\" \\ y" 1700000000000000000
cpu,host=ü umlaut="größe",empty="",big=9223372036854775807i,small=-9223372036854775808i 1700000001000001000
mem u=18446744073709551615u,u1=1u,tiny=5e-324,huge=1.7976931348623157e308,whole=3 1700000002000000000
my\ table,tag\ name=v field\ name=1i,a.b=2i 1700000003000000000
text s="line one
line two	tab",r="no end\\" 1700000004000000000
old v=1i 1
`

// rowsOf are all rows of a server, as text.
func rowsOf(srv *qwpserver.Server) (list []string) {
	for _, name := range srv.Tables() {
		for _, r := range srv.Rows(name) {
			list = append(list, fmt.Sprint(name, r.Time, r.Values))
		}
	}
	slices.Sort(list)
	return list
}

func started(t testing.TB) *qwpserver.Server {
	t.Helper()
	srv, err := qwpserver.Start(qwpserver.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(srv.Close)
	return srv
}

func TestADumpFedToASecondStoreGivesEqualRows(t *testing.T) {
	one, two := started(t), started(t)
	const patient = "sender_pool_max = 2\nclose_flush_timeout = \"20s\"\ntime_out_of_range = \"keep\""
	s := newShop(t, nowhere, quick+"\ntime_out_of_range = \"keep\"")
	s.take(telegrafs + some(0, 3000))
	code, text, stderr := s.ask("dump")
	if code != exitOK || stderr != "" {
		t.Fatalf("exit %d, %q", code, stderr)
	}
	newShop(t, two.URL(), patient).take(text)
	s.sendTo(one.URL(), patient)
	s.take("")
	want, got := rowsOf(one), rowsOf(two)
	if len(want) != 3006 || !slices.Equal(want, got) {
		t.Errorf("%d rows, and %d out of the dump:\n%s\n%s", len(want), len(got), strings.Join(want[:7], "\n"), strings.Join(got[:min(len(got), 7)], "\n"))
	}
}

func TestADumpHasWhatWasAskedFor(t *testing.T) {
	srv := started(t)
	s := newShop(t, srv.URL(), "sender_pool_max = 1\nclose_flush_timeout = \"20s\"\nsf_retain_acked = \"1h\"")
	s.take(some(0, 10))
	s.sendTo(nowhere, quick+"\nsf_retain_acked = \"1h\"")
	s.take(some(10, 30) + "other x=1 1700000000000000000\n")
	for command, lines := range map[string]int{
		"dump":              21,
		"dump -state acked": 10,
		"dump -state all":   31,
		"dump -table other": 1,
		"dump -slot default-0 -state all -format json": 31,
		"dump -json": 21,
		"dump -since 2023-11-14T22:13:20.000025Z -table t":             5,
		"dump -since 2023-11-14T22:13:20Z -until 2023-11-14T22:13:21Z": 21,
		"dump -until 2023-11-14T22:13:20Z":                             0,
		"dump -from 1000":                                              0,
		"dump -to 0 -state all":                                        10,
	} {
		code, text, stderr := s.ask(command)
		if code != exitOK || strings.Count(text, "\n") != lines || stderr != "" {
			t.Errorf("%s: exit %d, %d lines instead of %d, %q\n%s", command, code, strings.Count(text, "\n"), lines, stderr, text)
		}
	}
	_, text, _ := s.ask("dump -format json -table other")
	var row map[string]any
	if err := json.Unmarshal([]byte(text), &row); err != nil || row["state"] != "pending" || row["table"] != "other" ||
		row["timestamp"] != "2023-11-14T22:13:20Z" || fmt.Sprint(row["columns"]) != "map[x:map[type:DOUBLE value:1]]" {
		t.Errorf("%v, %s", err, text)
	}
}

func TestADumpOfAWoundedStoreSaysWhatItLacks(t *testing.T) {
	s := newShop(t, nowhere, quick)
	if err := os.Mkdir(s.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if code, text, stderr := s.ask("dump"); code != exitOK || text+stderr != "" {
		t.Errorf("empty: exit %d, %q, %q", code, text, stderr)
	}
	s.take(some(0, 10))
	s.take(some(10, 30))
	s.strangers()
	_, whole, _ := s.ask("dump -slot python-0")
	s.harm(s.segment(), func(b []byte) []byte { b[60] ^= 1; return b })
	code, text, stderr := s.ask("dump")
	if code != exitFailed || text != some(10, 30)+whole || !strings.Contains(stderr, "skipped: default-0") || whole == "" {
		t.Errorf("exit %d, %.200q, %q", code, text, stderr)
	}
}

func TestADumpIsAskedForInWordsThatItKnows(t *testing.T) {
	for _, c := range []struct{ typed, says string }{
		{"-state done", "pending, acked or all"}, {"-format xml", "lp or json"}, {"-since soon", "-since"},
		{"-from -1", "numbers from 0"}, {"x", "flags only"},
	} {
		code, _, stderr := ask(append([]string{"dump", "-sf-dir", t.TempDir()}, strings.Fields(c.typed)...)...)
		if code != exitUsage || !strings.Contains(stderr, c.says) {
			t.Errorf("%s: exit %d, %q", c.typed, code, stderr)
		}
	}
}
