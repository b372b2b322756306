// SPDX-License-Identifier: MIT

package status

import (
	"errors"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// loopback is where a port alone listens: who wants others to see it names a host.
const loopback = "127.0.0.1"

// ParseAddress reads status_address and returns it as host:port, with loopback where
// no host is named, or localhost: blocks that mean the same share it. "" for "".
func ParseAddress(value string) (string, error) {
	if value == "" {
		return "", nil
	}
	if strings.ContainsAny(value, "/@") {
		return "", errors.New(`write host:port, or a port alone for this machine only, without "/" and "@"`)
	}
	host, port, err := net.SplitHostPort(value)
	if err != nil {
		host, port = "", value // a port alone, or nothing that can be meant
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || port != strconv.FormatUint(n, 10) {
		return "", errors.New(`write host:port, or a port alone for this machine only, like "8090"`)
	}
	host = strings.ToLower(host)
	if ip, err := netip.ParseAddr(host); err == nil {
		host = ip.String()
	} else if host == "" || host == "localhost" {
		host = loopback
	}
	return net.JoinHostPort(host, port), nil
}

// Check says what is wrong with status_address.
func Check(value string) error {
	_, err := ParseAddress(value)
	return err
}

// isLoopback says whether a host, without port, means this machine only.
func isLoopback(host string) bool {
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}
