// SPDX-License-Identifier: MIT

package link

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
)

// serverName begins the Server header that QuestDB sends with all it says.
const serverName = "questDB"

// settingsKeys are of /settings, any of which only QuestDB has; 9.3.4 has them all.
var settingsKeys = []string{
	"release.version", "release.type", "line.proto.support.versions", "ilp.proto.transports", "cairo.max.file.name.length",
}

// proof is what is known of who is at the other end. An empty 204 is no proof:
// portals give it to everything (204-then-close, generate_204), and one may come
// between two requests, when net/http connects anew by itself. Only QuestDB's name
// in the answer proves it, or, behind a gateway that puts its own name there,
// QuestDB's /settings on the same TCP connection. Requests follow one another, so
// that nothing here needs a lock.
type proof struct {
	used    net.Conn // of the last request
	settled net.Conn // on which /settings was QuestDB's
	named   net.Conn // on which answers bear QuestDB's name
	closing bool     // the last answer ended its connection by announcement
	bears   bool     // the last answer bears QuestDB's name
}

// trace learns which TCP connection a request takes.
func (p *proof) trace(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) { p.used = info.Conn },
	})
}

// heard takes the headers of an answer.
func (p *proof) heard(resp *http.Response) {
	p.closing = resp.Close
	p.bears = len(resp.Header.Get("Server")) >= len(serverName) &&
		strings.EqualFold(resp.Header.Get("Server")[:len(serverName)], serverName)
	if p.bears {
		p.named = p.used
	}
}

// told takes the body of an answer to /settings.
func (p *proof) told(body []byte) {
	if isSettings(body) {
		p.settled = p.used
	}
}

// given says that the last answer is QuestDB's. Where answers bore its name, one
// without it is somebody else's.
func (p *proof) given() bool {
	return p.bears || p.used != nil && p.settled == p.used && p.named != p.used
}

// prove is asked about a 204: nil if QuestDB gave it, an error if nobody knows. A
// connection that is new to us is asked who it is. One that the answer ended cannot
// be; there, /settings at once after it has to do, or gateways that close after each
// answer could not be used.
func (c *ilpConn) prove(ctx context.Context) (*Refusal, error) {
	if c.proof.given() {
		return nil, nil
	}
	on, closing := c.proof.used, c.proof.closing
	if c.proof.named == on {
		return unproven(c.h, "no Server header of QuestDB's, which it had before"), nil
	}
	body, err := c.settings(ctx, min(settingsTimeout, c.link.cfg.ConnectTimeout))
	switch {
	case err != nil:
		return nil, err
	case !isSettings(body) || c.proof.bears:
		body = c.link.mask(c.h, body, c.auth)
		said := OneLine(string(body[:min(len(body), 4*maxExcerpt)]), maxExcerpt)
		return unproven(c.h, "no Server header of QuestDB's, and to /settings: "+said), nil
	case !closing && c.proof.used != on:
		return unproven(c.h, "no Server header of QuestDB's, and hung up"), nil
	}
	return nil, nil
}

// unproven is the refusal that a 204 is taken for.
func unproven(h *host, says string) *Refusal {
	return &Refusal{
		Host: h.host, HTTPStatus: http.StatusNoContent, Class: ServerState, Message: says,
		foreign: &NotQuestDBError{Host: h.host, Status: http.StatusNoContent, Excerpt: says},
	}
}

// isSettings reports whether body is QuestDB's answer to /settings.
func isSettings(body []byte) bool {
	config := settingsOf(body)
	for _, key := range settingsKeys {
		if _, ok := config[key]; ok {
			return true
		}
	}
	return false
}

// settingsOf reads the answer of /settings; older versions have the keys at the top.
func settingsOf(body []byte) map[string]json.RawMessage {
	var all, config map[string]json.RawMessage
	if json.Unmarshal(body, &all) != nil {
		return nil
	}
	if json.Unmarshal(all["config"], &config) != nil {
		return all
	}
	return config
}
