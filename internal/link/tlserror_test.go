// SPDX-License-Identifier: MIT

package link_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/link"
)

// authority signs certificates.
type authority struct {
	testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t testing.TB, name string) *authority {
	t.Helper()
	a := &authority{TB: t}
	made := a.sign(&x509.Certificate{
		Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	})
	a.cert, a.key = made.Leaf, made.PrivateKey.(*ecdsa.PrivateKey)
	return a
}

// sign completes a certificate, for an hour around now where it does not say.
func (a *authority) sign(c *x509.Certificate) tls.Certificate {
	a.Helper()
	c.SerialNumber = big.NewInt(1)
	if c.NotBefore.IsZero() {
		c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.Fatal(err)
	}
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	if err != nil {
		a.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		a.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// leaf is the certificate of a server at 127.0.0.1, or of a client.
func (a *authority) leaf(change func(*x509.Certificate)) tls.Certificate {
	a.Helper()
	c := &x509.Certificate{
		Subject: pkix.Name{CommonName: "questdb"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if change != nil {
		change(c)
	}
	return a.sign(c)
}

func (a *authority) pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.cert)
	return p
}

// serveTLS is a QuestDB behind TLS with these settings.
func serveTLS(t testing.TB, c *tls.Config) *server {
	t.Helper()
	s := newHandler()
	s.Server = httptest.NewUnstartedServer(s)
	s.TLS, s.Config.ErrorLog = c, slog.NewLogLogger(slog.DiscardHandler, 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

func validFrom(from, to time.Time) func(*x509.Certificate) {
	return func(c *x509.Certificate) { c.NotBefore, c.NotAfter = from, to }
}

// tlsCases are servers that TLS fails with, each for one reason.
var tlsCases = []struct {
	name   string
	server func(ca *authority) *tls.Config
	client func(ca *authority, c *tls.Config)
	says   []string
}{
	{"expired", func(ca *authority) *tls.Config {
		from := time.Date(2021, 1, 1, 0, 0, 0, 0, time.UTC)
		return &tls.Config{Certificates: []tls.Certificate{ca.leaf(validFrom(from, from.AddDate(1, 0, 0)))}}
	}, nil, []string{"CN=questdb has expired", "the clock of this box reads " + time.Now().UTC().Format("2006-"),
		"valid from 2021-01-01T00:00:00Z to 2022-01-01T00:00:00Z"}},
	{"not yet valid", func(ca *authority) *tls.Config {
		from := time.Date(2998, 1, 1, 0, 0, 0, 0, time.UTC)
		return &tls.Config{Certificates: []tls.Certificate{ca.leaf(validFrom(from, from.AddDate(1, 0, 0)))}}
	}, nil, []string{"is not valid yet", "the clock of this box reads " + time.Now().UTC().Format("2006-"),
		"valid from 2998-01-01T00:00:00Z to 2999-01-01T00:00:00Z", "set the clock"}},
	{"wrong host", func(ca *authority) *tls.Config {
		return &tls.Config{Certificates: []tls.Certificate{ca.leaf(func(c *x509.Certificate) {
			c.IPAddresses, c.DNSNames = nil, []string{"db.example"}
		})}}
	}, nil, []string{"is for db.example, not for 127.0.0.1", "tls_server_name"}},
	{"unknown authority", func(ca *authority) *tls.Config {
		return &tls.Config{Certificates: []tls.Certificate{newAuthority(ca.TB, "somebody").leaf(nil)}}
	}, nil, []string{"authority that this box does not know (CN=somebody)", "tls_ca"}},
	{"client certificate wanted", func(ca *authority) *tls.Config {
		return &tls.Config{Certificates: []tls.Certificate{ca.leaf(nil)}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: ca.pool()}
	}, nil, []string{"wants a client certificate: set tls_cert and tls_key"}},
	{"client certificate of a stranger", func(ca *authority) *tls.Config {
		return &tls.Config{Certificates: []tls.Certificate{ca.leaf(nil)}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: ca.pool()}
	}, func(ca *authority, c *tls.Config) {
		stranger := newAuthority(ca.TB, "somebody").leaf(nil)
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &stranger, nil }
	}, []string{"the server does not know the authority of the client certificate"}},
	{"no common version", func(ca *authority) *tls.Config {
		return &tls.Config{Certificates: []tls.Certificate{ca.leaf(nil)}, MaxVersion: tls.VersionTLS12}
	}, func(_ *authority, c *tls.Config) { c.MinVersion = tls.VersionTLS13 }, []string{"share no TLS version"}},
}

func TestEveryTLSErrorNamesHostAndReason(t *testing.T) {
	for _, c := range tlsCases {
		for _, how := range []link.Transport{link.Auto, link.QWP, link.ILP} {
			t.Run(c.name+"/"+how.String(), func(t *testing.T) {
				ca := newAuthority(t, "ca")
				s := serveTLS(t, c.server(ca))
				cfg := config(s.URL)
				cfg.Transport = how
				cfg.TLS = func() (*tls.Config, error) {
					settings := &tls.Config{RootCAs: ca.pool()}
					if c.client != nil {
						c.client(ca, settings)
					}
					return settings, nil
				}
				_, err := newLink(t, cfg).Connect(context.Background())
				if !errors.As(err, new(*link.TLSError)) {
					t.Fatalf("not a TLSError: %v", err)
				}
				for _, text := range append(c.says, hostOf(s.URL)) {
					if !strings.Contains(err.Error(), text) {
						t.Errorf("%q is not in: %v", text, err)
					}
				}
				if _, err := newLink(t, cfg).Get(t.Context(), hostOf(s.URL), "/exec"); !errors.As(err, new(*link.TLSError)) {
					t.Errorf("Get: %v", err)
				}
			})
		}
	}
}

func TestATLSAddressThatSpeaksHTTPIsSaid(t *testing.T) {
	s := newServer(t)
	cfg := config(strings.Replace(s.URL, "http", "https", 1))
	_, err := newLink(t, cfg).Connect(context.Background())
	if err == nil || !strings.Contains(err.Error(), "does not speak TLS at that port") || !strings.Contains(err.Error(), hostOf(s.URL)) {
		t.Error(err)
	}
}

// A certificate that is renewed while rows wait works at the next try, for rows and
// for questions.
func TestCertificatesThatAreReplacedWorkAtTheNextTry(t *testing.T) {
	ca := newAuthority(t, "ca")
	s := serveTLS(t, &tls.Config{Certificates: []tls.Certificate{ca.leaf(nil)}})
	cfg := config(s.URL)
	trusted := newAuthority(t, "old")
	cfg.TLS = func() (*tls.Config, error) { return &tls.Config{RootCAs: trusted.pool()}, nil }
	l := newLink(t, cfg)
	if _, err := l.Connect(t.Context()); !errors.As(err, new(x509.UnknownAuthorityError)) {
		t.Fatal(err)
	}
	if _, err := l.Get(t.Context(), hostOf(s.URL), "/exec"); !errors.As(err, new(x509.UnknownAuthorityError)) {
		t.Fatal(err)
	}
	trusted = ca
	if o := exchange(t, connect(t, l), frame(t, simpleRow("a", 1))); o.Refusal != nil {
		t.Error(o.Refusal)
	}
	if a, err := l.Get(t.Context(), hostOf(s.URL), "/exec"); err != nil || a.Status != http.StatusNotFound {
		t.Errorf("%+v, %v", a, err)
	}
	l.CloseIdle()
}
