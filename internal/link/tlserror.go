// SPDX-License-Identifier: MIT

package link

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// TLSError says in words why TLS with a host failed and what to do. It is found
// inside ConnectError and LostError, which name the host.
type TLSError struct {
	Reason string
	Err    error // what crypto/tls said
}

func (e *TLSError) Error() string { return fmt.Sprintf("TLS: %s (%v)", e.Reason, e.Err) }

// Unwrap returns what crypto/tls said.
func (e *TLSError) Unwrap() error { return e.Err }

// explainTLS puts the reason of a TLS failure before the words of crypto/tls. now
// is what this box's clock reads, by which certificates are judged.
func explainTLS(h *host, err error, now time.Time) error {
	if err == nil || !h.secure {
		return err
	}
	return because(tlsReason(err, now), err)
}

// explainHandshake is explainTLS for a connect, where a server that hangs up has
// hung up on the handshake.
func explainHandshake(h *host, err error, now time.Time) error {
	err = explainTLS(h, err, now)
	if h.secure && errors.Is(err, io.EOF) {
		return because("the server hung up on TLS; does it speak https or wss at that port?", err)
	}
	return err
}

// because puts a reason, if there is one, into the error that names the host.
func because(reason string, err error) error {
	if reason == "" || errors.As(err, new(*TLSError)) {
		return err
	}
	var connect *ConnectError
	if errors.As(err, &connect) {
		connect.Err = &TLSError{Reason: reason, Err: connect.Err}
		return err
	}
	return &TLSError{Reason: reason, Err: err}
}

// tlsReason returns "" for what is no trouble with TLS.
func tlsReason(err error, now time.Time) string {
	var (
		invalid x509.CertificateInvalidError
		unknown x509.UnknownAuthorityError
		name    x509.HostnameError
		remote  *net.OpError
	)
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired && invalid.Cert != nil:
		return outOfValidity(invalid.Cert, now)
	case errors.As(err, &invalid):
		return "the server's certificate may not be used for this: ask who runs the server"
	case errors.As(err, &unknown):
		return "the server's certificate is from an authority that this box does not know" + issuer(unknown.Cert) +
			": put the certificate of that authority into tls_ca"
	case errors.As(err, &name):
		return wrongName(&name)
	case errors.As(err, new(x509.SystemRootsError)):
		return "this box has no list of authorities: install ca-certificates, or set tls_ca"
	case errors.As(err, new(tls.RecordHeaderError)), errors.Is(err, http.ErrSchemeMismatch):
		return "the server does not speak TLS at that port: write http or ws in urls, or another port"
	case errors.As(err, &remote) && remote.Op == "remote error":
		return refusedHandshake(remote.Err.Error())
	}
	return ""
}

// outOfValidity is what a box says whose clock stopped at 1970, too.
func outOfValidity(c *x509.Certificate, now time.Time) string {
	is, remedy := "has expired", "renew it, or set the clock"
	if now.Before(c.NotBefore) {
		is, remedy = "is not valid yet", "set the clock"
	}
	return fmt.Sprintf("the certificate of %s %s: the clock of this box reads %s, the certificate is valid from %s to %s: %s",
		subject(c), is, stamp(now), stamp(c.NotBefore), stamp(c.NotAfter), remedy)
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// subject names a certificate; what is in it is the server's to say.
func subject(c *x509.Certificate) string { return OneLine(c.Subject.String(), maxExcerpt) }

func issuer(c *x509.Certificate) string {
	if c == nil {
		return ""
	}
	return fmt.Sprintf(" (%s)", OneLine(c.Issuer.String(), maxExcerpt))
}

func wrongName(e *x509.HostnameError) string {
	names := append([]string(nil), e.Certificate.DNSNames...)
	for _, ip := range e.Certificate.IPAddresses {
		names = append(names, ip.String())
	}
	if len(names) == 0 {
		names = []string{"no name at all"}
	}
	return fmt.Sprintf("the server's certificate is for %s, not for %s: write that name in urls, or set tls_server_name",
		OneLine(strings.Join(names, ", "), maxExcerpt), OneLine(e.Host, maxExcerpt))
}

// alerts are the words of crypto/tls for what a server sends when it refuses a
// handshake; it has no type for them. The first that occurs decides.
var alerts = []struct{ text, means string }{
	{"certificate required", "the server wants a client certificate: set tls_cert and tls_key"},
	{"unknown certificate authority", "the server does not know the authority of the client certificate (tls_cert), or wants another"},
	{"expired certificate", "the server says that the client certificate (tls_cert) has expired: renew it"},
	{"revoked certificate", "the server says that the client certificate (tls_cert) is revoked: get another"},
	{"bad certificate", "the server refuses the client certificate (tls_cert), or wants one"},
	{"certificate", "the server refuses the client certificate (tls_cert)"},
	{"unrecognized name", "the server does not know this name: check urls and tls_server_name"},
	{"protocol version", "server and client share no TLS version: see tls_min_version"},
	{"handshake failure", "the server refused the handshake: it may want other ciphers, another TLS version or a client certificate"},
}

func refusedHandshake(text string) string {
	for _, a := range alerts {
		if strings.Contains(text, a.text) {
			return a.means
		}
	}
	return "the server refused the handshake"
}
