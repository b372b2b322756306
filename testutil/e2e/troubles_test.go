// SPDX-License-Identifier: MIT

package e2e

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// troubles are the rows of the table by their symptoms.
var troubles = map[string]trouble{
	"no new rows in QuestDB":                         nothingComes,
	"the log says no connection":                     noConnection,
	"the log says HTTP 401":                          wrongPassword,
	"the log says has expired":                       oldCertificate,
	"rows have the wrong time":                       wrongClock,
	"the backlog shrinks too slowly":                 slowReplay,
	"the disk fills":                                 fillingDisk,
	"rows of one table are missing":                  hiddenRows,
	"some rows of a table are missing":               refusedRows,
	"rows are there twice":                           rowsTwice,
	"the log says already in use by another process": twoOwners,
	"the log says damage in a slot":                  damagedFile,
	"a slot that nobody sends":                       nobodysSlot,
	"a box was cloned with rows in its store":        clonedBox,
	"a box that will never be online again":          offlineForEver,
	"the server was set back to a backup":            setBack,
}

func nothingComes(p *patient) (mend func()) {
	p.via.setAway(true)
	p.begin()
	p.feed("nothing v=1i")
	until(p.ctx, p, "what the agent says of it", func() bool { return strings.Contains(p.types("slots -config FILE"), "says: waiting") })
	return func() {
		p.via.setAway(false)
		p.has("nothing", 1)
		p.sent()
	}
}

func noConnection(p *patient) (mend func()) {
	p.address = strings.Replace(p.address, "127.0.0.1:", "127.0.0.2:", 1) // where nobody listens
	p.begin()
	p.feed("unreached v=1i")
	p.logs()
	return func() {
		startRelayAt(p, p.srv.HTTP(), strings.TrimPrefix(p.address, "http://"))
		p.has("unreached", 1)
		p.silent("connection refused")
	}
}

func wrongPassword(p *patient) (mend func()) {
	p.begin(`password = "wrong"`)
	p.feed("rejected v=1i")
	p.logs()
	return func() {
		p.end()
		p.begin(`password = "` + password + `"`)
		p.has("rejected", 1)
		p.silent("HTTP 401")
	}
}

// oldCertificate has a proxy with TLS before the server, as people have it.
func oldCertificate(p *patient) (mend func()) {
	ca, issue := authority(p)
	var shown atomic.Pointer[tls.Certificate]
	shown.Store(issue(time.Now().Add(-time.Hour)))
	listener := must(tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return shown.Load(), nil },
	}))(p)
	front := &http.Server{Handler: p.via, ErrorLog: log.New(io.Discard, "", 0)} // handshakes fail here
	go func() { _ = front.Serve(listener) }()
	p.Cleanup(func() { _ = front.Close() })
	p.address = "https://" + listener.Addr().String()
	p.begin(fmt.Sprintf("tls_ca = %q", ca))
	p.feed("expired v=1i")
	p.logs()
	return func() {
		shown.Store(issue(time.Now().Add(24 * time.Hour)))
		p.has("expired", 1)
		p.silent("it expired")
	}
}

// authority makes one: its file, and what issues certificates until a time.
func authority(p *patient) (file string, issue func(until time.Time) *tls.Certificate) {
	p.Helper()
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(p)
	sign := func(c *x509.Certificate) []byte {
		c.SerialNumber, c.NotBefore = big.NewInt(1), time.Now().Add(-48*time.Hour)
		parent := &x509.Certificate{Subject: pkix.Name{CommonName: "authority"}}
		return must(x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, key))(p)
	}
	root := sign(&x509.Certificate{Subject: pkix.Name{CommonName: "authority"}, NotAfter: time.Now().AddDate(1, 0, 0), IsCA: true, BasicConstraintsValid: true})
	file = filepath.Join(p.root, "ca.pem")
	check(p, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root}), 0o600))
	return file, func(until time.Time) *tls.Certificate {
		leaf := sign(&x509.Certificate{Subject: pkix.Name{CommonName: "questdb"}, NotAfter: until, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}})
		return &tls.Certificate{Certificate: [][]byte{leaf}, PrivateKey: key}
	}
}

var instant = regexp.MustCompile(`\d{4}-\d\d-\d\dT[\d:.]+Z`)

// wrongClock has the server say that it is two hours later.
func wrongClock(p *patient) (mend func()) {
	var ahead atomic.Int64
	ahead.Store(int64(2 * time.Hour))
	p.via.proxy.ModifyResponse = func(a *http.Response) error {
		if a.Request.URL.Query().Get("query") != "SELECT now()" {
			return nil
		}
		body, err := io.ReadAll(a.Body)
		later := time.Now().Add(time.Duration(ahead.Load())).UTC().Format(time.RFC3339Nano)
		body = instant.ReplaceAll(body, []byte(later))
		a.Body, a.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		a.Header.Set("Content-Length", strconv.Itoa(len(body)))
		return err
	}
	p.begin()
	p.feed("late v=1i")
	p.has("late", 1)
	return func() {
		ahead.Store(0)
		p.silent("warn  clock")
		p.silent("fail  clock")
	}
}

// slowReplay has a backlog of more than a request: what was there at the start.
func slowReplay(p *patient) (mend func()) {
	const rows = 40
	text := strings.Repeat("x", 100<<10)
	p.via.setAway(true)
	p.begin("sender_pool_max = 1", `replay_rate = "64KiB"`)
	for i := range rows {
		p.feed(fmt.Sprintf("slow,n=%d text=%q", i, text))
	}
	p.end()
	p.via.setAway(false)
	p.start()
	return func() {
		p.end()
		p.begin("sender_pool_max = 1")
		p.has("slow", rows)
		p.sent()
	}
}

func fillingDisk(p *patient) (mend func()) {
	p.via.setAway(true)
	box := p.begin("sender_pool_max = 1")
	p.feed("filling v=0i")
	go func() { // until the box ends
		for i := 0; ; i++ {
			if _, err := fmt.Fprintf(box.Stdin, "filling,n=%d v=%di\n", i%10, i); err != nil {
				return
			}
			time.Sleep(5 * time.Millisecond)
		}
	}()
	return func() {
		p.end()
		p.via.setAway(false)
		p.start()
		p.sent()
	}
}

// hiddenRows are those of a table that is suspended, and of one that drops them.
func hiddenRows(p *patient) (mend func()) {
	old := time.Now().Add(-60 * time.Hour).UnixNano()
	p.sql(`CREATE TABLE stuck (timestamp TIMESTAMP, v LONG) TIMESTAMP(timestamp) PARTITION BY DAY WAL`)
	p.sql(`CREATE TABLE brief (timestamp TIMESTAMP, v LONG) TIMESTAMP(timestamp) PARTITION BY DAY TTL 1 DAY WAL`)
	p.sql(`ALTER TABLE stuck SUSPEND WAL WITH 28, 'no space left on device'`)
	p.begin()
	p.feed("stuck v=1i", "brief v=1i", fmt.Sprint("brief v=2i ", old))
	p.sent()
	p.has("brief", 1)
	p.has("stuck", 0)
	return func() {
		list := p.printed()
		if len(list) != 2 {
			p.Fatalf("statements %q in\n%s", list, p.said)
		}
		p.end() // and with it the rows go from which the tables are known
		if said := p.types(p.command); !containsAll(said, p.says) {
			p.Errorf("without the box it does not say all of %q:\n%s", p.says, said)
		}
		p.start()
		for _, statement := range list {
			p.sql(statement)
		}
		p.has("stuck", 1)
		p.feed(fmt.Sprint("brief v=3i ", old))
		p.has("brief", 2)
		p.silent("suspended:")
		p.silent("SET TTL")
	}
}

func refusedRows(p *patient) (mend func()) {
	p.sql(`CREATE TABLE picky (timestamp TIMESTAMP, v LONG) TIMESTAMP(timestamp) PARTITION BY DAY WAL`)
	p.begin(`type_conflict = "dead_letter"`)
	p.feed("picky v=1i", "picky v=2.5", "picky v=3i")
	p.sent()
	p.has("picky", 2)
	return func() {
		p.sql("ALTER TABLE picky ALTER COLUMN v TYPE DOUBLE")
		p.end()
		p.via.forget() // QuestDB remembers the column as it was for a connection
		p.start()
		p.feed("picky v=4.5")
		p.has("picky", 4)
		until(p.ctx, p, "no dead letters", func() bool { return !strings.Contains(p.types(p.command), "picky") })
	}
}

// rowsTwice loses answers, so that rows are sent again.
func rowsTwice(p *patient) (mend func()) {
	p.sql(`CREATE TABLE twice (timestamp TIMESTAMP, sf_row_id LONG, v LONG) TIMESTAMP(timestamp) PARTITION BY DAY WAL`)
	p.begin(`idle_connection_timeout = "1m"`) // a connect has answers too
	p.feed("twice v=0i")
	p.has("twice", 1)
	p.via.loseAnswers(1)
	p.feed("twice v=1i")
	p.has("twice", 3)
	return func() {
		list := p.printed()
		if len(list) != 1 {
			p.Fatalf("statements %q in\n%s", list, p.said)
		}
		p.sql(list[0])
		p.via.loseAnswers(1)
		p.feed("twice v=2i")
		p.sent()
		p.exactly("twice", 4)
		if n := p.via.answersLost(); n != 2 {
			p.Errorf("%d answers were lost", n)
		}
		p.silent("DEDUP ENABLE")
	}
}

func twoOwners(p *patient) (mend func()) {
	first := p.begin(`lock_timeout = "100ms"`)
	p.feed("wanted v=1i")
	second := p.start()
	_, err := io.WriteString(second.Stdin, "wanted v=2i\n")
	check(p, err)
	p.logs()
	return func() {
		if !strings.Contains(p.said, fmt.Sprint("in use, pid ", first.PID())) {
			p.Errorf("the owner is %d:\n%s", first.PID(), p.said)
		}
		check(p, second.Kill())
		p.begin(`sender_id = "second"`)
		p.feed("wanted v=3i")
		p.sent()
		p.exactly("wanted", 2) // the other was never stored
	}
}

// damagedFile flips a bit in the second of three frames.
func damagedFile(p *patient) (mend func()) {
	p.via.setAway(true)
	p.begin("sender_pool_max = 1")
	for i := range 3 {
		p.feed(fmt.Sprintf("damaged v=%di", i))
	}
	p.end()
	file := fullest(p, filepath.Join(p.sf, "default-0"))
	data := must(os.ReadFile(file))(p)
	data[framesOf(p, data)[1].end-1] ^= 1
	check(p, os.WriteFile(file, data, 0o600))
	p.start()
	p.logs()
	return func() {
		if p.code != 4 {
			p.Errorf("exit code %d", p.code)
		}
		p.via.setAway(false)
		p.has("damaged", 2)
		p.sent()
		p.end() // with which the file goes away
		p.silent("wounded")
		if p.code != 0 {
			p.Errorf("exit code %d of a clean store", p.code)
		}
	}
}

func nobodysSlot(p *patient) (mend func()) {
	p.via.setAway(true)
	p.begin(`sender_id = "gone"`)
	p.feed("nobodys v=1i")
	p.end()
	p.via.setAway(false)
	p.configure(`sender_id = "here"`)
	return func() {
		p.types(p.remedies[0])
		p.has("nobodys", 1)
		p.sent()
	}
}

// clonedBox has a second store that is a copy of the first.
func clonedBox(p *patient) (mend func()) {
	p.via.setAway(true)
	p.begin()
	p.feed("cloned v=1i", "cloned v=2i")
	p.end()
	conf, sf := p.conf, p.sf
	p.conf, p.sf = filepath.Join(p.root, "clone.conf"), filepath.Join(p.root, "clone")
	check(p, os.CopyFS(p.sf, os.DirFS(sf)))
	p.configure()
	return func() {
		p.types(p.remedies[0])
		p.sent()
		p.via.setAway(false)
		p.start()
		p.feed("cloned v=3i")
		p.sent()
		p.conf, p.sf = conf, sf
		p.start()
		p.sent()
		p.exactly("cloned", 3)
	}
}

func offlineForEver(p *patient) (mend func()) {
	p.via.setAway(true)
	p.begin()
	p.feed("carried v=1i", "carried v=2i")
	p.end()
	return func() {
		p.sent()
		p.via.setAway(false)
		p.conf, p.sf = filepath.Join(p.root, "other.conf"), filepath.Join(p.root, "other")
		p.configure()
		check(p, os.Mkdir(p.sf, 0o750))
		for _, command := range p.remedies {
			p.types(command)
		}
		p.has("carried", 2)
		p.sent()
	}
}

// setBack empties the table, as a backup from before would have it.
func setBack(p *patient) (mend func()) {
	p.since = time.Now().Add(-time.Minute).UTC().Format(time.RFC3339)
	p.begin(`sf_retain_acked = "1h"`)
	p.feed("restored v=1i", "restored v=2i")
	p.has("restored", 2)
	p.end()
	p.sql("TRUNCATE TABLE restored")
	p.has("restored", 0)
	return func() {
		p.start()
		p.has("restored", 2)
		p.sent()
	}
}
