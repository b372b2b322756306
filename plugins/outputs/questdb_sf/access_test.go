// SPDX-License-Identifier: MIT

package questdb_sf_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io/fs"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/influxdata/telegraf"
	"github.com/influxdata/telegraf/config"
	"github.com/influxdata/telegraf/metric"
	"github.com/stretchr/testify/require"

	"github.com/questdb-sf/questdb_sf/plugins/outputs/questdb_sf"
	"github.com/questdb-sf/questdb_sf/testutil/qwpserver"
)

// vault is a secret store whose one secret is rotated.
type vault struct{ value atomic.Value }

// secret returns a secret that is asked for at each use.
func (v *vault) secret(t testing.TB) config.Secret {
	t.Helper()
	s := config.NewSecret([]byte("@{vault:key}"))
	require.NoError(t, s.Link(map[string]telegraf.ResolveFunc{"@{vault:key}": func() ([]byte, bool, error) {
		return []byte(v.value.Load().(string)), true, nil
	}}))
	return s
}

// quick are options of a block that tries again soon.
var quick = []string{`reconnect_initial_backoff = "1ms"`, `reconnect_max_backoff = "5ms"`, `close_flush_timeout = "0s"`}

func TestCredentialsThatAreRightAgainWorkWithoutARestartOverQWP(t *testing.T) {
	srv := serve(t, qwpserver.Options{Token: "right"})
	o := output(t, block(srv.URL(), t.TempDir(), quick...))
	log, keys := listen(o), new(vault)
	keys.value.Store("wrong")
	o.Token = keys.secret(t)
	ro := running(t, o, "memory")
	require.NoError(t, ro.Output.Write(series(10)))
	require.Eventually(t, func() bool { return len(log.lines("refused the credentials (HTTP 401)")) > 0 }, waitLong, pollOften)
	time.Sleep(100 * time.Millisecond) // many tries
	require.Len(t, log.lines("refused the credentials"), 1, "the same words are not said again")
	require.Equal(t, int64(10), o.Stats().Pending)
	keys.value.Store("right")
	waitRows(t, srv, 10)
	require.Eventually(t, func() bool { return o.Stats().Acked == 10 }, waitLong, pollOften)
	require.Zero(t, o.Stats().DeadLettered)
}

// ilpServer takes rows over HTTP from those who know the password.
type ilpServer struct {
	*httptest.Server
	refuse  int // the status for the others
	mu      sync.Mutex
	writes  int
	refused int
	rows    int
}

func serveILP(t testing.TB, refuse int, start func(*httptest.Server)) *ilpServer {
	t.Helper()
	s := &ilpServer{refuse: refuse}
	s.Server = httptest.NewUnstartedServer(s)
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	start(s.Server)
	t.Cleanup(s.Close)
	return s
}

func (s *ilpServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var body bytes.Buffer
	_, _ = body.ReadFrom(r.Body)
	switch r.URL.Path {
	case "/settings":
		fmt.Fprint(w, `{"config":{"ilp.proto.transports":["tcp","http"]}}`)
		return
	case "/write":
	default:
		http.NotFound(w, r)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writes++
	if _, password, _ := r.BasicAuth(); s.refuse != 0 && password != "right" {
		s.refused++
		w.WriteHeader(s.refuse)
		fmt.Fprintf(w, "<html>You sent: Authorization: %s</html>", r.Header.Get("Authorization"))
		return
	}
	s.rows += strings.Count(body.String(), "\n")
	w.Header().Set("Server", "questDB/1.0")
	w.WriteHeader(http.StatusNoContent)
}

func (s *ilpServer) took() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rows
}

func TestCredentialsThatAreRightAgainWorkWithoutARestartOverILP(t *testing.T) {
	for _, status := range []int{http.StatusUnauthorized, http.StatusForbidden} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			srv := serveILP(t, status, (*httptest.Server).Start)
			o := output(t, block(srv.URL, t.TempDir(), append(quick, `username = "joe"`)...))
			log, keys := listen(o), new(vault)
			keys.value.Store("wrong")
			o.Password = keys.secret(t)
			ro := running(t, o, "memory")
			require.NoError(t, ro.Output.Write(series(10)))
			says := fmt.Sprintf("HTTP %d", status)
			require.Eventually(t, func() bool { return len(log.lines(says)) > 0 }, waitLong, pollOften)
			time.Sleep(100 * time.Millisecond)
			require.Len(t, log.lines(says), 1, "the same words are not said again")
			require.Equal(t, int64(10), o.Stats().Pending)
			keys.value.Store("right")
			require.Eventually(t, func() bool { return srv.took() == 10 && o.Stats().Acked == 10 }, waitLong, pollOften)
			require.Zero(t, o.Stats().DeadLettered)
		})
	}
}

// authority makes a certificate for 127.0.0.1 and the file of those to trust.
func authority(t testing.TB) (cert tls.Certificate, ca []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "questdb"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	require.NoError(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func TestACertificateFileThatIsReplacedWorksWithoutARestart(t *testing.T) {
	cert, right := authority(t)
	_, wrong := authority(t)
	settings := &tls.Config{Certificates: []tls.Certificate{cert}}
	qwp := serve(t, qwpserver.Options{TLS: settings})
	ilp := serveILP(t, 0, func(s *httptest.Server) { s.TLS = settings.Clone(); s.StartTLS() })
	for name, srv := range map[string]struct {
		url  string
		rows func() int64
	}{
		"QWP": {qwp.URL(), func() int64 { return qwp.State().Rows }},
		"ILP": {ilp.URL, func() int64 { return int64(ilp.took()) }},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "ca.pem")
			require.NoError(t, os.WriteFile(file, wrong, 0o600))
			o := output(t, block(srv.url, t.TempDir(), append(quick, fmt.Sprintf("tls_ca = %q", file))...))
			log := listen(o)
			ro := running(t, o, "memory")
			require.NoError(t, ro.Output.Write(series(10)))
			require.Eventually(t, func() bool { return len(log.lines("authority that this box does not know")) > 0 }, waitLong, pollOften)
			require.NoError(t, os.WriteFile(file, right, 0o600))
			require.Eventually(t, func() bool { return srv.rows() == 10 && o.Stats().Acked == 10 }, waitLong, pollOften)
		})
	}
}

// The secrets of the test that follows; none is a part of another text.
const (
	token    = "tok-Zq81xW"
	password = "pas-Zq82xW"
	inURL    = "url-Zq83xW"
	ofProxy  = "prx-Zq84xW"
)

// shows fails the test where a text shows a secret, as it is or in a header.
func shows(t testing.TB, where, text string) {
	t.Helper()
	for _, secret := range []string{token, password, inURL, ofProxy} {
		for _, form := range []string{secret, base64.StdEncoding.EncodeToString([]byte("joe:" + secret))} {
			if strings.Contains(text, form) {
				t.Errorf("%s shows a secret: %s", where, text)
			}
		}
	}
}

// trouble is a way in which a block with secrets fails.
type trouble struct {
	name string
	url  string
	more []string
	says string // in the log, before the end
}

func troubles(t testing.TB) []trouble {
	byToken, byPassword := []string{fmt.Sprintf("token = %q", token)}, []string{`username = "joe"`, fmt.Sprintf("password = %q", password)}
	srv401, srv403 := serveILP(t, 401, (*httptest.Server).Start), serveILP(t, 403, (*httptest.Server).Start)
	srv500, srv200 := serveILP(t, 500, (*httptest.Server).Start), serveILP(t, 200, (*httptest.Server).Start)
	qwp := serve(t, qwpserver.Options{Token: "another"})
	cert, _ := authority(t)
	secure := serve(t, qwpserver.Options{TLS: &tls.Config{Certificates: []tls.Certificate{cert}}})
	list := []trouble{
		{"nobody there", "http://127.0.0.1:1", byToken, "connection refused"},
		{"proxy not there", "http://127.0.0.1:1", append(byPassword, fmt.Sprintf(`http_proxy_url = "http://joe:%s@127.0.0.1:1"`, ofProxy)), "connection refused"},
		{"proxy refuses", "http://127.0.0.1:1", append(byPassword, fmt.Sprintf(`http_proxy_url = "http://joe:%s@%s"`, ofProxy, qwp.Addr())), "pending_rows"},
		{"credentials refused over QWP", qwp.URL(), byToken, "refused the credentials"},
		{"certificate unknown", secure.URL(), byToken, "authority that this box does not know"},
		{"no file of certificates", secure.URL(), append(byToken, `tls_ca = "/does/not/exist"`), "/does/not/exist"},
	}
	for name, srv := range map[string]*ilpServer{"401": srv401, "403": srv403, "500": srv500, "200": srv200} {
		list = append(list, trouble{"token, " + name + " and an echo", srv.URL, byToken, "HTTP " + name})
		list = append(list, trouble{"password, " + name + " and an echo", srv.URL, byPassword, "HTTP " + name})
	}
	return list
}

func TestNoSecretIsShownWhateverFails(t *testing.T) {
	for _, c := range troubles(t) {
		for _, dir := range []string{t.TempDir(), "/dev/null/sf"} { // and in RAM
			t.Run(fmt.Sprintf("%s/ram=%t", c.name, strings.HasPrefix(dir, "/dev")), func(t *testing.T) {
				ro, err := load(t, block(c.url, dir, append(append(c.more, anyPort), quick...)...))
				require.NoError(t, err)
				o := ro.Output.(*questdb_sf.Output)
				log := new(heard)
				o.Logger = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
				require.NoError(t, o.Init())
				require.NoError(t, o.Connect())
				t.Cleanup(func() { _ = o.Close() })
				require.NoError(t, o.Write(append(series(3), metric.New("m", nil, map[string]interface{}{"v": 1}, time.Unix(-1, 0)))))
				require.Eventually(t, func() bool { return len(log.lines(c.says)) > 0 }, waitLong, pollOften, "%s", c.says)
				shows(t, "Stats", fmt.Sprintf("%+v", o.Stats()))
				for _, slot := range append(o.Stats().Slots, o.Stats().RAMStats.Slots...) {
					shows(t, "LastError", fmt.Sprint(slot.LastError))
				}
				showsNoSecretInStatus(t, log)
				shows(t, "Close", fmt.Sprint(o.Close()))
				shows(t, "the log", log.buf.String())
				_ = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
					if err == nil && !e.IsDir() {
						text, err := os.ReadFile(path)
						require.NoError(t, err)
						shows(t, path, string(text))
					}
					return nil
				})
			})
		}
	}
}

func TestNoSecretIsShownByAnOptionThatCannotBeMeant(t *testing.T) {
	for _, text := range []string{
		block("http://joe:"+inURL+"@127.0.0.1:9000", "/x"),
		block("http://joe:"+inURL+"@127.0.0.1:9000/%zz", "/x"),
		block("http::addr=h;username=joe;password="+inURL+";", "/x"),
		block("http://127.0.0.1:9000", "/x", fmt.Sprintf("token = %q", token), fmt.Sprintf("password = %q", password)),
		block("http://127.0.0.1:9000", "/x", fmt.Sprintf("password = %q", password)),
		block("http://127.0.0.1:9000", "/x", fmt.Sprintf(`http_proxy_url = "http://joe:%s@ho st:1"`, ofProxy)),
	} {
		ro, err := load(t, text)
		require.NoError(t, err)
		err = ro.Init()
		require.Error(t, err, text)
		shows(t, "Init", err.Error())
	}
}

func TestBlocksThatDifferInASecretAreToldApartWithoutIt(t *testing.T) {
	dir := t.TempDir()
	connected(t, dead(dir, fmt.Sprintf("token = %q", token)))
	o := output(t, dead(dir, fmt.Sprintf("token = %q", token+"x")))
	require.NoError(t, o.Init())
	err := o.Connect()
	require.ErrorContains(t, err, "token")
	shows(t, "Connect", err.Error())
}
