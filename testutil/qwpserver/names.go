// SPDX-License-Identifier: MIT

package qwpserver

import (
	"fmt"
	"strings"
)

// maxNameLength is the longest name of a table or column, in bytes.
const maxNameLength = 127

// refused are the characters that no name may have (facts/qwp-and-slots.md,
// 10.9).
const refused = "?,'\"\\/:)(+*%~\uFEFF\n\r\x0b\x0c\x0e\x0f\x7f" +
	"\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09"

func checkTableName(name string) error {
	if err := checkName("table", name, refused); err != nil {
		return err
	}
	if strings.HasPrefix(name, ".") || strings.HasSuffix(name, ".") || strings.Contains(name, "..") {
		return fmt.Errorf("invalid table name: %q", name)
	}
	return nil
}

func checkColumnName(name string) error { return checkName("column", name, refused+".-") }

func checkName(what, name, bad string) error {
	if name == "" || len(name) > maxNameLength || strings.ContainsAny(name, bad) {
		return fmt.Errorf("invalid %s name: %q", what, name)
	}
	return nil
}
