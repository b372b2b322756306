// SPDX-License-Identifier: MIT

package doctor

import (
	"fmt"
	"slices"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/link"
)

// Advice is a line of the configuration that should be another, and why.
type Advice struct {
	Option  string `json:"option"`
	Value   string `json:"value"`   // as TOML
	Present string `json:"present"` // likewise; empty where that is not known
	Why     string `json:"why"`
}

// assumedRate is what an agent with some two hundred fields every ten seconds stores, in
// bytes a second; it is for a store that has not told its rate yet.
const assumedRate = 1 << 10

func (x *examination) advise() {
	x.adviseDurability()
	x.adviseSize()
	x.adviseConnection()
	x.adviseOnce()
}

// recommend advises a value that is not the present one.
func (x *examination) recommend(option, value, present, why string, args ...any) {
	if value != present {
		x.Advice = append(x.Advice, Advice{option, value, present, fmt.Sprintf(why, args...)})
	}
}

// quoted writes a text as TOML; nothing for none.
func quoted(s string) string {
	if s == "" {
		return ""
	}
	return fmt.Sprintf("%q", s)
}

// adviseDurability has a sync a batch where that is a small part of the time between two.
func (x *examination) adviseDurability() {
	d := &x.disk
	limit, present := x.FlushInterval/10, quoted(x.Durability)
	switch {
	case d.kind == "tmpfs" || d.kind == "ramfs":
		x.recommend("sf_durability", `"memory"`, present, "a sync does nothing on %s; what is there is lost with the box whatever is set here", d.kind)
	case d.median == 0: // not measured
	case d.median <= limit && d.worst <= x.AppendDeadline:
		x.recommend("sf_durability", `"flush"`, present, "a sync takes %s, a small part of the flush interval of %s, and nothing accepted is lost by a power cut", rounded(d.median), x.FlushInterval)
	default:
		x.recommend("sf_durability", `"periodic"`, present, "a sync takes %s, at worst %s, too long for each batch at a flush interval of %s; a power cut may take the last second (sf_sync_interval)",
			rounded(d.median), rounded(d.worst), x.FlushInterval)
	}
}

// adviseSize has the store bridge the outage, as far as the disk goes. One that is larger
// than that is left as it is.
func (x *examination) adviseSize() {
	d := &x.disk
	if d.total == 0 {
		return
	}
	rate, how := x.Rate, "given"
	switch {
	case rate > 0:
	case d.rate > 0:
		rate, how = d.rate, "at which the store fills now"
	default:
		rate, how = assumedRate, "assumed: say -rate"
	}
	wanted := max(int64(rate*x.Outage.Seconds()*1.25), x.Segments, 64<<20)
	room := max(0, (d.free-d.keep+d.used)/10*9)
	size := min(wanted, room)
	if size < x.Segments || size <= d.maximum && d.maximum <= room { // free space tells of the first
		return
	}
	lasts := func(bytes int64) string {
		return Span(time.Duration(min(float64(bytes)/rate, 1e9) * float64(time.Second)))
	}
	x.recommend("sf_max_total_bytes", quoted(Size(size)), quoted(Size(d.maximum)), "an outage of %s at %s/s (%s), for which the present limit is good for %s; the disk has room for %s",
		lasts(size), Bytes(int64(rate)), how, lasts(d.maximum), Bytes(room))
}

// adviseConnection is about the way to the servers that answer.
func (x *examination) adviseConnection() {
	secure := slices.ContainsFunc(x.servers, func(s serverFacts) bool { return s.secure })
	if idle := x.FlushInterval + 5*time.Second; secure && x.IdleTimeout <= x.FlushInterval {
		x.recommend("idle_connection_timeout", quoted(idle.String()), quoted(x.IdleTimeout.String()),
			"longer than the flush interval of %s, so that not each batch needs a TLS handshake; it keeps one of the server's connections in use", x.FlushInterval)
	}
	present := quoted(x.Link.Compression.String())
	if slices.ContainsFunc(x.servers, func(s serverFacts) bool { return s.noGzip }) {
		x.recommend("compression", `"none"`, present, "a server is too old for gzip")
	} else if x.Link.Compression == link.CompressionNone &&
		slices.ContainsFunc(x.servers, func(s serverFacts) bool { return s.transport == link.ILP && !s.local }) {
		x.recommend("compression", `"auto"`, present, "the server takes gzip, and the way to it is a network")
	}
}

// adviseOnce has rows stored once where the server lets us see to it.
func (x *examination) adviseOnce() {
	asked, sql, keyed, far := false, true, 0, len(x.servers) > 1
	for _, s := range x.servers {
		if !s.reached {
			continue
		}
		asked, sql, keyed, far = true, sql && s.sql, keyed+s.keyed, far || !s.local
	}
	present := fmt.Sprint(x.ExactlyOnce)
	switch {
	case !asked:
	case !sql:
		x.recommend("exactly_once", "false", present, "it needs SQL over /exec, which a server does not offer to this user")
	case keyed > 0:
		x.recommend("exactly_once", "true", present, "%d tables have the keys already", keyed)
	case far:
		x.recommend("exactly_once", "true", present, "the server offers SQL, and when a connection breaks before an ack rows are sent twice: with it they are stored once. It costs 8 bytes a row; tables that exist need the keys first")
	}
}
