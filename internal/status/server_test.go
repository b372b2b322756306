// SPDX-License-Identifier: MIT

package status

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/questdb-sf/questdb_sf/internal/status/api"
)

func TestAPortAloneListensForThisMachineOnly(t *testing.T) {
	for value, want := range map[string]string{
		"": "", "8090": "127.0.0.1:8090", ":8090": "127.0.0.1:8090", "0.0.0.0:8090": "0.0.0.0:8090", "[::1]:8090": "[::1]:8090",
		"Box:8090": "box:8090", "[::]:8090": "[::]:8090", "LocalHost:8090": "127.0.0.1:8090", "[0:0::1]:8090": "[::1]:8090",
	} {
		got, err := ParseAddress(value)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	for _, value := range []string{"box", "http://box:1", "a@box:1", "::1", "box:", ":", "box:x", "box:70000", "box:080", "-1"} {
		require.Error(t, Check(value), value)
	}
}

// shown starts a server and returns its URL.
func shown(t testing.TB, address string, log *heard, sources ...*Source) (url string) {
	t.Helper()
	for _, s := range sources {
		t.Cleanup(Show(address, s, log.logger()))
	}
	require.Eventually(t, func() bool { return strings.Contains(log.String(), "url=http") }, 10*time.Second, 5*time.Millisecond)
	return regexp.MustCompile(`http://[^/]+/`).FindString(log.String())
}

var client = &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}

func request(t testing.TB, method, url, host string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequest(method, url, nil)
	require.NoError(t, err)
	if host != "" {
		r.Host = host
	}
	a, err := client.Do(r)
	require.NoError(t, err)
	defer a.Body.Close()
	body, err := io.ReadAll(a.Body)
	require.NoError(t, err)
	return a, string(body)
}

func TestBlocksOfOneStoreAreOneAndOthersStandBesideIt(t *testing.T) {
	one, other := newFake("/a"), newFake("/b")
	url := shown(t, "127.0.0.1:0", new(heard),
		source(one, Block{Dropped: 1, Changes: Changes{Merged: 10}}), source(one, Block{Dropped: 2, Changes: Changes{Merged: 5}}), source(other, Block{}))
	_, body := request(t, "GET", url+"api/status", "")
	var d api.Document
	require.NoError(t, json.Unmarshal([]byte(body), &d))
	require.Len(t, d.Stores, 2)
	require.Equal(t, "/a", d.Stores[0].Dir)
	require.Equal(t, int64(3), d.Stores[0].Figures["metrics_dropped_before_store"])
	require.Equal(t, int64(15), d.Stores[0].Figures["rows_merged"])
	require.Equal(t, int64(40<<30), d.Stores[0].Figures["disk_free_bytes"])
	require.Equal(t, []api.Segment{{First: 0, Frames: 4, Settled: 1, Rows: 40, Used: 900, Size: 1000}}, d.Stores[0].Slots[0].Segments)
	_, text := request(t, "GET", url+"metrics", "")
	lint(t, parseMetrics(t, text))
}

func TestOnlyReadingIsAnswered(t *testing.T) {
	f := newFake("/sf")
	url := shown(t, "127.0.0.1:0", new(heard), source(f, Block{}))
	for _, path := range []string{"", "metrics", "healthz", "api/status"} {
		a, body := request(t, "GET", url+path, "")
		require.Equal(t, 200, a.StatusCode, path)
		require.NotEmpty(t, body)
		require.Contains(t, a.Header.Get("Content-Security-Policy"), "default-src 'none'")
		require.Equal(t, "nosniff", a.Header.Get("X-Content-Type-Options"))
		require.Equal(t, "no-store", a.Header.Get("Cache-Control"))
		length := a.ContentLength
		a, body = request(t, "HEAD", url+path, "")
		require.Equal(t, 200, a.StatusCode, path)
		require.Empty(t, body)
		require.InDelta(t, length, a.ContentLength, 64)
		for _, method := range []string{"POST", "PUT", "DELETE", "OPTIONS"} {
			a, _ = request(t, method, url+path, "")
			require.Equal(t, http.StatusMethodNotAllowed, a.StatusCode, method)
		}
	}
	a, _ := request(t, "GET", url+"other", "")
	require.Equal(t, 404, a.StatusCode)
	f.is(func(f *fake) { f.stats.Leaked = 1 })
	a, body := request(t, "GET", url+"healthz", "")
	require.Equal(t, 503, a.StatusCode)
	require.Equal(t, 1, strings.Count(body, "\n"), body)
}

func TestAStrangersNameForThisMachineIsRefused(t *testing.T) {
	url := shown(t, "127.0.0.1:0", new(heard), source(newFake("/sf"), Block{}))
	for host, code := range map[string]int{
		"evil.example": 403, "evil.example:8090": 403, "localhost.evil.example": 403, "127.0.0.1.evil.example": 403, "[2001:db8::1]": 403, "10.0.0.1": 403,
		"localhost:8090": 200, "LocalHost": 200, "127.0.0.1": 200, "[::1]:1": 200, "[::1]": 200, "box.localhost": 200,
	} {
		a, _ := request(t, "GET", url+"api/status", host)
		require.Equal(t, code, a.StatusCode, host)
	}
}

func TestAnAddressThatIsTakenIsOneLineInTheLog(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	log := new(heard)
	hide := Show(l.Addr().String(), source(newFake("/sf"), Block{}), log.logger())
	require.Eventually(t, func() bool { return strings.Contains(log.String(), "address already in use") }, 10*time.Second, 5*time.Millisecond)
	require.Contains(t, log.String(), l.Addr().String())
	require.Equal(t, 1, strings.Count(log.String(), "\n"), log.String())
	hide()
	hide()
}

func TestAnAddressThatIsTakenIsTriedAgainUntilItIsFree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, tries := new(heard), 0
		s := &server{address: "127.0.0.1:8090", log: log.logger(), listen: func(context.Context, string) (net.Listener, error) {
			if tries++; tries < 4 {
				return nil, errors.New("taken")
			}
			return limit(nil), nil
		}}
		l := s.await(t.Context())
		require.NotNil(t, l)
		require.Equal(t, 4, tries)
		require.Equal(t, 1, strings.Count(log.String(), "\n"), log.String())
	})
}

func TestAnAddressIsFreeAfterItsLastBlock(t *testing.T) {
	f := newFake("/sf")
	a, b := source(f, Block{}), source(f, Block{})
	log := new(heard)
	hideA, hideB := Show("127.0.0.1:0", a, log.logger()), Show("127.0.0.1:0", b, log.logger())
	require.Eventually(t, func() bool { return strings.Contains(log.String(), "url=http") }, 10*time.Second, 5*time.Millisecond)
	url := regexp.MustCompile(`http://[^/]+/`).FindString(log.String())
	hideA()
	_, body := request(t, "GET", url+"healthz", "")
	require.Equal(t, "ok, 0 rows pending\n", body)
	hideB()
	l, err := net.Listen("tcp", strings.Trim(strings.TrimPrefix(url, "http:"), "/"))
	require.NoError(t, err)
	require.NoError(t, l.Close())
}
