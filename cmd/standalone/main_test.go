// SPDX-License-Identifier: MIT

package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/questdb-sf/questdb_sf/testutil/qwpserver"
)

// result is what one run of the binary left behind.
type result struct {
	code           int
	stdout, stderr string
	rows           []qwpserver.Row // of table t
}

// feed runs the binary's main road in this process with input on stdin.
func feed(t *testing.T, input io.Reader) result {
	t.Helper()
	srv, err := qwpserver.Start(qwpserver.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer srv.Close()
	var stdout, stderr bytes.Buffer
	code := run([]string{"-config", writeConfig(t, srv.URL(), "")}, input, &stdout, &stderr)
	return result{code, stdout.String(), stderr.String(), srv.Rows("t")}
}

func writeConfig(t *testing.T, url, more string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "questdb_sf.conf")
	text := fmt.Sprintf("[[outputs.questdb_sf]]\nurls = [%q]\nsf_dir = %q\nclose_flush_timeout = \"20s\"\n%s\n",
		url, filepath.Join(t.TempDir(), "sf"), more)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// ids returns the values of field id in order of arrival.
func ids(rows []qwpserver.Row) string {
	var got []string
	for _, r := range rows {
		got = append(got, fmt.Sprint(r.Values["id"]))
	}
	return strings.Join(got, " ")
}

func TestLinesArriveWithTheirValues(t *testing.T) {
	r := feed(t, strings.NewReader(
		"# a comment\n\n"+
			"t,host=a\\ b,path=C:\\dir id=1i,f=1.5,up=true,s=\"two\nlines \\\"x\\\"\" 1700000000000000000\n"+
			"t id=2i,u=18446744073709551615u 1700000001000000000\r\n"))
	if r.code != exitOK || r.stderr != "" {
		t.Errorf("exit %d, stderr %q", r.code, r.stderr)
	}
	if len(r.rows) != 2 {
		t.Fatalf("rows %v", r.rows)
	}
	want := map[string]any{"host": qwpserver.Symbol("a b"), "path": qwpserver.Symbol(`C:\dir`), "id": int64(1), "f": 1.5,
		"up": true, "s": "two\nlines \"x\""}
	if fmt.Sprint(r.rows[0].Values) != fmt.Sprint(want) || r.rows[0].Time != 1700000000000000000 {
		t.Errorf("row %v at %d", r.rows[0].Values, r.rows[0].Time)
	}
	if r.rows[1].Values["u"] != int64(1<<63-1) {
		t.Errorf("row %v", r.rows[1].Values)
	}
}

func TestABadLineIsSaidAndItsNeighboursArrive(t *testing.T) {
	long := "t id=2i,s=\"" + strings.Repeat("x", 20<<20) + "\" 1700000000000000001\n"
	cases := map[string]struct{ line, says string }{
		"20 MB":         {long, "longer than 16 MiB"},
		"no fields":     {"t,host=a 1700000000000000001\n", "field"},
		"invalid UTF-8": {"t id=2i,s=\"\xff\xfe\" 1700000000000000001\n", "invalid utf-8"},
		"not a number":  {"t id=2x 1700000000000000001\n", "line=2"},
		"out of range":  {"t id=99999999999999999999i 1700000000000000001\n", "out of range"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			r := feed(t, strings.NewReader("t id=1i 1700000000000000000\n"+c.line+"t id=3i 1700000000000000002\n"))
			if r.code != exitOK || ids(r.rows) != "1 3" {
				t.Errorf("exit %d, rows %s", r.code, ids(r.rows))
			}
			if strings.Count(r.stderr, "\n") != 1 || !strings.Contains(r.stderr, c.says) || !strings.Contains(r.stderr, "last_line=2") {
				t.Errorf("stderr %q does not say %q once", r.stderr, c.says)
			}
		})
	}
}

func TestATornLastLineIsDroppedWhereverItIsCut(t *testing.T) {
	whole := "t,host=a id=2i,s=\"x y\" 1700000000000000001"
	for cut := 1; cut <= len(whole); cut++ {
		r := feed(t, strings.NewReader("t id=1i 1700000000000000000\n"+whole[:cut]))
		if r.code != exitOK || ids(r.rows) != "1" || !strings.Contains(r.stderr, "cut off") {
			t.Fatalf("cut at %d (%q): exit %d, rows %s, stderr %q", cut, whole[:cut], r.code, ids(r.rows), r.stderr)
		}
	}
}

func TestARowThatCanNeverBeStoredIsADeadLetter(t *testing.T) {
	input := strings.NewReader("t id=1i 1700000000000000000\nt,host=old id=2i -5\nt id=3i 1700000000000000000\n")
	r := feed(t, input)
	if r.code != exitOK || ids(r.rows) != "1 3" || !strings.Contains(r.stderr, "rows=1") {
		t.Errorf("exit %d, rows %s, stderr %q", r.code, ids(r.rows), r.stderr)
	}
	_, path, _ := strings.Cut(strings.TrimSpace(r.stderr), "file=")
	letters, err := os.ReadFile(path)
	if err != nil || !strings.Contains(string(letters), "t,host=old id=2i -1000\n") || !strings.Contains(string(letters), "1969") {
		t.Errorf("letters %q, %v", letters, err)
	}
}

func TestALineWithoutTimeGetsThatOfItsArrival(t *testing.T) {
	before := time.Now().Add(-time.Second).UnixNano()
	r := feed(t, strings.NewReader("t id=1i\nt id=2i\n"))
	if r.code != exitOK || ids(r.rows) != "1 2" || strings.Count(r.stderr, "\n") != 1 {
		t.Fatalf("exit %d, rows %s, stderr %q", r.code, ids(r.rows), r.stderr)
	}
	if at := r.rows[0].Time; at < before || at > time.Now().UnixNano() {
		t.Errorf("time %d", at)
	}
}

func TestAStreamLargerThanTheStoreFlowsThroughIt(t *testing.T) {
	srv, err := qwpserver.Start(qwpserver.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer srv.Close()
	var input, stdout, stderr bytes.Buffer
	const lines = 30_000
	for i := range lines {
		fmt.Fprintf(&input, "t,host=h%d id=%di,text=\"some text that makes the line longer\" %d\n", i%50, i, 1700000000000000000+int64(i))
	}
	file := writeConfig(t, srv.URL(), "sf_max_segment_bytes = \"64KiB\"\nsf_max_total_bytes = \"128KiB\"\nsender_pool_max = 1\nsf_full = \"block\"")
	if code := run([]string{"-config", file}, &input, &stdout, &stderr); code != exitOK || srv.Total() != lines {
		t.Errorf("exit %d, %d of %d rows, stderr %q", code, srv.Total(), lines, stderr.String())
	}
}

func TestAWrongConfigurationIsOneClearLine(t *testing.T) {
	cases := map[string]struct{ file, says string }{
		"unknown option": {writeConfig(t, "http://127.0.0.1:9000", "sf_dirr = \"x\""), "sf_dirr"},
		"wrong scheme":   {writeConfig(t, "ftp://127.0.0.1:9000", ""), "ftp"},
		"no such file":   {"/does/not/exist.conf", "/does/not/exist.conf"},
		"bad durability": {writeConfig(t, "http://127.0.0.1:9000", "sf_durability = \"often\""), "sf_durability"},
		"filter":         {writeConfig(t, "http://127.0.0.1:9000", "namepass = [\"cpu\"]"), "outputs.execd"},
		"negative time":  {writeConfig(t, "http://127.0.0.1:9000", "sf_sync_interval = \"-1s\""), "sf_sync_interval"},
		"bad sender_id":  {writeConfig(t, "http://127.0.0.1:9000", "sender_id = \"a/b\""), "sender_id"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			code := run([]string{"-config", c.file}, strings.NewReader(""), &stdout, &stderr)
			if code != exitUsage || !strings.Contains(stderr.String(), c.says) || strings.Count(stderr.String(), "\n") != 1 {
				t.Errorf("exit %d, stderr %q", code, stderr.String())
			}
		})
	}
}

func TestTheVersionIsOneLineOnStdout(t *testing.T) {
	var stdout, stderr bytes.Buffer
	if code := run([]string{"-version"}, nil, &stdout, &stderr); code != exitOK || stdout.String() != "questdb_sf dev\n" || stderr.Len() > 0 {
		t.Errorf("exit %d, stdout %q, stderr %q", code, stdout.String(), stderr.String())
	}
}

func TestACheckOfTheConfigurationReadsAndTouchesNothing(t *testing.T) {
	file := writeConfig(t, "http://127.0.0.1:9000", "")
	input := strings.NewReader("t id=1i 1700000000000000000\n")
	var stdout, stderr bytes.Buffer
	code := run([]string{"-config", file, "-check"}, input, &stdout, &stderr)
	if code != exitOK || !strings.Contains(stdout.String(), "is valid") || stderr.Len() > 0 {
		t.Errorf("exit %d, stdout %q, stderr %q", code, stdout.String(), stderr.String())
	}
	if input.Len() != int(input.Size()) {
		t.Error("stdin was read")
	}
	for _, dir := range sfDirs(t, file) {
		if _, err := os.Stat(dir); err == nil {
			t.Errorf("%s was made", dir)
		}
	}
	if code := run([]string{"-config", writeConfig(t, "ftp://x", ""), "-check"}, nil, &stdout, &stderr); code != exitUsage {
		t.Errorf("exit %d of a wrong one", code)
	}
}

// sfDirs returns what a configuration calls sf_dir.
func sfDirs(t testing.TB, file string) (dirs []string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if dir, ok := strings.CutPrefix(strings.TrimSpace(line), "sf_dir = "); ok {
			dirs = append(dirs, strings.Trim(dir, `"`))
		}
	}
	if len(dirs) == 0 {
		t.Fatal("no sf_dir in the configuration")
	}
	return dirs
}

func TestWrongFlagsShowTheUsage(t *testing.T) {
	var stdout, stderr bytes.Buffer
	if code := run([]string{"-no-such-flag"}, nil, &stdout, &stderr); code != exitUsage {
		t.Errorf("exit %d", code)
	}
	if !strings.Contains(stderr.String(), "usage: questdb_sf -config FILE") {
		t.Errorf("stderr %q", stderr.String())
	}
	if code := run([]string{"-cofnig", "x"}, nil, &stdout, &stderr); code != exitUsage || !strings.Contains(stderr.String(), "did you mean -config?") {
		t.Errorf("exit %d, stderr %q", code, stderr.String())
	}
}
