// SPDX-License-Identifier: MIT

package link

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
)

// mask takes the credentials of a request, ours and those for a proxy on the way, out
// of an answer that does not look like QuestDB's: error pages of proxies and portals
// show the headers they were sent, and what they say is quoted in the log. QuestDB
// itself repeats none, and a name in its answers must stay as it is, even one that
// equals a password.
func (l *Link) mask(h *host, answer []byte, authorization string) []byte {
	secrets := append(secretsIn(authorization), secretsIn(l.proxyAuthorization(h))...)
	if len(secrets) == 0 || looksLikeQuestDB(answer) {
		return answer
	}
	for _, secret := range secrets {
		answer = bytes.ReplaceAll(answer, []byte(secret), []byte("[secret]"))
	}
	return answer
}

// proxyAuthorization is the header that a proxy on the way to h is sent, if any.
func (l *Link) proxyAuthorization(h *host) string {
	if l.cfg.Proxy == nil {
		return ""
	}
	req, err := http.NewRequest(http.MethodGet, h.url("http", "/"), nil)
	if err != nil {
		return ""
	}
	u, err := l.cfg.Proxy(req)
	if err != nil || u == nil || u.User == nil {
		return ""
	}
	password, _ := u.User.Password()
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(u.User.Username()+":"+password))
}

// looksLikeQuestDB knows the answers to statements and to refused writes.
func looksLikeQuestDB(answer []byte) bool {
	var all map[string]json.RawMessage
	if json.Unmarshal(answer, &all) != nil {
		return false
	}
	for _, key := range []string{"query", "ddl", "errorId"} {
		if _, ok := all[key]; ok {
			return true
		}
	}
	return false
}

// secretsIn returns what must not be shown of a header: its value and, of Basic, the
// password. The longest come first.
func secretsIn(authorization string) []string {
	scheme, value, _ := strings.Cut(authorization, " ")
	list := []string{value}
	if plain, err := base64.StdEncoding.DecodeString(value); err == nil && scheme == "Basic" {
		_, password, _ := strings.Cut(string(plain), ":")
		list = append(list, string(plain), password)
	}
	var secrets []string
	for _, s := range list {
		if s != "" {
			secrets = append(secrets, s)
		}
	}
	return secrets
}
