// SPDX-License-Identifier: MIT

package doctor

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/link"
)

// expirySoon is how long before the end of a certificate somebody has to be told.
const expirySoon = 30 * 24 * time.Hour

// examineTLS looks at the certificates of a handshake, whether it would have been trusted
// or not, and at those that this box has.
func (s *server) examineTLS(st *tls.ConnectionState) {
	if !s.secure {
		return
	}
	c := new(tls.Config)
	if s.Link.TLS != nil {
		given, err := s.Link.TLS()
		if err != nil {
			s.say("tls files", Failure, "see tls_ca, tls_cert and tls_key, and who may read them", "%v", err)
			return
		}
		c = given
	}
	if c.InsecureSkipVerify {
		s.say("tls", Warning, "name the authority in tls_ca instead of insecure_skip_verify", "anybody may pass for the server: insecure_skip_verify is on")
	}
	s.examineOwn(c)
	if st == nil || len(st.PeerCertificates) == 0 {
		return // "reachable" says why
	}
	s.examineChain(c, st.PeerCertificates)
}

func (s *server) examineChain(c *tls.Config, sent []*x509.Certificate) {
	s.expiry("server certificate", "renew the certificate of the server", sent[0])
	between := x509.NewCertPool()
	for _, one := range sent[1:] {
		between.AddCert(one)
	}
	host, _, _ := net.SplitHostPort(s.host)
	name := c.ServerName
	if name == "" {
		name = host
	}
	// The end of the first is told above: as of then the others are judged.
	at := s.Now()
	if at.After(sent[0].NotAfter) {
		at = sent[0].NotAfter
	}
	chains, err := sent[0].Verify(x509.VerifyOptions{Roots: c.RootCAs, Intermediates: between, DNSName: name, CurrentTime: at})
	if err != nil {
		v := Failure
		if c.InsecureSkipVerify {
			v = Warning
		}
		s.say("certificate chain", v, "put the certificate of the authority into tls_ca, write the name of the certificate in urls or tls_server_name, or have the server send the whole chain", "%v", err)
		return
	}
	chain := chains[0]
	s.say("certificate chain", OK, "", "%d certificates up to %s", len(chain), subject(chain[len(chain)-1]))
	for _, one := range chain[1:] {
		if one.NotAfter.Sub(s.Now()) < expirySoon {
			s.expiry("authority", "renew it, and put the new one into tls_ca", one)
		}
	}
}

// examineOwn looks at what tls_ca and tls_cert hold, once for all servers.
func (s *server) examineOwn(c *tls.Config) {
	for _, f := range s.Findings {
		if f.Check == "tls_ca" || f.Check == "tls_cert" {
			return
		}
	}
	for _, one := range readCertificates(s.CAFile) {
		s.expiryOf("tls_ca", s.CAFile, "put the new certificate of the authority into tls_ca", one)
	}
	for _, pair := range c.Certificates {
		leaf := pair.Leaf
		if leaf == nil && len(pair.Certificate) > 0 {
			leaf, _ = x509.ParseCertificate(pair.Certificate[0])
		}
		if leaf != nil {
			s.expiryOf("tls_cert", s.CertFile, "renew the client certificate", leaf)
		}
	}
}

// readCertificates returns those of a PEM file that can be read.
func readCertificates(file string) (list []*x509.Certificate) {
	if file == "" {
		return nil
	}
	rest, err := os.ReadFile(file)
	if err != nil {
		return nil // whoever needs it says so
	}
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return list
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		if c, err := x509.ParseCertificate(block.Bytes); err == nil {
			list = append(list, c)
		}
	}
}

func (s *server) expiry(check, remedy string, c *x509.Certificate) {
	s.expiryOf(check, s.name, remedy, c)
}

func (s *server) expiryOf(check, what, remedy string, c *x509.Certificate) {
	now := s.Now()
	left := c.NotAfter.Sub(now)
	found := fmt.Sprintf("%s, valid until %s", subject(c), c.NotAfter.UTC().Format(time.DateOnly))
	switch {
	case left <= 0:
		s.add(check, what, Failure, remedy, "%s: it expired %s ago", found, Span(-left))
	case now.Before(c.NotBefore):
		s.add(check, what, Failure, "set the clock of this box, or wait", "%s: it is not valid before %s", found, c.NotBefore.UTC().Format(time.RFC3339))
	case left < expirySoon:
		s.add(check, what, Warning, remedy, "%s: %s left", found, Span(left))
	default:
		s.add(check, what, OK, "", "%s: %s left", found, Span(left))
	}
}

// subject names a certificate; what is in it is the server's to say.
func subject(c *x509.Certificate) string {
	name := link.OneLine(c.Subject.String(), 80)
	if name == "" {
		name = link.OneLine(strings.Join(c.DNSNames, ", "), 80)
	}
	return name
}

// Span writes how long something is, in its two largest units.
func Span(d time.Duration) string {
	switch d = d.Abs(); {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%d days", int(d/(24*time.Hour)))
	case d >= time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d/time.Hour), int(d%time.Hour/time.Minute))
	case d >= time.Minute:
		return fmt.Sprintf("%dm%02ds", int(d/time.Minute), int(d%time.Minute/time.Second))
	}
	return fmt.Sprintf("%ds", int(d/time.Second))
}
