// SPDX-License-Identifier: MIT

package sfpool_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/questdb-sf/questdb_sf/sfpool"
)

// tabled is a server of ILP over HTTP with one table, t, if it is there.
type tabled struct {
	*httptest.Server
	there atomic.Bool
	heard chan string // the requests to /exec, while there is room
	mu    sync.Mutex
	lines bytes.Buffer
}

func serveTable(t testing.TB) *tabled {
	t.Helper()
	s := &tabled{heard: make(chan string, 64)}
	s.Server = httptest.NewServer(http.HandlerFunc(s.answer))
	t.Cleanup(s.Close)
	return s
}

func (s *tabled) answer(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.URL.Path == "/write":
		s.mu.Lock()
		defer s.mu.Unlock()
		_, _ = io.Copy(&s.lines, r.Body)
		w.Header().Set("Server", "questDB/1.0")
		w.WriteHeader(http.StatusNoContent)
		return
	case r.URL.Path != "/exec":
		w.WriteHeader(http.StatusNotFound)
		return
	}
	select {
	case s.heard <- r.URL.Query().Get("query"):
	default:
	}
	w.Header().Set("Content-Type", "application/json")
	if s.there.Load() {
		fmt.Fprint(w, `{"query":"q","columns":[{"name":"column","type":"STRING"},{"name":"type","type":"STRING"},`+
			`{"name":"designated","type":"BOOLEAN"},{"name":"upsertKey","type":"BOOLEAN"}],"dataset":[`+
			`["timestamp","TIMESTAMP",true,true],["id","LONG",false,false],["sf_row_id","LONG",false,true]],"count":3}`)
		return
	}
	w.WriteHeader(http.StatusBadRequest)
	fmt.Fprint(w, `{"query":"q","error":"table does not exist [table=t]","position":0}`)
}

func (s *tabled) config(t testing.TB) sfpool.Config {
	cfg := config(t, s.URL)
	cfg.Transport, cfg.Compression = sfpool.ILP, sfpool.CompressionNone
	return cfg
}

// Rows wait for a table that only others may create, and Stats tells.
func TestRowsOfATableThatIsMissingAreHeldOnDiskAndInRAM(t *testing.T) {
	for name, dir := range map[string]string{"disk": filepath.Join(t.TempDir(), "sf"), "RAM": ""} {
		t.Run(name, func(t *testing.T) {
			srv := serveTable(t)
			cfg := srv.config(t)
			cfg.Dir, cfg.TableCreate = dir, sfpool.CreateNever
			p, err := sfpool.Open(t.Context(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close(t.Context())
			s := borrowed(t, p, 1)[0]
			defer s.Return()
			if err := s.Flush(t.Context(), batch(t, p, 0, 10)); err != nil {
				t.Fatal(err)
			}
			if q := <-srv.heard; !strings.Contains(q, "'t'") {
				t.Errorf("asked %s", q)
			}
			awaitHeld(t, p, 10)
			if srv.mu.Lock(); srv.lines.Len() > 0 {
				t.Errorf("sent %s", &srv.lines)
			}
			srv.mu.Unlock()
		})
	}
}

// awaitHeld waits until so many rows wait for their tables.
func awaitHeld(t testing.TB, p *sfpool.Pool, rows int64) {
	t.Helper()
	for end := time.Now().Add(time.Minute); p.Stats().HeldRows != rows; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("stats %+v", p.Stats())
		}
	}
}

func TestRowsOfATableWithTheKeysGetTheirIDWhateverTheOptionSays(t *testing.T) {
	for _, once := range []bool{false, true} {
		srv := serveTable(t)
		srv.there.Store(true)
		cfg := srv.config(t)
		cfg.ExactlyOnce = once
		p := open(t, cfg)
		s := borrowed(t, p, 1)[0]
		defer s.Return()
		if err := s.Flush(t.Context(), batch(t, p, 0, 10)); err != nil {
			t.Fatal(err)
		}
		acked(t, p)
		srv.mu.Lock()
		if n := strings.Count(srv.lines.String(), "sf_row_id="); n != 10 {
			t.Errorf("exactly_once %t: %d ids in %s", once, n, &srv.lines)
		}
		srv.mu.Unlock()
	}
}

func TestTablesCannotBeConfiguredAsNonsense(t *testing.T) {
	for want, change := range map[string]func(*sfpool.Config){
		"table_create":       func(c *sfpool.Config) { c.TableCreate = 9 },
		"dedup_lost":         func(c *sfpool.Config) { c.DedupLost = 9 },
		"table_partition_by": func(c *sfpool.Config) { c.TablePartitionBy = "FORTNIGHT" },
		"table_ttl":          func(c *sfpool.Config) { c.TableTTL = "soon" },
		"timestamp_column":   func(c *sfpool.Config) { c.TimestampColumn = "a/b" },
	} {
		cfg := config(t, nowhere)
		change(&cfg)
		if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v", want, err)
		}
	}
}
