// SPDX-License-Identifier: MIT

package qwp_test

import (
	"bytes"
	"reflect"
	"testing"

	"github.com/questdb-sf/questdb_sf/internal/qwp"
)

// responses has each kind with its bytes.
func responses() map[string]qwp.Response {
	two := []qwp.TableTxn{{Name: "cpu", SeqTxn: 7}, {Name: "ä", SeqTxn: -1}}
	return map[string]qwp.Response{
		"00 07 00 00 00 00 00 00 00 00 00": {Status: qwp.StatusOK, Sequence: 7},
		"00 FF FF FF FF FF FF FF FF 02 00 03 00 63 70 75 07 00 00 00 00 00 00 00 02 00 C3 A4 FF FF FF FF FF FF FF FF": {Status: qwp.StatusOK, Sequence: -1, Tables: two},
		"02 01 00 03 00 63 70 75 07 00 00 00 00 00 00 00":                                                             {Status: qwp.StatusDurableAck, Tables: two[:1]},
		"02 00 00":                               {Status: qwp.StatusDurableAck},
		"03 01 00 00 00 00 00 00 00 02 00 6E 6F": {Status: qwp.StatusSchemaMismatch, Sequence: 1, Message: "no"},
		"7F 01 00 00 00 00 00 00 00 00 00":       {Status: 0x7F, Sequence: 1},
	}
}

func TestResponsesReadAndWriteTheSameBytes(t *testing.T) {
	for text, want := range responses() {
		b := bytesOf(t, text)
		got, err := qwp.ParseResponse(b)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, %v", text, got, err)
		}
		if back := want.Append(nil); !bytes.Equal(back, b) {
			t.Errorf("%s: written as % x", text, back)
		}
	}
}

func TestResponsesOfAnotherLengthAreInvalid(t *testing.T) {
	for text := range responses() {
		b := bytesOf(t, text)
		for n := range len(b) {
			if r, err := qwp.ParseResponse(b[:n]); err == nil {
				t.Errorf("%d bytes of %s read as %+v", n, text, r)
			}
		}
		if _, err := qwp.ParseResponse(append(b, 0)); err == nil {
			t.Errorf("%s: a byte more was accepted", text)
		}
	}
	for _, text := range []string{
		"02 01 00 00 00 07 00 00 00 00 00 00 00 00", // name of length 0
		"02 01 00 01 00 FF 07 00 00 00 00 00 00 00", // name not UTF-8
		"02 FF FF 01 00 61 07 00 00 00 00 00 00 00", // more tables than bytes
		"03 01 00 00 00 00 00 00 00 FF FF 6E 6F",    // longer text than there is
	} {
		if r, err := qwp.ParseResponse(bytesOf(t, text)); err == nil {
			t.Errorf("%s read as %+v", text, r)
		}
	}
}

func TestMessageOfAResponseIsMadeValidText(t *testing.T) {
	r, err := qwp.ParseResponse(bytesOf(t, "05 01 00 00 00 00 00 00 00 03 00 61 FF 62"))
	if err != nil || r.Message != "a\uFFFDb" || r.Status.String() != "PARSE_ERROR" {
		t.Fatalf("%+v, %v", r, err)
	}
}

func TestEveryStatusHasItsName(t *testing.T) {
	want := map[qwp.Status]string{0: "OK", 2: "DURABLE_ACK", 3: "SCHEMA_MISMATCH", 5: "PARSE_ERROR",
		6: "INTERNAL_ERROR", 8: "SECURITY_ERROR", 9: "WRITE_ERROR", 0x0C: "NOT_WRITABLE",
		0x0D: "DICTIONARY_GAP", 0x0B: "status 0x0b"}
	for s, name := range want {
		if s.String() != name {
			t.Errorf("%d is %s, want %s", byte(s), s, name)
		}
	}
}
