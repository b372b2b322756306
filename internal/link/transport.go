// SPDX-License-Identifier: MIT

package link

import "fmt"

// Transport is the way rows take to the server. Zero is no transport.
type Transport uint8

// The transports. Auto asks the server for QWP and settles for ILP.
const (
	Auto Transport = iota + 1
	QWP
	ILP
)

var transportNames = [...]string{Auto: "auto", QWP: "qwp", ILP: "ilp"}

// String returns the name that ParseTransport reads.
func (t Transport) String() string {
	if t >= Auto && int(t) < len(transportNames) {
		return transportNames[t]
	}
	return fmt.Sprintf("transport %d", uint8(t))
}

// ParseTransport reads auto, qwp or ilp.
func ParseTransport(s string) (Transport, error) {
	for t := Auto; t <= ILP; t++ {
		if transportNames[t] == s {
			return t, nil
		}
	}
	return 0, fmt.Errorf("transport %q is unknown: use auto, qwp or ilp", s)
}

// Compression says whether the bodies of ILP requests are compressed. QWP
// messages never are: the protocol has no compression towards the server. Zero
// is no compression setting.
type Compression uint8

// The compression settings. CompressionAuto is gzip, except to a loopback host.
const (
	CompressionAuto Compression = iota + 1
	CompressionGzip
	CompressionNone
)

var compressionNames = [...]string{
	CompressionAuto: "auto", CompressionGzip: "gzip", CompressionNone: "none",
}

// String returns the name that ParseCompression reads.
func (c Compression) String() string {
	if c >= CompressionAuto && int(c) < len(compressionNames) {
		return compressionNames[c]
	}
	return fmt.Sprintf("compression %d", uint8(c))
}

// ParseCompression reads auto, gzip or none.
func ParseCompression(s string) (Compression, error) {
	for c := CompressionAuto; c <= CompressionNone; c++ {
		if compressionNames[c] == s {
			return c, nil
		}
	}
	return 0, fmt.Errorf("compression %q is unknown: use auto, gzip or none", s)
}
