// SPDX-License-Identifier: MIT

package connstr

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"unicode"
)

// Addrs reads a comma list of host[:port] and returns each as host:port in one
// spelling: names in lower case, IPv6 in its short form and in brackets. IPv6
// with a port needs brackets; without them several colons are an address.
func Addrs(value, defaultPort string) ([]string, error) {
	var list []string
	for i, item := range strings.Split(value, ",") {
		addr, err := hostPort(item, defaultPort)
		if err != nil {
			return nil, fmt.Errorf("address %d: %w", i+1, err)
		}
		list = append(list, addr)
	}
	return list, nil
}

func hostPort(item, defaultPort string) (string, error) {
	if strings.Contains(item, "@") {
		return "", errors.New("it carries credentials: use the keys username and password, or token")
	}
	if strings.Contains(item, "/") {
		return "", errors.New("it looks like a URL: write host or host:port, without a scheme or path")
	}
	host, port, err := splitHostPort(item)
	if err != nil {
		return "", err
	}
	n, err := strconv.ParseUint(cmp.Or(port, defaultPort), 10, 16)
	if err != nil || n == 0 {
		return "", errors.New("the port must be a number from 1 to 65535")
	}
	return net.JoinHostPort(host, strconv.FormatUint(n, 10)), nil
}

// splitHostPort returns the host without brackets and the port, if any.
func splitHostPort(item string) (host, port string, err error) {
	if rest, ok := strings.CutPrefix(item, "["); ok {
		return splitBrackets(rest)
	}
	if strings.Count(item, ":") > 1 {
		host, err = ipv6(item)
		return host, "", err
	}
	host, port, colon := strings.Cut(item, ":")
	switch {
	case host == "":
		return "", "", errors.New("the host is missing: write host or host:port, without an empty item in the list")
	case colon && port == "":
		return "", "", errors.New("no port behind the ':'")
	case strings.ContainsFunc(host, notHost):
		return "", "", errors.New("a character that no host name has: write host or host:port")
	}
	return strings.ToLower(host), port, nil
}

// splitBrackets splits ::1]:9000.
func splitBrackets(s string) (host, port string, err error) {
	inside, behind, closed := strings.Cut(s, "]")
	port, colon := strings.CutPrefix(behind, ":")
	if !closed || colon == (port == "") {
		return "", "", errors.New("write IPv6 with a port as [::1]:9000")
	}
	host, err = ipv6(inside)
	return host, port, err
}

func ipv6(s string) (string, error) {
	ip, err := netip.ParseAddr(s)
	if err != nil || !ip.Is6() || strings.ContainsFunc(ip.Zone(), notHost) {
		return "", errors.New("not an IPv6 address: write host:port, ::1 or [::1]:9000")
	}
	return ip.String(), nil
}

func notHost(r rune) bool {
	return r == unicode.ReplacementChar || r != '-' && r != '.' && r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r)
}
