// SPDX-License-Identifier: MIT

package qwp

import (
	"errors"
	"slices"
	"strings"
	"unicode/utf8"
)

var (
	errEmptyName    = errors.New("name is empty")
	errLongName     = errors.New("name is longer than 127 bytes")
	errNameUTF8     = errors.New("name is not valid UTF-8")
	errNameChar     = errors.New("QuestDB refuses a character of the name")
	errNameEdge     = errors.New("QuestDB refuses a dot or a space at either end of a table name, and two dots in a row")
	errNameReserved = errors.New("QuestDB keeps that name for itself")
)

// refusedInTable are the characters that QuestDB refuses in the name of a table,
// besides control characters and U+FEFF (io.questdb.cairo.TableUtils,
// isValidTableName). The name of a column may have neither '.' nor '-' either.
const (
	refusedInTable  = `?,'"\/:)(+*%~`
	refusedInColumn = refusedInTable + ".-"
)

// RefusedInTable reports whether QuestDB refuses tables with r in their name.
// Whether it does is not known of all control characters; here none passes.
func RefusedInTable(r rune) bool { return refused(r, refusedInTable) }

// RefusedInColumn is RefusedInTable for columns.
func RefusedInColumn(r rune) bool { return refused(r, refusedInColumn) }

func refused(r rune, list string) bool {
	return r < 0x20 || r == 0x7F || r == 0xFEFF || strings.ContainsRune(list, r)
}

// systemTables of QuestDB 9.3.4 refuse the rows of others for ever, because they
// have no WAL. So do those under sys., and what else is called so is created but
// not listed by tables().
var systemTables = []string{"telemetry", "telemetry_config", "_query_trace"}

// SystemPrefix begins the names of other tables of QuestDB's own, in whatever case.
const SystemPrefix = "sys."

// ReservedTable reports whether the name, in whatever case, is that of a table of
// QuestDB's own.
func ReservedTable(name string) bool {
	if n := len(SystemPrefix); len(name) >= n && strings.EqualFold(name[:n], SystemPrefix) {
		return true
	}
	return slices.ContainsFunc(systemTables, func(s string) bool { return strings.EqualFold(s, name) })
}

// ReservedColumn reports whether the name, in whatever case, cannot be a user's:
// QuestDB 9.3.4 answers 500 for ever to a field called like its designated
// timestamp, and sf_row_id is the column that DEDUP tables get when sent.
func ReservedColumn(name string) bool {
	return strings.EqualFold(name, "timestamp") || strings.EqualFold(name, "sf_row_id")
}

// CheckTableName says why QuestDB refuses a table of that name. It is stricter
// than a Builder, which takes whatever the format can say.
func CheckTableName(name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	switch {
	case strings.ContainsFunc(name, RefusedInTable):
		return errNameChar
	case strings.Trim(name, ". ") != name, strings.Contains(name, ".."):
		return errNameEdge
	case ReservedTable(name):
		return errNameReserved
	}
	return nil
}

// CheckColumnName is CheckTableName for columns.
func CheckColumnName(name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	switch {
	case strings.ContainsFunc(name, RefusedInColumn):
		return errNameChar
	case ReservedColumn(name):
		return errNameReserved
	}
	return nil
}

func checkName(name string) error {
	switch {
	case name == "":
		return errEmptyName
	case len(name) > MaxName:
		return errLongName
	case !utf8.ValidString(name):
		return errNameUTF8
	}
	return nil
}
