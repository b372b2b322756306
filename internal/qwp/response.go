// SPDX-License-Identifier: MIT

package qwp

import (
	"encoding/binary"
	"fmt"
	"math"
	"strings"
	"unicode/utf8"
)

// Status is the first byte of a response (QWP ingress specification, "Status
// codes"). Codes that are not listed here parse as errors.
type Status byte

// The status codes a server sends to an ingress client.
const (
	StatusOK             Status = 0x00
	StatusDurableAck     Status = 0x02
	StatusSchemaMismatch Status = 0x03
	StatusParseError     Status = 0x05
	StatusInternalError  Status = 0x06
	StatusSecurityError  Status = 0x08
	StatusWriteError     Status = 0x09
	StatusNotWritable    Status = 0x0C
	StatusDictionaryGap  Status = 0x0D
)

// String returns the name the specification uses.
func (s Status) String() string {
	switch s {
	case StatusOK:
		return "OK"
	case StatusDurableAck:
		return "DURABLE_ACK"
	case StatusSchemaMismatch:
		return "SCHEMA_MISMATCH"
	case StatusParseError:
		return "PARSE_ERROR"
	case StatusInternalError:
		return "INTERNAL_ERROR"
	case StatusSecurityError:
		return "SECURITY_ERROR"
	case StatusWriteError:
		return "WRITE_ERROR"
	case StatusNotWritable:
		return "NOT_WRITABLE"
	case StatusDictionaryGap:
		return "DICTIONARY_GAP"
	}
	return fmt.Sprintf("status 0x%02x", byte(s))
}

// TableTxn is the sequencer transaction a table has reached.
type TableTxn struct {
	Name   string
	SeqTxn int64
}

// Response is one message of the server.
type Response struct {
	Status   Status
	Sequence int64      // of the request; a DURABLE_ACK has none
	Message  string     // of an error
	Tables   []TableTxn // of OK and DURABLE_ACK
}

// A table entry is a name length, at least one byte of name, and a transaction.
const minTxnBytes = 2 + 1 + 8

// ParseResponse reads one response. Every length must match: what is left over
// makes the response as invalid as what is missing, a *FormatError.
func ParseResponse(b []byte) (Response, error) {
	r := reader{buf: b}
	p := Response{Status: Status(r.byte())}
	if p.Status != StatusDurableAck {
		p.Sequence = int64(r.uint64())
	}
	if p.Status == StatusOK || p.Status == StatusDurableAck {
		p.Tables = r.tableTxns()
	} else {
		p.Message = strings.ToValidUTF8(string(r.take(int(r.uint16()), "error message")), "\uFFFD")
	}
	r.end("response")
	if r.err != nil {
		return Response{}, r.err
	}
	return p, nil
}

func (r *reader) tableTxns() []TableTxn {
	n := int(r.uint16())
	if n == 0 || !r.need(n*minTxnBytes, "table entries") {
		return nil
	}
	list := make([]TableTxn, 0, n)
	for range n {
		at := r.pos
		name := r.take(int(r.uint16()), "table name")
		txn := int64(r.uint64())
		if len(name) == 0 || !utf8.Valid(name) {
			r.fail(at, "table name of a response is empty or not UTF-8")
		}
		if r.err != nil {
			return nil
		}
		list = append(list, TableTxn{string(name), txn})
	}
	return list
}

// Append encodes the response behind dst. A message longer than its length field
// can say is cut.
func (r *Response) Append(dst []byte) []byte {
	dst = append(dst, byte(r.Status))
	if r.Status != StatusDurableAck {
		dst = binary.LittleEndian.AppendUint64(dst, uint64(r.Sequence))
	}
	if r.Status != StatusOK && r.Status != StatusDurableAck {
		return appendText16(dst, r.Message)
	}
	dst = binary.LittleEndian.AppendUint16(dst, uint16(len(r.Tables)))
	for _, t := range r.Tables {
		dst = appendText16(dst, t.Name)
		dst = binary.LittleEndian.AppendUint64(dst, uint64(t.SeqTxn))
	}
	return dst
}

func appendText16(dst []byte, s string) []byte {
	s = s[:min(len(s), math.MaxUint16)]
	dst = binary.LittleEndian.AppendUint16(dst, uint16(len(s)))
	return append(dst, s...)
}
