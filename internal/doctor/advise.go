// SPDX-License-Identifier: MIT

package doctor

import (
	"fmt"
	"slices"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/link"
)

// Advice is a line of the configuration and why.
type Advice struct {
	Option string `json:"option"`
	Value  string `json:"value"` // as TOML
	Why    string `json:"why"`
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

func (x *examination) recommend(option, value, why string, args ...any) {
	x.Advice = append(x.Advice, Advice{option, value, fmt.Sprintf(why, args...)})
}

// adviseDurability has a sync a batch where that is a small part of the time between two.
func (x *examination) adviseDurability() {
	d := &x.disk
	limit := x.FlushInterval / 10
	switch {
	case d.kind == "tmpfs" || d.kind == "ramfs":
		x.recommend("sf_durability", `"memory"`, "a sync does nothing on %s; what is there is lost with the box whatever is set here", d.kind)
	case d.median == 0:
		x.recommend("sf_durability", `"flush"`, "the default: nothing accepted is lost by a power cut; how long a sync takes was not measured")
	case d.median <= limit && d.worst <= x.AppendDeadline:
		x.recommend("sf_durability", `"flush"`, "a sync takes %s, a small part of the flush interval of %s, and nothing accepted is lost by a power cut", rounded(d.median), x.FlushInterval)
	default:
		x.recommend("sf_durability", `"periodic"`, "a sync takes %s, at worst %s, too long for each batch at a flush interval of %s; a power cut may take the last second (sf_sync_interval)",
			rounded(d.median), rounded(d.worst), x.FlushInterval)
	}
}

// adviseSize has the store bridge the outage, as far as the disk goes.
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
	wanted := max(int64(rate*x.Outage.Seconds()*1.25), x.Segments)
	room := max(0, (d.free-d.keep+d.used)/10*9)
	size := min(max(wanted, 64<<20), room)
	if size < x.Segments {
		x.recommend("sf_dir", `"…"`, "there is no room for a store here: %s free, of which %s are to be left", Bytes(d.free), Bytes(d.keep))
		return
	}
	lasts := time.Duration(min(float64(size)/rate, 1e9) * float64(time.Second))
	x.recommend("sf_max_total_bytes", fmt.Sprintf("%q", Size(size)), "an outage of %s at %s/s (%s); the disk has room for %s",
		Span(lasts), Bytes(int64(rate)), how, Bytes(room))
}

// adviseConnection is about the way to the servers that answer.
func (x *examination) adviseConnection() {
	secure := slices.ContainsFunc(x.servers, func(s serverFacts) bool { return s.secure })
	switch idle := x.FlushInterval + 5*time.Second; {
	case secure && x.IdleTimeout <= x.FlushInterval:
		x.recommend("idle_connection_timeout", fmt.Sprintf("%q", idle), "longer than the flush interval of %s, so that not each batch needs a TLS handshake; it keeps one of the server's connections in use", x.FlushInterval)
	case secure:
		x.recommend("idle_connection_timeout", fmt.Sprintf("%q", x.IdleTimeout), "longer than the flush interval of %s: a batch needs no TLS handshake of its own", x.FlushInterval)
	}
	if slices.ContainsFunc(x.servers, func(s serverFacts) bool { return s.noGzip }) {
		x.recommend("compression", `"none"`, "a server is too old for gzip")
	} else if slices.ContainsFunc(x.servers, func(s serverFacts) bool { return s.transport == link.ILP && !s.local }) {
		x.recommend("compression", `"auto"`, "the server takes gzip, and the way to it is a network")
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
	switch {
	case !asked:
	case !sql:
		x.recommend("exactly_once", "false", "it needs SQL over /exec, which a server does not offer to this user")
	case keyed > 0:
		x.recommend("exactly_once", "true", "%d tables have the keys already", keyed)
	case far:
		x.recommend("exactly_once", "true", "the server offers SQL, and when a connection breaks before an ack rows are sent twice: with it they are stored once. It costs 8 bytes a row; tables that exist need the keys first")
	default:
		x.recommend("exactly_once", "false", "the server is on this box, so that acks are rarely lost; true stores rows once even then, for 8 bytes a row")
	}
}
