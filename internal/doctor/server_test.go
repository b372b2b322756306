// SPDX-License-Identifier: MIT

package doctor_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/doctor"
	"github.com/questdb-sf/questdb_sf/internal/link"
	"github.com/questdb-sf/questdb_sf/testutil/qwpserver"
)

func serve(t testing.TB, o qwpserver.Options) *qwpserver.Server {
	t.Helper()
	s, err := qwpserver.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func TestNobodyAtTheOtherEndIsAFailureWithARemedy(t *testing.T) {
	p := talkingTo(healthy(t), "http://127.0.0.1:1")
	r := examine(t, p)
	want(t, r, "reachable", "http://127.0.0.1:1", doctor.Failure, "connection refused")
	want(t, r, "reachable", "http://127.0.0.1:1", doctor.Failure, "see that QuestDB runs")
	if !r.Failed() {
		t.Error("that is no failure")
	}
}

func TestAServerThatSpeaksQWPIsFoundToDoSo(t *testing.T) {
	srv := serve(t, qwpserver.Options{Exec: func(string) (int, string) {
		return 200, fmt.Sprintf(`{"columns":[{"name":"now","type":"TIMESTAMP"}],"dataset":[[%q]]}`, time.Now().UTC().Format(time.RFC3339Nano))
	}})
	r := examine(t, talkingTo(healthy(t), srv.URL()))
	want(t, r, "version", srv.URL(), doctor.OK, "10.0.0")
	want(t, r, "protocol", srv.URL(), doctor.OK, "QWP")
	want(t, r, "credentials", srv.URL(), doctor.OK, "without credentials")
	want(t, r, "clock", srv.URL(), doctor.OK, "the server")
	shouting := strings.Replace(srv.URL(), "127.0.0.1", "LOCALHOST", 1)
	want(t, examine(t, talkingTo(healthy(t), shouting)), "sql", strings.ToLower(shouting), doctor.OK, "answered")
	if n := srv.State().Rows; n != 0 {
		t.Errorf("%d rows were written", n)
	}
}

func TestCredentialsThatAreRefusedAreAFailureAndNeverShown(t *testing.T) {
	const secret = "tok-Zq81xW"
	srv := serve(t, qwpserver.Options{Token: "another"})
	ilp := serveILP(t, http.StatusForbidden)
	for _, url := range []string{srv.URL(), ilp} {
		p := talkingTo(healthy(t), url)
		want(t, examine(t, p), "credentials", url, doctor.Failure, "set username and password, or token")
		p.Link.Auth = func() (link.Auth, error) { return link.Auth{Token: secret}, nil }
		p.ExactlyOnce = true
		r := examine(t, p)
		if says := advised(r, "exactly_once"); says != "" {
			t.Errorf("what the server offers is not known: %s", says)
		}
		want(t, r, "credentials", url, doctor.Failure, "check username and password")
		want(t, r, "reachable", url, doctor.OK, "")
		if b, _ := json.Marshal(r); strings.Contains(string(b), secret) {
			t.Errorf("the report shows the token: %s", b)
		}
	}
}

// serveILP is a QuestDB without QWP that answers writes with a status, and echoes the
// credentials.
func serveILP(t testing.TB, status int) (url string) {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Server", "questDB/1.0")
		switch r.URL.Path {
		case "/settings":
			fmt.Fprint(w, `{"config":{"release.version":"8.3.1","ilp.proto.transports":["tcp","http"]}}`)
		case "/write":
			w.WriteHeader(status)
			if status != http.StatusNoContent {
				fmt.Fprintf(w, "you sent %s", r.Header.Get("Authorization"))
			}
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(srv.Close)
	return srv.URL
}

func TestAReplicaIsAWarningWhereThereIsAnother(t *testing.T) {
	replica, primary := serveILP(t, http.StatusMisdirectedRequest), serveILP(t, http.StatusNoContent)
	want(t, examine(t, talkingTo(healthy(t), replica)), "role", replica, doctor.Failure, "write a primary into urls")
	r := examine(t, talkingTo(healthy(t), replica, primary))
	want(t, r, "role", replica, doctor.Warning, "421")
	want(t, r, "credentials", primary, doctor.OK, "a write of no rows")
}

func TestAnOldServerWithoutSQLCostsGzipAndExactlyOnce(t *testing.T) {
	url := serveILP(t, http.StatusNoContent)
	p := talkingTo(healthy(t), url)
	r := examine(t, p)
	want(t, r, "protocol", url, doctor.OK, "ILP")
	want(t, r, "gzip", url, doctor.OK, "not offered")
	want(t, r, "sql", url, doctor.Warning, "404")
	want(t, r, "clock", url, doctor.OK, "the server") // by the Date header
	if !strings.HasPrefix(advised(r, "compression"), `"none"`) || advised(r, "exactly_once") != "" {
		t.Errorf("%+v", r.Advice)
	}
	p.ExactlyOnce, p.Link.Compression = true, link.CompressionGzip
	r = examine(t, p)
	if !strings.HasPrefix(advised(r, "compression"), `"none"`) || !strings.HasPrefix(advised(r, "exactly_once"), "false") {
		t.Errorf("%+v", r.Advice)
	}
	want(t, r, "sql", url, doctor.Failure, "exactly_once")
	want(t, r, "gzip", url, doctor.Warning, "9.1")
}

func TestAClockThatDiffersFromTheServersIsTold(t *testing.T) {
	url := serveILP(t, http.StatusNoContent)
	for ahead, v := range map[time.Duration]doctor.Verdict{0: doctor.OK, time.Minute: doctor.Warning, -3 * time.Hour: doctor.Failure} {
		p := talkingTo(healthy(t), url)
		p.Now = func() time.Time { return time.Now().Add(ahead) }
		want(t, examine(t, p), "clock", url, v, "the server")
	}
}

// certificate makes one that is valid for so long, signed by itself.
func certificate(t testing.TB, left time.Duration) (cert tls.Certificate, file string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "questdb"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(left), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, file
}

// trusting has a patient know the authority in a file, and show a certificate.
func trusting(t testing.TB, p doctor.Patient, file string, own ...tls.Certificate) doctor.Patient {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(text)
	p.Link.TLS = func() (*tls.Config, error) { return &tls.Config{RootCAs: pool, Certificates: own}, nil }
	p.CAFile, p.CertFile = file, "client.pem"
	return p
}

func TestTheEndOfCertificatesIsToldInTime(t *testing.T) {
	const day = 24 * time.Hour
	client, _ := certificate(t, 3*day)
	for left, v := range map[time.Duration]doctor.Verdict{400 * day: doctor.OK, 12 * day: doctor.Warning, -time.Minute: doctor.Failure} {
		cert, file := certificate(t, left)
		srv := serve(t, qwpserver.Options{TLS: &tls.Config{Certificates: []tls.Certificate{cert}}})
		p := trusting(t, talkingTo(healthy(t), srv.URL()), file, client)
		r := examine(t, p)
		want(t, r, "server certificate", srv.URL(), v, "CN=questdb")
		want(t, r, "tls_ca", file, v, "CN=questdb")
		want(t, r, "tls_cert", "client.pem", doctor.Warning, "2 days left")
		want(t, r, "certificate chain", srv.URL(), doctor.OK, "1 certificates")
		if v == doctor.Failure {
			want(t, r, "reachable", srv.URL(), doctor.Failure, "has expired")
			continue
		}
		want(t, r, "protocol", srv.URL(), doctor.OK, "QWP")
		if says := advised(r, "idle_connection_timeout"); !strings.HasPrefix(says, `"15s"`) {
			t.Error(says)
		}
	}
}

func TestAnAuthorityThatIsNotKnownIsAFailureUnlessNobodyAsks(t *testing.T) {
	cert, _ := certificate(t, time.Hour*24*90)
	_, other := certificate(t, time.Hour*24*90)
	srv := serve(t, qwpserver.Options{TLS: &tls.Config{Certificates: []tls.Certificate{cert}}})
	p := trusting(t, talkingTo(healthy(t), srv.URL()), other)
	r := examine(t, p)
	want(t, r, "certificate chain", srv.URL(), doctor.Failure, "put the certificate of the authority into tls_ca")
	want(t, r, "reachable", srv.URL(), doctor.Failure, "authority that this box does not know")
	p.Link.TLS = func() (*tls.Config, error) { return &tls.Config{InsecureSkipVerify: true}, nil }
	r = examine(t, p)
	want(t, r, "tls", srv.URL(), doctor.Warning, "insecure_skip_verify is on")
	want(t, r, "certificate chain", srv.URL(), doctor.Warning, "authority")
	want(t, r, "reachable", srv.URL(), doctor.OK, "")
	p.Link.TLS = func() (*tls.Config, error) { return nil, os.ErrNotExist }
	want(t, examine(t, p), "tls files", srv.URL(), doctor.Failure, "see tls_ca")
}
