// SPDX-License-Identifier: MIT

package link

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strings"
)

// mask takes the credentials of a request out of an answer to it that is no JSON:
// error pages of proxies and portals show the headers they were sent, and what they
// say is quoted in the log. QuestDB itself answers in JSON and repeats none, and a
// name in that must stay as it is, even one that equals a password.
func mask(answer []byte, authorization string) []byte {
	if authorization == "" || json.Valid(answer) {
		return answer
	}
	for _, secret := range secretsIn(authorization) {
		answer = bytes.ReplaceAll(answer, []byte(secret), []byte("[secret]"))
	}
	return answer
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
