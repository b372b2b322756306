// SPDX-License-Identifier: MIT

package sqlhttp

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/questdb-sf/questdb_sf/internal/link"
)

// The limits of what is quoted of an answer, in bytes.
const (
	maxMessage = 400
	maxExcerpt = 100
)

// Error is an answer to a statement that is no result. It holds neither the
// statement nor a credential.
type Error struct {
	Host   string
	Status int // of HTTP; QuestDB 9.3.4 gives 400 to all that it cannot run
	// Message is on one line: QuestDB's own, or the begin of what somebody else said.
	Message  string
	Position int // in the statement, from 0
	// QuestDB says that the answer has QuestDB's shape.
	QuestDB bool
}

func stranger(a link.Answer) *Error {
	return &Error{Status: a.Status, Message: link.OneLine(string(a.Body[:min(len(a.Body), 4*maxExcerpt)]), maxExcerpt)}
}

func (e *Error) Error() string {
	switch {
	case e.QuestDB:
		return fmt.Sprintf("%s refused a statement (HTTP %d): %s", e.Host, e.Status, e.Message)
	case e.Definite():
		return fmt.Sprintf("%s does not offer SQL at /exec, or not to this user (HTTP %d, %q)", e.Host, e.Status, e.Message)
	}
	return fmt.Sprintf("%s does not answer SQL like QuestDB (HTTP %d, %q)", e.Host, e.Status, e.Message)
}

// denials are what QuestDB says, in a 400, to a user who may not run a statement:
// 9.3.4 the first, with http.security.readonly or another read-only user.
var denials = []string{"permission denied", "access denied"}

// Definite says that SQL is not offered on this host, or not to this user: asking
// again will not help before somebody changes that. Any other Error may pass.
func (e *Error) Definite() bool {
	switch e.Status {
	case http.StatusForbidden, http.StatusNotFound, http.StatusMethodNotAllowed:
		return true
	}
	return e.QuestDB && !e.NoTable() && slices.ContainsFunc(denials, func(text string) bool {
		return strings.Contains(strings.ToLower(e.Message), text)
	})
}

// NoTable says that QuestDB has no table of the name that was asked for.
func (e *Error) NoTable() bool {
	return e.QuestDB && strings.HasPrefix(e.Message, "table does not exist")
}
