// SPDX-License-Identifier: MIT

package gen

import "strconv"

type kind uint8

const (
	isInt kind = iota + 1
	isFloat
	isBool
	isText
)

type field struct {
	name     string
	kind     kind
	optional bool
}

// tables are like those of Telegraf's inputs, with a kind of value each that
// the others lack.
var tables = [...]struct {
	name   string
	tags   []string
	fields []field
}{
	{"cpu", []string{"host", "region", "rack", "os", "cpu"}, []field{
		{"usage_user", isFloat, false}, {"usage_system", isFloat, false}, {"usage_idle", isFloat, true},
	}},
	{"mem", []string{"host", "region", "rack", "os", "team"}, []field{
		{"used", isInt, false}, {"available", isInt, false}, {"used_percent", isFloat, false}, {"swapping", isBool, false},
	}},
	{"disk", []string{"host", "region", "rack", "os", "team", "device", "path"}, []field{
		{"used", isInt, false}, {"inodes_free", isInt, true}, {"used_percent", isFloat, false}, {"readonly", isBool, false},
	}},
	{"net", []string{"host", "region", "rack", "os", "interface", "team"}, []field{
		{"bytes_sent", isInt, false}, {"bytes_recv", isInt, false}, {"drop_in", isInt, true},
	}},
	{"diskio", []string{"host", "region", "rack", "os", "team", "device"}, []field{
		{"reads", isInt, false}, {"io_await", isFloat, true}, {"model", isText, true},
	}},
	{"http_response", []string{"host", "region", "rack", "os", "team", "server", "method", "result"}, []field{
		{"response_time", isFloat, false}, {"status_code", isInt, true}, {"match", isBool, false}, {"message", isText, false},
	}},
}

// tagValues hold what has to be escaped in line protocol, but no backslash:
// QuestDB swallows a single one of a tag.
var tagValues = map[string][]string{
	"region":    {"eu-west-1", "us-east-1", "São Paulo", "asia, south"},
	"rack":      {"r1", "r2", "r3", "r4", "r5", "r6", "r7"},
	"os":        {"Debian GNU/Linux 12", "FreeBSD"},
	"cpu":       {"cpu0", "cpu1", "cpu-total"},
	"team":      {"storage", "web=front", "日本"},
	"device":    {"sda", "nvme0n1p2"},
	"path":      {"/", "/var/lib/my data", "/home"},
	"interface": {"eth0", "br-6f2a", "lo"},
	"server":    {"https://example.org/a?b=c,d", "http://10.0.0.1:8080"},
	"method":    {"GET", "POST"},
	"result":    {"success", "timeout", "response_string_mismatch"},
}

var texts = [...]string{"ok", "", `say "hi"`, `C:\Users\x`, "tab\tand ünïcode 🙂", "a=b, c=d"}

// appendTag escapes what separates the parts of a line.
func appendTag(dst []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c == ' ' || c == ',' || c == '=' {
			dst = append(dst, '\\')
		}
		dst = append(dst, s[i])
	}
	return dst
}

func appendValue(dst []byte, v any) []byte {
	switch v := v.(type) {
	case int64:
		return append(strconv.AppendInt(dst, v, 10), 'i')
	case float64:
		return strconv.AppendFloat(dst, v, 'g', -1, 64)
	case bool:
		return strconv.AppendBool(dst, v)
	case string:
		return appendText(dst, v)
	}
	return dst
}

func appendText(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for i := range len(s) {
		if s[i] == '"' || s[i] == '\\' {
			dst = append(dst, '\\')
		}
		dst = append(dst, s[i])
	}
	return append(dst, '"')
}
