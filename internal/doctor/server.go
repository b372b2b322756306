// SPDX-License-Identifier: MIT

package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/link"
	"github.com/questdb-sf/questdb_sf/internal/sqlhttp"
)

// serverFacts is what the advice goes by.
type serverFacts struct {
	secure, local bool // https or wss; on this box
	reached       bool // and it takes the credentials
	transport     link.Transport
	noGzip        bool // it is too old for that
	sql           bool // it takes SQL
	params        map[string]string
	keyed, bare   int // tables with the row id, with and without DEDUP keys of it
}

// server is one that is being looked at.
type server struct {
	*examination
	serverFacts
	name string // as the findings call it, without anything that could be secret
	base string // http or https, and where
	host string // as link calls it
	link *link.Link
	sql  *sqlhttp.Client
}

// examineServer looks at one endpoint alone, whatever the others are.
func (x *examination) examineServer(ctx context.Context, raw string) {
	cfg := x.Link
	cfg.URLs = []string{raw}
	cfg.ConnectTimeout = min(cmp.Or(cfg.ConnectTimeout, maxWait), maxWait)
	l, err := link.New(cfg)
	if err != nil {
		x.add("server", "urls", Failure, "correct urls", "%v", err)
		return
	}
	defer l.CloseIdle()
	s := &server{examination: x, link: l, base: link.Canonical(raw), sql: sqlhttp.New(l)}
	u, err := url.Parse(s.base)
	if err != nil { // not after link.New
		return
	}
	s.host, s.secure = u.Host, u.Scheme == "https"
	s.name = u.Scheme + "://" + u.Host
	ip, err := netip.ParseAddr(u.Hostname())
	s.local = u.Hostname() == "localhost" || err == nil && ip.IsLoopback()
	s.examine(ctx)
	x.servers = append(x.servers, s.serverFacts)
}

// maxWait bounds a connect: somebody is waiting for the report.
const maxWait = 10 * time.Second

func (s *server) say(check string, v Verdict, remedy, format string, args ...any) {
	s.add(check, s.name, v, remedy, format, args...)
}

func (s *server) examine(ctx context.Context) {
	seen := s.glance(ctx)
	s.examineTLS(seen.tls)
	c, err := s.link.Connect(ctx)
	var auth *link.AuthError
	var role *link.RoleError
	switch {
	case errors.As(err, &auth):
		s.say("reachable", OK, "", "it answers")
		s.refused(auth.Status, auth.Error())
		return
	case errors.As(err, &role):
		s.say("reachable", OK, "", "it answers")
		s.readOnly(role.Error())
		return
	case err != nil:
		s.say("reachable", Failure, "see that QuestDB runs and listens there, and what stands in between; rows wait in the store meanwhile", "%v", err)
		return
	}
	defer func() { _ = c.Close() }()
	s.reached, s.transport, s.host = true, c.Transport(), c.Host() // as the link spells it
	s.say("reachable", OK, "", "it answers after %s", rounded(seen.took))
	s.examineVersion(seen)
	if !s.examineCredentials(ctx, c) {
		s.reached = false // what it offers to who may write is not known
		return
	}
	s.examineSQL(ctx, seen)
}

func (s *server) examineVersion(seen glance) {
	version := seen.version()
	if version == "" {
		s.say("version", Warning, "see that QuestDB itself answers there, and not something in between", "/settings does not tell it")
	} else {
		s.say("version", OK, "", "QuestDB %s", link.OneLine(version, 40))
	}
	switch {
	case s.transport == link.QWP:
		s.say("protocol", OK, "", "QWP over WebSocket, which has no compression")
		return
	case s.Link.Transport == link.ILP:
		s.say("protocol", OK, "", "ILP over HTTP, as transport says")
	default:
		s.say("protocol", OK, "", "ILP over HTTP: the server offers no QWP")
	}
	s.noGzip = version != "" && older(version, gzipSince)
	switch {
	case s.noGzip && s.Link.Compression == link.CompressionGzip:
		s.say("gzip", Warning, `upgrade the server, or set compression = "none"`, "QuestDB takes it from 9.1 on")
	case s.noGzip:
		s.say("gzip", OK, "", "not offered: QuestDB takes it from 9.1 on")
	case version != "":
		s.say("gzip", OK, "", "offered")
	}
}

var gzipSince = []int{9, 1}

// older compares the numbers that a version begins with.
func older(version string, than []int) bool {
	parts := strings.Split(version, ".")
	for i, want := range than {
		if i == len(parts) {
			return false
		}
		n, err := strconv.Atoi(parts[i])
		if err != nil || n > want {
			return false
		}
		if n < want {
			return true
		}
	}
	return false
}

// examineCredentials writes no rows, which only who may write can.
func (s *server) examineCredentials(ctx context.Context, c link.Conn) bool {
	how := "the upgrade was accepted"
	if a, ok := c.(interface{ Announce(context.Context) error }); ok {
		how = "a write of no rows was accepted"
		err := a.Announce(ctx)
		var refusal *link.Refusal
		switch {
		case errors.As(err, &refusal) && refusal.HTTPStatus == http.StatusMisdirectedRequest:
			s.readOnly(refusal.Error())
			return false
		case errors.As(err, &refusal):
			s.refused(refusal.HTTPStatus, refusal.Error())
			return false
		case err != nil:
			s.say("credentials", Failure, "see what stands in between", "%v", err)
			return false
		}
	}
	if s.anonymous() {
		how += ", without credentials"
	}
	s.say("credentials", OK, "", "%s", how)
	return true
}

// anonymous says whether no credentials are set.
func (s *server) anonymous() bool {
	if s.Link.Auth == nil {
		return true
	}
	a, err := s.Link.Auth()
	return err == nil && a == link.Auth{}
}

func (s *server) refused(status int, says string) {
	remedy := "check username and password, or token, and that the user may write"
	switch {
	case status != http.StatusUnauthorized && status != http.StatusForbidden:
		remedy = "see what answers there, and its log"
	case s.anonymous():
		remedy = "set username and password, or token"
	}
	s.say("credentials", Failure, remedy, "%s", says)
}

// readOnly is no failure where another endpoint may be the primary.
func (s *server) readOnly(says string) {
	v, remedy := Failure, "write a primary into urls, or see http.security.readonly of the server"
	if len(s.Link.URLs) > 1 {
		v, remedy = Warning, "nothing, if another of urls is the primary"
	}
	s.say("role", v, remedy, "%s", says)
}

// examineSQL asks what only SQL can tell.
func (s *server) examineSQL(ctx context.Context, seen glance) {
	asked := s.Now()
	rows, err := s.ask(ctx, 1, "SELECT now()")
	answered := s.Now()
	if err != nil {
		s.examineSkew(seen.date, seen.at, time.Second/2+seen.took)
		v := Warning
		if s.ExactlyOnce {
			v = Failure
		}
		s.say("sql", v, "allow the user SQL over /exec: exactly_once, table_create = \"sql\" and what is known of tables need it", "%v", err)
		return
	}
	s.serverFacts.sql = true
	s.say("sql", OK, "", "answered in %s", rounded(answered.Sub(asked)))
	took := answered.Sub(asked)
	if there, err := serverTime(rows); err == nil {
		s.examineSkew(there, asked.Add(took/2), took/2)
	}
	s.examineParameters(ctx)
	s.examineTables(ctx)
}

const (
	// skewNoticed is a difference that shows in dashboards, skewWrong one that makes the
	// time of rows useless.
	skewNoticed = 5 * time.Second
	skewWrong   = time.Hour
)

// examineSkew compares two clocks that were read within so much of each other.
func (s *server) examineSkew(there, here time.Time, within time.Duration) {
	if there.IsZero() {
		return
	}
	skew := here.Sub(there)
	is := fmt.Sprintf("this box is %s ahead of the server", rounded(skew.Abs()))
	if skew < 0 {
		is = fmt.Sprintf("this box is %s behind the server", rounded(skew.Abs()))
	}
	const remedy = "set the clock that is wrong, by NTP for example: rows get the time of this box"
	switch {
	case skew.Abs() > skewWrong+within:
		s.say("clock", Failure, remedy, "%s", is)
	case skew.Abs() > skewNoticed+within:
		s.say("clock", Warning, remedy, "%s", is)
	default:
		s.say("clock", OK, "", "%s, measured to %s", is, rounded(within))
	}
}

func serverTime(rows [][]any) (time.Time, error) {
	if len(rows) != 1 {
		return time.Time{}, errors.New("it does not tell the time")
	}
	return time.Parse(time.RFC3339Nano, text(rows[0][0]))
}

func text(v any) string {
	s, _ := v.(string)
	return s
}
