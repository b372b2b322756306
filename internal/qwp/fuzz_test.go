// SPDX-License-Identifier: MIT

package qwp_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/questdb-sf/questdb_sf/internal/qwp"
)

var update = flag.Bool("update", false, "write the seeds of the fuzz tests")

// fuzzCells bounds the work on one input: a few bytes can claim many rows.
const fuzzCells = 20_000

// parseSeeds are valid messages of every type, the examples, and pieces of them.
func parseSeeds(tb testing.TB) map[string][]byte {
	seeds := map[string][]byte{
		"example":  bytesOf(tb, exampleHex),
		"catch-up": bytesOf(tb, "51 57 50 31 01 09 00 00 06 00 00 00 00 02 01 41 01 42"),
		"commit":   bytesOf(tb, "51 57 50 31 01 08 00 00 02 00 00 00 02 00"),
		"connection": rawMessage(0x0C, delta(3, "D"), rawBlock{"t", 2, []col{
			{"s", qwp.TypeSymbol, []byte{0, 3, 1}}}}),
		"conflict": build(tb, row("t", func(r *qwp.Row) { r.Long("x", 1) }), row("t", func(r *qwp.Row) { r.Double("x", 1) })),
		"steady":   build(tb, steadyRows(12)...),
	}
	for _, c := range typeCases() {
		msg := c.message()
		name := strings.ReplaceAll(c.name, " ", "-")
		seeds[name] = msg
		seeds[name+"-cut"] = msg[:len(msg)-len(c.data)/2-1]
	}
	return seeds
}

func responseSeeds(tb testing.TB) map[string][]byte {
	seeds := map[string][]byte{"bad-text": bytesOf(tb, "05 01 00 00 00 00 00 00 00 01 00 FF")}
	for text, r := range responses() {
		b := bytesOf(tb, text)
		name := fmt.Sprintf("%v-%d", r.Status, len(b))
		seeds[name] = b
		seeds[name+"-cut"] = b[:len(b)/2]
	}
	return seeds
}

// The seeds are files, so that whoever fuzzes finds them; -update writes them.
func TestSeedsOfTheFuzzTestsAreCurrent(t *testing.T) {
	for target, seeds := range map[string]map[string][]byte{
		"FuzzParse": parseSeeds(t), "FuzzResponse": responseSeeds(t),
	} {
		dir := filepath.Join("testdata", "fuzz", target)
		if *update {
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		for name, seed := range seeds {
			file := filepath.Join(dir, strings.ReplaceAll(name, " ", "-"))
			want := fmt.Appendf(nil, "go test fuzz v1\n[]byte(%q)\n", seed)
			if *update {
				if err := os.WriteFile(file, want, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if got, err := os.ReadFile(file); err != nil || !slices.Equal(got, want) {
				t.Errorf("%s is not current, run go test -update: %v", file, err)
			}
		}
	}
}

func fuzzDict(tb testing.TB) *qwp.Dict {
	d := new(qwp.Dict)
	for _, s := range []string{"A", "B", "C"} {
		if err := d.Append([]byte(s)); err != nil {
			tb.Fatal(err)
		}
	}
	return d
}

// FuzzParse: no bytes panic; what parses keeps its rows through AppendPart and
// ConnDict, as a whole and in pieces.
func FuzzParse(f *testing.F) {
	f.Fuzz(func(t *testing.T, msg []byte) {
		for _, dict := range []*qwp.Dict{nil, fuzzDict(t)} {
			v := new(qwp.View)
			if err := v.Parse(msg, dict); err != nil {
				checkError(t, err, len(msg))
				continue
			}
			if cells(v) <= fuzzCells {
				checkRewritten(t, v)
			}
		}
	})
}

func checkError(t *testing.T, err error, size int) {
	var format *qwp.FormatError
	switch {
	case errors.As(err, &format):
		if format.Offset < 0 || format.Offset > size || format.Reason == "" {
			t.Fatalf("offset is not inside %d bytes: %v", size, err)
		}
	case !errors.Is(err, qwp.ErrDictGap):
		t.Fatalf("unexpected %v", err)
	}
}

func cells(v *qwp.View) int {
	n := 0
	for _, k := range v.Tables() {
		n += k.Rows * len(k.Columns)
	}
	return n
}

func checkRewritten(t *testing.T, v *qwp.View) {
	want := contents(v)
	frame := parse(t, v.AppendPart(nil, qwp.WholeMessage), nil)
	sameRows(t, "AppendPart", contents(frame), want)
	in, out := v.Info(), frame.Info()
	if in.Tables = out.Tables; in != out { // blocks without rows are not written
		t.Fatalf("frame has %+v, message %+v", out, in)
	}
	var send qwp.ConnDict
	var receive qwp.Dict
	for range 2 {
		sameRows(t, "ConnDict", contents(parse(t, send.AppendMessage(nil, v, qwp.WholeMessage), &receive)), want)
	}
	parts := v.Split(nil, qwp.WholeMessage)
	for i := 0; i < len(parts) && len(parts) < 64; {
		if halves := v.Split(nil, parts[i]); len(halves) > 0 {
			parts = slices.Replace(parts, i, i+1, halves...)
		} else {
			i++
		}
	}
	var got []string
	for _, p := range parts {
		got = append(got, contents(parse(t, v.AppendPart(nil, p), nil))...)
	}
	if len(parts) > 0 {
		slices.Sort(got)
		sameRows(t, "parts", got, want)
	}
}

// FuzzResponse: no bytes panic; what parses is written as it was read.
func FuzzResponse(f *testing.F) {
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := qwp.ParseResponse(b)
		if err != nil {
			checkError(t, err, len(b))
			return
		}
		back := r.Append(nil)
		again, err := qwp.ParseResponse(back)
		if len(r.Message) > 1<<16-1 {
			return // replaced bytes made it too long
		}
		if err != nil || !reflect.DeepEqual(again, r) {
			t.Fatalf("%+v became %+v, %v", r, again, err)
		}
		if !strings.Contains(r.Message, "\uFFFD") && !slices.Equal(back, b) {
			t.Fatalf("%x became %x", b, back)
		}
	})
}
