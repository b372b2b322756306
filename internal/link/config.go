// SPDX-License-Identifier: MIT

package link

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

// Defaults of Config.
const (
	DefaultConnectTimeout  = 15 * time.Second
	DefaultRequestTimeout  = 30 * time.Second
	DefaultMinThroughput   = 4 << 10 // bytes per second
	DefaultMaxRequestBytes = 1 << 20
	DefaultClientID        = "questdb_sf"
)

// Config says where and how to connect. Zero values mean the default where a
// field names one.
type Config struct {
	// URLs are the endpoints, tried in this order: http, https, ws or wss, with
	// an optional path prefix; default port 9000.
	URLs []string
	// Transport is Auto, QWP or ILP; ws and wss are QWP only.
	Transport Transport
	// Auth is asked for the credentials at every connect; nil means none.
	Auth func() (Auth, error)
	// TLS is asked at every connect to https or wss; nil means Go's defaults.
	TLS func() (*tls.Config, error)
	// Proxy is as in http.Transport; nil means no proxy.
	Proxy func(*http.Request) (*url.URL, error)
	// Dial opens the TCP connection; nil means net.Dialer.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// Lookup finds the addresses of a name, one of which gave no answer; nil means
	// net.Resolver.
	Lookup func(ctx context.Context, network, host string) ([]netip.Addr, error)
	// Compression is for the bodies of ILP requests.
	Compression Compression
	// ConnectTimeout bounds dial, TLS and handshake of one endpoint; default 15 s.
	ConnectTimeout time.Duration
	// RequestTimeout is the wait for an answer beyond the time that the bytes
	// may take at RequestMinThroughput; default 30 s.
	RequestTimeout time.Duration
	// RequestMinThroughput is the slowest link to be put up with, in bytes per
	// second; default 4 KiB/s.
	RequestMinThroughput int64
	// MaxRequestBytes is the uncompressed size at which an ILP request is full;
	// default 1 MiB. The part that reaches it still goes in.
	MaxRequestBytes int
	// RequestDurableAck lets an outcome say only what the server has made durable,
	// which is more than that it has it. QWP with QuestDB Enterprise only: a host
	// without it is a *ConnectError, never used with less.
	RequestDurableAck bool
	// ClientID names this program to the server, as "questdb_sf/1.0.0".
	ClientID string
	// Log hears which transport is in use, once per change; nil means silence.
	Log *slog.Logger
}

// Validate reports the first setting that cannot work. It does no I/O and asks
// neither Auth nor TLS.
func (c *Config) Validate() error {
	if len(c.URLs) == 0 {
		return errors.New("urls is empty: name at least one endpoint, such as http://127.0.0.1:9000")
	}
	if c.Transport < Auto || c.Transport > ILP {
		return fmt.Errorf("%v is unknown: use auto, qwp or ilp", c.Transport)
	}
	if c.RequestDurableAck && c.Transport == ILP {
		return errors.New("request_durable_ack needs QWP, but transport is ilp: use auto or qwp, or switch request_durable_ack off")
	}
	if c.Compression < CompressionAuto || c.Compression > CompressionNone {
		return fmt.Errorf("%v is unknown: use auto, gzip or none", c.Compression)
	}
	if c.ConnectTimeout < 0 || c.RequestTimeout < 0 || c.RequestMinThroughput < 0 || c.MaxRequestBytes < 0 {
		return errors.New("timeouts, request_min_throughput and the request size must not be negative")
	}
	_, err := c.endpoints()
	return err
}

func (c *Config) endpoints() ([]endpoint, error) {
	var list []endpoint
	for i, raw := range c.URLs {
		e, err := parseEndpoint(raw, c.Transport)
		if err != nil {
			return nil, fmt.Errorf("urls[%d]: %w", i, err)
		}
		list = append(list, e)
	}
	return list, nil
}

func (c *Config) setDefaults() {
	setDefault(&c.ConnectTimeout, DefaultConnectTimeout)
	setDefault(&c.RequestTimeout, DefaultRequestTimeout)
	setDefault(&c.RequestMinThroughput, DefaultMinThroughput)
	setDefault(&c.MaxRequestBytes, DefaultMaxRequestBytes)
	setDefault(&c.ClientID, DefaultClientID)
	if c.Dial == nil {
		c.Dial = new(net.Dialer).DialContext
	}
	if c.Lookup == nil {
		c.Lookup = net.DefaultResolver.LookupNetIP
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
}

func setDefault[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// timeout is how long the answer to n bytes may take.
func (c *Config) timeout(n int) time.Duration {
	seconds := int64(n) / c.RequestMinThroughput
	if seconds > math.MaxInt64/int64(time.Second)/2 {
		seconds = math.MaxInt64 / int64(time.Second) / 2
	}
	return c.RequestTimeout + time.Duration(seconds)*time.Second
}

// Auth holds credentials: Username and Password for Basic, or Token for Bearer.
type Auth struct {
	Username string
	Password string
	Token    string
}

// String keeps the secrets out of anything that prints the value.
func (a Auth) String() string { return "[credentials]" }

// GoString does the same for %#v.
func (a Auth) GoString() string { return a.String() }

// Validate reports credentials that contradict each other or that no header can
// carry.
func (a Auth) Validate() error {
	switch {
	case a.Token != "" && (a.Username != "" || a.Password != ""):
		return errors.New("both token and username/password are set: keep one of them")
	case a.Username == "" && a.Password != "":
		return errors.New("a password is set without a username")
	case strings.Contains(a.Username, ":"):
		return errors.New("the username contains a colon, which HTTP Basic cannot carry")
	case strings.ContainsFunc(a.Token, func(r rune) bool { return r <= ' ' || r >= 0x7f }):
		return errors.New("the token contains spaces, line breaks or other characters that a header cannot carry")
	}
	return nil
}

// header returns the value of Authorization, empty without credentials.
func (a Auth) header() string {
	switch {
	case a.Token != "":
		return "Bearer " + a.Token
	case a.Username != "":
		return "Basic " + base64.StdEncoding.EncodeToString([]byte(a.Username+":"+a.Password))
	}
	return ""
}
