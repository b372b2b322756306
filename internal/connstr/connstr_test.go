// SPDX-License-Identifier: MIT

package connstr_test

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/connstr"
)

func TestParseReadsPairsInTheirOrder(t *testing.T) {
	for _, c := range []struct {
		in     string
		schema string
		want   []connstr.Pair
	}{
		{"ws::", "ws", nil},
		{"ws::a=1", "ws", []connstr.Pair{{"a", "1", 4}}},
		{"ws::a=1;", "ws", []connstr.Pair{{"a", "1", 4}}},
		{"qwpwss::a=1;b_2=x=y==;a=3;", "qwpwss", []connstr.Pair{{"a", "1", 8}, {"b_2", "x=y==", 12}, {"a", "3", 22}}},
		{"ws::a=x;;y;b=2", "ws", []connstr.Pair{{"a", "x;y", 4}, {"b", "2", 11}}},
		{"ws::a=;;;b=2", "ws", []connstr.Pair{{"a", ";", 4}, {"b", "2", 9}}},
		{"ws::a=x;;", "ws", []connstr.Pair{{"a", "x;", 4}}},
		{"ws::a=x;;;;y;;;", "ws", []connstr.Pair{{"a", "x;;y;", 4}}},
		{"ws::a= ü ::;A=2", "ws", []connstr.Pair{{"a", " ü ::", 4}, {"A", "2", 13}}},
		{"::a=1", "", []connstr.Pair{{"a", "1", 2}}},
	} {
		schema, pairs, err := connstr.Parse(c.in)
		if err != nil || schema != c.schema || !slices.Equal(pairs, c.want) {
			t.Errorf("%s: %q %v, %v", c.in, schema, pairs, err)
		}
	}
}

func TestParseNamesThePositionOfWhatItRefuses(t *testing.T) {
	for in, want := range map[string]string{
		"":                      "no schema",
		"addr=h:9000":           "no schema",
		"a=b::c=d":              "no schema",
		"ws:addr=h":             "no schema",
		"ws::a":                 "no '=' behind the key at byte 4",
		"ws::a=1;b;c=2":         "no '=' behind the key at byte 8",
		"ws::a=1;;;;":           "", // "1;;"
		"ws::a=1; b=2":          "byte 8 cannot be in a key",
		"ws::a=1;b-c=2":         "byte 9 cannot be in a key",
		"ws::=1":                "no key before the '=' at byte 4",
		"ws::;":                 "no '=' behind the key at byte 4",
		"ws::a=":                "no value for the key at byte 4",
		"ws::a=;b=2":            "no value for the key at byte 4",
		"ws::a=x\ty":            "byte 7 is a control character",
		"ws::a=x\x00":           "byte 7 is a control character",
		"ws::a=x;;\x7f":         "byte 9 is a control character",
		"ws::a=\u0085":          "byte 6 is a control character",
		"ws::a=1;b=\xff;c\n=2":  "byte 13 cannot be in a key",
		"ws::a=1;\xffb=secret;": "byte 8 cannot be in a key",
	} {
		_, _, err := connstr.Parse(in)
		if want == "" && err == nil {
			continue
		}
		if err == nil || want == "" || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", in, err, want)
		}
	}
}

func TestSizesArePowersOf1024AndDoNotOverflow(t *testing.T) {
	const bad = -1
	for in, want := range map[string]int64{
		"0": 0, "7": 7, "064": 64, "1k": 1 << 10, "1KB": 1 << 10, "3m": 3 << 20, "3Mb": 3 << 20, "2g": 2 << 30, "2gB": 2 << 30,
		"1t": 1 << 40, "1TB": 1 << 40, "8388607t": 8388607 << 40, "9223372036854775807": math.MaxInt64,
		"8388608t": bad, "9223372036854775808": bad, "99999999999999999999k": bad, "-1": bad, "+1": bad, "1b": bad,
		"k": bad, "": bad, "1kk": bad, "1 k": bad, "1.5g": bad, "0x10": bad, "1_000": bad, "1kib": bad, "1p": bad,
	} {
		got, err := connstr.Size(0)(in)
		if (want == bad) != (err != nil) || err == nil && got != want {
			t.Errorf("%q: %d, %v", in, got, err)
		}
	}
	if _, err := connstr.Size(2)("1"); err == nil {
		t.Error("1 is not at least 2")
	}
}

func TestNumbersHaveBounds(t *testing.T) {
	for in, ok := range map[string]bool{"0": true, "-1": false, "2147483647": true, "2147483648": false, "": false, "1k": false, "1.0": false} {
		if n, err := connstr.Int(0)(in); (err == nil) != ok {
			t.Errorf("int %q: %d, %v", in, n, err)
		}
	}
	for in, ok := range map[string]bool{"1": true, "0": false, "9223372036854775807": false, "99999999999999999999": false, "5s": false, "2305843009213": true} {
		if d, err := connstr.Millis(1)(in); (err == nil) != ok || d < 0 {
			t.Errorf("millis %q: %s, %v", in, d, err)
		}
	}
	if d, err := connstr.AnyMillis("-1500"); err != nil || d != -1500*time.Millisecond {
		t.Errorf("%s, %v", d, err)
	}
	if n, err := connstr.OrOff(connstr.Int(1))("off"); err != nil || n != 0 {
		t.Errorf("%d, %v", n, err)
	}
	if _, err := connstr.OrOff(connstr.Int(1))("of"); err == nil || !strings.Contains(err.Error(), "or off") {
		t.Error(err)
	}
}

func TestWordsAreTakenAsWritten(t *testing.T) {
	for in, want := range map[string]bool{"on": true, "true": true, "off": false, "false": false} {
		if got, err := connstr.Bool(in); err != nil || got != want {
			t.Errorf("%s: %t, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "ON", "1", "yes"} {
		if _, err := connstr.Bool(in); err == nil {
			t.Errorf("%q passed", in)
		}
	}
	if _, err := connstr.OneOf("a", "b")("c"); err == nil || err.Error() != "want one of a, b" {
		t.Error(err)
	}
}

func TestAddrsAreBroughtIntoOneSpelling(t *testing.T) {
	for in, want := range map[string]string{
		"h":                          "h:9000",
		"h:1":                        "h:1",
		"Db-1.Example_x.com:065":     "db-1.example_x.com:65",
		"h1,h2:2,10.0.0.1":           "h1:9000 h2:2 10.0.0.1:9000",
		"::1":                        "[::1]:9000",
		"2001:DB8:0:0::1":            "[2001:db8::1]:9000",
		"[::1]":                      "[::1]:9000",
		"[::1]:1,h":                  "[::1]:1 h:9000",
		"fe80::1%eth0,[fe80::1%1]:2": "[fe80::1%eth0]:9000 [fe80::1%1]:2",
		"bücher.example":             "bücher.example:9000",
	} {
		got, err := connstr.Addrs(in, "9000")
		if err != nil || strings.Join(got, " ") != want {
			t.Errorf("%s: %v, %v", in, got, err)
		}
	}
}

func TestAddrsThatCannotBeAreRefused(t *testing.T) {
	for in, want := range map[string]string{
		"":                  "address 1: the host is missing",
		"h,":                "address 2: the host is missing",
		"a,,b":              "address 2: the host is missing",
		":9000":             "the host is missing",
		"h:":                "no port",
		"h:0":               "port must be",
		"h:65536":           "port must be",
		"h:+1":              "port must be",
		"h:http":            "port must be",
		"http://h":          "looks like a URL",
		"http://h:9000":     "looks like a URL",
		"h/path":            "looks like a URL",
		"h1, h2":            "address 2: a character",
		"a:b@h":             "credentials",
		"h:1:2":             "not an IPv6 address",
		"[::1":              "write IPv6",
		"[::1]9000":         "write IPv6",
		"[::1]:":            "write IPv6",
		"[1.2.3.4]:1":       "not an IPv6 address",
		"[h]:1":             "not an IPv6 address",
		"[::1%a=b]:1":       "not an IPv6 address",
		"h\xff":             "no host name",
		"[::1]:70000":       "port must be",
		"2001:db8::1%a/b@x": "credentials",
	} {
		got, err := connstr.Addrs(in, "9000")
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, %v, want %s", in, got, err, want)
		}
	}
}

func TestNearestFindsASlipOfTheHand(t *testing.T) {
	keys := []string{"addr", "sf_dir", "sender_pool_min", "sender_pool_max", "token", "zone"}
	for in, want := range map[string]string{
		"adr": "addr", "ADDR": "addr", "sf_dri": "sf_dir", "sf-dir": "sf_dir", "senderpoolmax": "sender_pool_max",
		"sender_pool_mix": "sender_pool_min", "tokens": "token", "colour": "", "x": "", "": "", "sf_directory": "",
		strings.Repeat("a", 1<<20): "",
	} {
		if got := connstr.Nearest(in, keys); got != want {
			t.Errorf("%.20s: %q, want %q", in, got, want)
		}
	}
}

func TestNameCutsWhatNobodyMeant(t *testing.T) {
	if got := connstr.Name(strings.Repeat("k", 100)); got != strings.Repeat("k", 60)+"..." {
		t.Error(got)
	}
	if got := connstr.Name("sf_dir"); got != "sf_dir" {
		t.Error(got)
	}
}
