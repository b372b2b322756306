// SPDX-License-Identifier: MIT

package mapping

import (
	"fmt"
	"hash/fnv"
	"strings"
	"unicode/utf8"
)

// maxNameBytes is the limit of the wire format and of the server's default for
// names of tables and columns.
const maxNameBytes = 127

// maxNames bounds the memory for names: sources that make up names without end
// exist. Beyond it the tables are started afresh.
const maxNames = 65536

// name is what a raw name becomes.
type name struct {
	clean string
	why   string
	fold  *fold
}

// fold is shared by all names that differ only in case. row is the last row
// that used one of them, owner the raw name it was used for.
type fold struct {
	row   uint64
	owner string
}

// nameTable remembers names, so that a name is cleaned once.
type nameTable struct {
	interned map[string]string
	tables   map[string]name
	columns  map[string]name
	folds    map[string]*fold
}

func newNameTable() nameTable {
	return nameTable{
		interned: map[string]string{},
		tables:   map[string]name{},
		columns:  map[string]name{},
		folds:    map[string]*fold{},
	}
}

func (t *nameTable) intern(b []byte) string {
	if s, ok := t.interned[string(b)]; ok {
		return s
	}
	if len(t.interned) >= maxNames {
		clear(t.interned)
	}
	s := string(b)
	t.interned[s] = s
	return s
}

func (t *nameTable) table(raw string) name {
	n, ok := t.tables[raw]
	if !ok {
		if len(t.tables) >= maxNames {
			clear(t.tables)
		}
		n = cleanTable(raw)
		t.tables[strings.Clone(raw)] = n
	}
	return n
}

func (t *nameTable) column(raw string) name {
	n, ok := t.columns[raw]
	if !ok {
		if len(t.columns) >= maxNames {
			clear(t.columns) // folds stay: names of the current row hold on to them
			if len(t.folds) >= maxNames {
				t.folds = keepCurrent(t.folds)
			}
		}
		n = cleanColumn(raw)
		n.fold = t.foldOf(n.clean)
		t.columns[strings.Clone(raw)] = n
	}
	return n
}

func (t *nameTable) foldOf(clean string) *fold {
	key := strings.ToLower(clean)
	f, ok := t.folds[key]
	if !ok {
		f = &fold{}
		t.folds[key] = f
	}
	return f
}

// keepCurrent drops all folds but those of the newest row.
func keepCurrent(folds map[string]*fold) map[string]*fold {
	var newest uint64
	for _, f := range folds {
		newest = max(newest, f.row)
	}
	kept := map[string]*fold{}
	for key, f := range folds {
		if f.row == newest {
			kept[key] = f
		}
	}
	return kept
}

const (
	whyRefused  = "QuestDB refuses one of its characters"
	whyReserved = "QuestDB keeps that name for itself"
	whyLong     = "QuestDB takes names of at most 127 bytes"
	whyEmpty    = "a column needs a name"
)

// refusedInTable are the characters that QuestDB refuses in a table name, besides
// control characters and U+FEFF. A column name may have neither '.' nor '-'.
const (
	refusedInTable  = `?,'"\/:)(+*%~`
	refusedInColumn = refusedInTable + ".-"
)

func cleanTable(raw string) name {
	clean := replaceRefused(raw, refusedInTable)
	clean = strings.ReplaceAll(clean, "..", "._")
	if strings.HasPrefix(clean, ".") {
		clean = "_" + clean[1:]
	}
	if strings.HasSuffix(clean, ".") {
		clean = clean[:len(clean)-1] + "_"
	}
	n := finishName(raw, clean, strings.EqualFold(clean, "telemetry"))
	return n
}

func cleanColumn(raw string) name {
	if raw == "" {
		return name{clean: "_", why: whyEmpty} // an empty name is the designated timestamp on the wire
	}
	clean := replaceRefused(raw, refusedInColumn)
	reserved := strings.EqualFold(clean, "timestamp") || strings.EqualFold(clean, "sf_row_id")
	return finishName(raw, clean, reserved)
}

func finishName(raw, clean string, reserved bool) name {
	switch {
	case reserved:
		return name{clean: clean + "_", why: whyReserved}
	case len(clean) > maxNameBytes:
		return name{clean: cut(clean), why: whyLong}
	case clean != raw:
		return name{clean: clean, why: whyRefused}
	}
	return name{clean: clean}
}

func replaceRefused(raw, refused string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r == 0x7F || r == 0xFEFF || r == utf8.RuneError || strings.ContainsRune(refused, r) {
			return '_'
		}
		return r
	}, raw)
}

// cut shortens a name and keeps long names apart that differ only at the end.
func cut(clean string) string {
	h := fnv.New32a()
	h.Write([]byte(clean))
	return clip(clean, maxNameBytes-9) + fmt.Sprintf("_%08x", h.Sum32())
}

func suffixed(clean string, i int) string {
	suffix := fmt.Sprintf("_%d", i)
	return clip(clean, maxNameBytes-len(suffix)) + suffix
}

// clip cuts to at most n bytes without cutting a character.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
