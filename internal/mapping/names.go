// SPDX-License-Identifier: MIT

package mapping

import (
	"fmt"
	"hash/fnv"
	"strings"
	"unicode/utf8"

	"github.com/questdb-sf/questdb_sf/internal/qwp"
)

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

func cleanTable(raw string) name {
	clean := replace(raw, qwp.RefusedInTable)
	clean = strings.ReplaceAll(clean, "..", "._")
	if strings.HasPrefix(clean, ".") {
		clean = "_" + clean[1:]
	}
	if strings.HasSuffix(clean, ".") {
		clean = clean[:len(clean)-1] + "_"
	}
	return finishName(raw, clean, qwp.ReservedTable(clean))
}

func cleanColumn(raw string) name {
	if raw == "" {
		return name{clean: "_", why: whyEmpty} // an empty name is the designated timestamp on the wire
	}
	clean := replace(raw, qwp.RefusedInColumn)
	return finishName(raw, clean, qwp.ReservedColumn(clean))
}

func finishName(raw, clean string, reserved bool) name {
	switch {
	case reserved:
		return name{clean: clean + "_", why: whyReserved}
	case len(clean) > qwp.MaxName:
		return name{clean: cut(clean), why: whyLong}
	case clean != raw:
		return name{clean: clean, why: whyRefused}
	}
	return name{clean: clean}
}

func replace(raw string, refused func(rune) bool) string {
	return strings.Map(func(r rune) rune {
		if r == utf8.RuneError || refused(r) {
			return '_'
		}
		return r
	}, raw)
}

// cut shortens a name and keeps long names apart that differ only at the end.
func cut(clean string) string {
	h := fnv.New32a()
	h.Write([]byte(clean))
	return clip(clean, qwp.MaxName-9) + fmt.Sprintf("_%08x", h.Sum32())
}

func suffixed(clean string, i int) string {
	suffix := fmt.Sprintf("_%d", i)
	return clip(clean, qwp.MaxName-len(suffix)) + suffix
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
