// SPDX-License-Identifier: MIT

package sfpool_test

import (
	"encoding/pem"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/questdb-sf/questdb_sf/sfpool"
)

func ExampleParseConfig() {
	cfg, err := sfpool.ParseConfig("wss::addr=h1:9000,h2;sf_dir=/var/lib/sf;sender_id=a;sender_pool_max=8;" +
		"sf_max_total_bytes=2g;idle_timeout_ms=0;token=T0p-s3cret;")
	if err != nil {
		fmt.Println(err)
		return
	}
	auth, _ := cfg.Auth()
	fmt.Println(cfg.URLs)
	fmt.Println(cfg.Dir, cfg.SenderID, cfg.MaxSenders, cfg.MaxTotalBytes, cfg.IdleTimeout < 0, auth)

	_, err = sfpool.ParseConfig("wss::addr=h1:9000;sf_dri=/var/lib/sf;")
	fmt.Println(err)
	// Output:
	// [wss://h1:9000 wss://h2:9000]
	// /var/lib/sf a 8 2147483648 true [credentials]
	// connect string: sf_dri at byte 18 is not a key: did you mean sf_dir?
}

func parse(t testing.TB, s string) sfpool.Config {
	t.Helper()
	cfg, err := sfpool.ParseConfig(s)
	if err != nil {
		t.Fatalf("%s: %v", s, err)
	}
	return cfg
}

func TestSchemasChooseSchemeAndTransport(t *testing.T) {
	for schema, scheme := range map[string]string{
		"ws": "ws", "wss": "wss", "qwpws": "ws", "qwpwss": "wss", "http": "http", "https": "https",
	} {
		cfg := parse(t, schema+"::addr=h:1;")
		if cfg.URLs[0] != scheme+"://h:1" || cfg.Transport != sfpool.Auto {
			t.Errorf("%s: %v %v", schema, cfg.URLs, cfg.Transport)
		}
	}
}

func TestAddrsAccumulate(t *testing.T) {
	for in, want := range map[string]string{
		"wss::addr=a;addr=b:1,c;":        "wss://a:9000 wss://b:1 wss://c:9000",
		"ws::addr=[::1]:1,2001:db8::1":   "ws://[::1]:1 ws://[2001:db8::1]:9000",
		"http::addr=fe80::1%eth0;":       "http://[fe80::1%25eth0]:9000",
		"https::zone=z;addr=DB;addr=::1": "https://db:9000 https://[::1]:9000",
	} {
		if got := strings.Join(parse(t, in).URLs, " "); got != want {
			t.Errorf("%s: %s", in, got)
		}
	}
}

func TestCredentialsGoIntoAuth(t *testing.T) {
	for in, want := range map[string]sfpool.Auth{
		"username=u;password=p;;q=r":  {Username: "u", Password: "p;q=r"},
		"user=u;pass=p":               {Username: "u", Password: "p"},
		"password=p;user=u":           {Username: "u", Password: "p"},
		"token=abc.def-ghi":           {Token: "abc.def-ghi"},
		"token_x=x;token_y=y;token=t": {Token: "t"},
	} {
		cfg := parse(t, "http::addr=h;"+in)
		got, err := cfg.Auth()
		if err != nil || got != want {
			t.Errorf("%s: other credentials, %v", in, err)
		}
	}
	if parse(t, "ws::addr=h").Auth != nil {
		t.Error("credentials from nowhere")
	}
}

func TestRequestKeysAreForHTTP(t *testing.T) {
	cfg := parse(t, "http::addr=h;request_timeout=250;request_min_throughput=100k")
	if cfg.RequestTimeout != 250*time.Millisecond || cfg.RequestMinThroughput != 100<<10 {
		t.Errorf("%+v", cfg)
	}
}

func TestTLSKeysMakeATLSConfigAtEachConnect(t *testing.T) {
	if parse(t, "wss::addr=h;tls_verify=on").TLS != nil {
		t.Error("tls_verify=on is the default")
	}
	c, err := parse(t, "wss::addr=h;tls_verify=unsafe_off").TLS()
	if err != nil || !c.InsecureSkipVerify {
		t.Errorf("unsafe_off: %v", err)
	}

	path := filepath.Join(t.TempDir(), "roots.pem")
	cfg := parse(t, "https::addr=h;tls_roots="+path)
	if _, err := cfg.TLS(); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("a missing file: %v", err)
	}
	write(t, path, []byte("no certificate"))
	if _, err := cfg.TLS(); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("a file without certificate: %v", err)
	}
	write(t, path, certificate(t))
	if c, err = cfg.TLS(); err != nil || c.RootCAs == nil || c.InsecureSkipVerify {
		t.Errorf("a renewed file: %+v, %v", c, err)
	}
}

func write(t testing.TB, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// certificate returns some certificate in PEM.
func certificate(t testing.TB) []byte {
	t.Helper()
	s := httptest.NewTLSServer(nil)
	defer s.Close()
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
}

// secret is in the place of every secret value.
const secret = "S3cr3t.Value"

// badStrings are those that cannot be, with what their error says.
var badStrings = []struct{ in, want string }{
	{"", "no schema"},
	{"addr=h;password=" + secret, "no schema"},
	{"tcp::addr=h", "tcp: a server cannot acknowledge"},
	{"tcps::addr=h;token=" + secret, "tcps: a server cannot acknowledge"},
	{"udp::addr=h", "use ws, wss, qwpws or qwpwss for QWP, http or https for QWP or ILP"},
	{"WS::addr=h", `schema "WS" is unknown: use ws, wss`},
	{"ws::", "addr is missing"},
	{"ws::sf_dir=/x;password=" + secret + ";user=u", "addr is missing"},
	{"ws::addr=h,;", "addr at byte 4: address 2: the host is missing"},
	{"ws::addr=h;addr=a,h:9000;", "addr at byte 11: address 2 was there before"},
	{"ws::addr=[::1],0:0::1;", "address 2 was there before"},
	{"ws::addr=u:" + secret + "@h;", "carries credentials"},
	{"ws::addr=h;;password=" + secret, "addr at byte 4: address 1"},

	{"ws::addr=h;sf_dri=/x", "sf_dri at byte 11 is not a key: did you mean sf_dir?"},
	{"ws::addr=h;Token=" + secret, "Token at byte 11 is not a key: did you mean token?"},
	{"ws::addr=h;passwrd=" + secret, "passwrd at byte 11 is not a key: did you mean password?"},
	{"ws::addr=h;sf_max_total_byte=1g", "did you mean sf_max_total_bytes?"},
	{"ws::addr=h;colour=" + secret, "colour at byte 11 is not a key"},
	{"ws::addr=h;user=u;pass=abc;" + "S3cr3t=x", "what stands at byte 27, behind pass, is not a key; if it belongs to pass, write ';;'"},
	{"ws::addr=h;token=abc;S3cr3t=", "no value for the key at byte 21"},
	{"ws::addr=h;token=abc;S3cr3t", "no '=' behind the key at byte 21"},
	{"ws::addr=h;token=abc;sf_dri=/x", "behind token, is not a key: did you mean sf_dir?"},

	{"ws::addr=h;sf_dir=/x;sf_dir=/x", "sf_dir at byte 21: already given as sf_dir at byte 11"},
	{"ws::addr=h;username=u;user=u;pass=" + secret, "user at byte 22: already given as username at byte 11"},
	{"ws::addr=h;pass=" + secret + ";password=" + secret, "already given as pass at byte 11"},
	{"ws::addr=h;sf_max_bytes=1m;sf_max_segment_bytes=1m", "already given as sf_max_bytes"},
	{"ws::addr=h;catchup_cap_gap_min_escalation_window_millis=1;catch_up_cap_gap_min_escalation_window_millis=1", "already given"},

	{"ws::addr=h;username=u", "username and password need each other"},
	{"ws::addr=h;password=" + secret, "username and password need each other"},
	{"ws::addr=h;user=u;pass=" + secret + ";token=" + secret, "token excludes"},
	{"ws::addr=h;user=u;token=" + secret, "token excludes"},
	{"ws::addr=h;user=a:b;pass=" + secret, "colon"},
	{"ws::addr=h;token=two " + secret, "token contains"},
	{"ws::addr=h;user=u;pass=" + secret + "\n", "control character"},

	{"ws::addr=h;tls_verify=unsafe_off", "tls_verify at byte 11: there is no TLS on ws: use wss or https"},
	{"http::addr=h;tls_roots=/x", "no TLS on http"},
	{"qwpws::addr=h;tls_verify=on", "no TLS on ws"},
	{"wss::addr=h;tls_verify=off", "want one of on, unsafe_off"},
	{"wss::addr=h;tls_roots=/x;tls_verify=unsafe_off", "exclude each other"},
	{"wss::addr=h;tls_roots=/x;tls_roots_password=" + secret, "tls_roots_password at byte 25: not supported: tls_roots is a PEM file without a password"},
	{"ws::addr=h;request_timeout=1", "request_timeout at byte 11: not a key on ws, only on http and https"},
	{"wss::addr=h;request_min_throughput=1", "not a key on wss"},
	{"http::addr=h;request_timeout=0", "milliseconds from 1"},
	{"http::addr=h;request_min_throughput=0", "at least 1 bytes"},
	{"ws::addr=h;retry_timeout=1", "reconnect_max_backoff_millis set the pace"},
	{"ws::addr=h;retry_max_backoff_millis=1", "reconnect_max_backoff_millis set the pace"},
	{"ws::addr=h;max_backoff=1", "reconnect_max_backoff_millis set the pace"},
	{"ws::addr=h;close_timeout=1", "close_flush_timeout_millis"},
	{"ws::addr=h;request_durable_ack=maybe", "request_durable_ack at byte 11: "},
	{"ws::addr=h;protocol_version=2", "want one of auto"},

	{"ws::addr=h;sender_id=a", "sender_id at byte 11: needs sf_dir"},
	{"ws::addr=h;drain_orphans=on", "drain_orphans at byte 11: needs sf_dir"},
	{"ws::addr=h;drain_orphans=off", "needs sf_dir"},
	{"ws::addr=h;sf_durability=memory", "needs sf_dir"},
	{"ws::addr=h;sf_sync_interval_millis=1", "needs sf_dir"},
	{"ws::addr=h;sf_dir=/x;sf_durability=append", "append is not supported"},
	{"ws::addr=h;sf_dir=/x;sf_durability=fsync", "want one of memory, periodic, flush"},
	{"ws::addr=h;sf_dir=/x;sf_durability=flush;sf_sync_interval_millis=1", "sf_sync_interval_millis at byte 41: needs sf_durability=periodic, not flush"},
	{"ws::addr=h;sf_dir=/x;sf_sync_interval_millis=1;sf_durability=memory", "not memory"},
	{"ws::addr=h;sf_dir=/x;sf_sync_interval_millis=0", "milliseconds from 1"},
	{"ws::addr=h;sf_dir=/x;sender_id=a/b", "use letters, digits"},
	{"ws::addr=h;sf_dir=/x;sender_id=password=" + secret, "use letters, digits"},
	{"ws::addr=h;sf_dir=/x;drain_orphans=1", "want one of on, off, true, false"},
	{"ws::addr=h;sf_max_total_bytes=0", "at least 1 bytes"},
	{"ws::addr=h;sf_max_total_bytes=8388608t", "exceeds 64 bits"},
	{"ws::addr=h;sf_max_total_bytes=1m", "at least two segments"},
	{"ws::addr=h;dead_letter_max_bytes=1m", "needs sf_dir"},
	{"ws::addr=h;sf_dir=/x;dead_letter_max_bytes=0", "at least 1 bytes"},
	{"ws::addr=h;sf_dir=/x;dead_letter_max_bytes=1k", "dead_letter_max_bytes 1024: at least 524288"},
	{"ws::addr=h;sf_dir=/x;sf_max_total_bytes=7m", "at least two segments for each slot, 8388608"},
	{"ws::addr=h;sf_full=drop", "want one of drop_oldest, drop_newest, block"},
	{"ws::addr=h;sf_min_free_space=100%", "want a percentage from 0% to below 100%, or a size"},
	{"ws::addr=h;sf_min_free_space=some", "want a size"},
	{"ws::addr=h;sf_max_age_millis=-1", "milliseconds from 0"},
	{"ws::addr=h;quarantine_max_bytes=-1", "want a size"},
	{"ws::addr=h;orphans_max_bytes=x", "want a size"},
	{"ws::addr=h;sf_max_segment_bytes=1", "sf_max_segment_bytes 1: from"},
	{"ws::addr=h;sf_max_segment_bytes=many", "want a size"},
	{"ws::addr=h;sf_append_deadline_millis=0", "milliseconds from 1"},
	{"ws::addr=h;max_background_drainers=-1", "from 0"},
	{"ws::addr=h;reconnect_initial_backoff_millis=0", "milliseconds from 1"},
	{"ws::addr=h;reconnect_max_backoff_millis=0", "milliseconds from 1"},
	{"ws::addr=h;reconnect_max_backoff_millis=10", "exceeds reconnect_max_backoff"},
	{"ws::addr=h;close_flush_timeout_millis=-99999999999999999999", "milliseconds from -"},
	{"ws::addr=h;auth_timeout_ms=0", "milliseconds from 1"},
	{"ws::addr=h;connect_timeout=9223372036854775807", "to 2305843009213"},
	{"ws::addr=h;sender_pool_min=-1", "from 0"},
	{"ws::addr=h;sender_pool_min=5", "sender_pool_min 5 exceeds sender_pool_max 4"},
	{"ws::addr=h;sender_pool_max=0", "from 1"},
	{"ws::addr=h;sender_pool_max=1025", "sender_pool_max 1025: from 1 to 1024"},
	{"ws::addr=h;sender_pool_max=4294967297", "from 1 to 2147483647"},
	{"ws::addr=h;acquire_timeout_ms=-1", "milliseconds from 0"},
	{"ws::addr=h;idle_timeout_ms=-1", "milliseconds from 0"},
	{"ws::addr=h;max_lifetime_ms=-1", "milliseconds from 0"},
	{"ws::addr=h;housekeeper_interval_ms=0", "milliseconds from 1"},
}

func TestStringsThatCannotBeAreRefusedWithAReason(t *testing.T) {
	for _, c := range badStrings {
		cfg, err := sfpool.ParseConfig(c.in)
		if err == nil || !strings.HasPrefix(err.Error(), "connect string: ") || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v\nwant: %s", c.in, err, c.want)
		}
		if !reflect.DeepEqual(cfg, sfpool.Config{}) {
			t.Errorf("%q: an error and a Config", c.in)
		}
	}
}

func TestErrorsNeverRepeatASecret(t *testing.T) {
	for _, c := range badStrings {
		// The secret whole, as a part of a value, and as the rest of one that
		// was cut by a single ';'.
		for _, piece := range []string{secret, "S3cr3t"} {
			if _, err := sfpool.ParseConfig(c.in); strings.Contains(err.Error(), piece) {
				t.Errorf("%q: %v", c.in, err)
			}
		}
	}
	cfg := parse(t, "wss::addr=h;user=u;password="+secret)
	auth, _ := cfg.Auth()
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		if out := fmt.Sprintf(format, cfg) + fmt.Sprintf(format, auth); strings.Contains(out, secret) {
			t.Errorf("%s prints the password", format)
		}
	}
}

// FuzzParseConfig puts a secret behind every key that holds one, in the middle
// of anything.
func FuzzParseConfig(f *testing.F) {
	f.Add("ws::addr=h;", ";sf_dir=/x;")
	f.Fuzz(func(t *testing.T, before, behind string) {
		if strings.Contains(before+behind, secret) {
			t.Skip()
		}
		for _, key := range []string{"password", "pass", "token", "tls_roots_password", "token_x"} {
			s := before + key + "=" + secret + behind
			cfg, err := sfpool.ParseConfig(s)
			if err != nil && strings.Contains(err.Error(), secret) {
				t.Fatalf("%q: %v", s, err)
			}
			if err == nil && cfg.Validate() != nil {
				t.Fatalf("%q: a Config that is not valid", s)
			}
		}
	})
}
