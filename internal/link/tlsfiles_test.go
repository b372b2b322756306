// SPDX-License-Identifier: MIT

package link_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/questdb-sf/questdb_sf/internal/link"
	"github.com/questdb-sf/questdb_sf/testutil/netem"
)

// tlsFiles are what tls_ca, tls_cert and tls_key name.
type tlsFiles struct {
	testing.TB
	ca, cert, key string
}

func newTLSFiles(t testing.TB) *tlsFiles {
	dir := t.TempDir()
	return &tlsFiles{t, filepath.Join(dir, "ca"), filepath.Join(dir, "cert"), filepath.Join(dir, "key")}
}

func (f *tlsFiles) write(file, kind string, der []byte) {
	f.Helper()
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		f.Fatal(err)
	}
}

func (f *tlsFiles) trust(ca *authority) {
	f.Helper()
	f.write(f.ca, "CERTIFICATE", ca.cert.Raw)
}

func (f *tlsFiles) show(c tls.Certificate) {
	f.Helper()
	f.write(f.cert, "CERTIFICATE", c.Certificate[0])
	der, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		f.Fatal(err)
	}
	f.write(f.key, "PRIVATE KEY", der)
}

func (f *tlsFiles) load() (*tls.Config, error) {
	text, err := os.ReadFile(f.ca)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		return nil, errors.New("no certificate in the file")
	}
	own, err := tls.LoadX509KeyPair(f.cert, f.key)
	return &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{own}}, err
}

// The server changes its authority and asks for another client certificate while the
// program runs: what is in the files at the next connect counts.
func TestCertificateFilesAreReadAtEachConnect(t *testing.T) {
	for _, how := range []link.Transport{link.ILP, link.QWP} {
		t.Run(how.String(), func(t *testing.T) {
			before, after := newAuthority(t, "before"), newAuthority(t, "after")
			files := newTLSFiles(t)
			files.trust(before)
			files.show(before.leaf(nil))
			use := func(ca *authority) *server {
				s := serveTLS(t, &tls.Config{
					Certificates: []tls.Certificate{ca.leaf(nil)}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: ca.pool(),
				})
				s.upgrade = speakQWP(hear, nil)
				return s
			}
			first, second := use(before), use(after)
			net := startNet(t, first.host(), netem.Settings{})
			cfg := config("https://" + net.Addr())
			cfg.Transport, cfg.TLS = how, files.load
			l := newLink(t, cfg)
			for range 2 {
				_ = connect(t, l).Close()
			}
			net.Retarget(second.host())
			if _, err := l.Connect(t.Context()); !errors.As(err, new(x509.UnknownAuthorityError)) {
				t.Fatalf("the new authority is not known yet: %v", err)
			}
			files.trust(after)
			if c, err := l.Connect(t.Context()); err == nil {
				// TLS 1.3: a client is told after the handshake that it is not wanted.
				_ = c.Close()
				t.Error("the old client certificate was accepted")
			}
			files.show(after.leaf(nil))
			_ = connect(t, l).Close()
		})
	}
}
