// SPDX-License-Identifier: MIT

package mapping

import (
	"fmt"
	"hash/fnv"
	"hash/maphash"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/questdb-sf/questdb_sf/internal/qwp"
)

// maxNames bounds the memory for names: sources that make up names without end
// exist. Beyond it the tables are started afresh.
const maxNames = 65536

// name is what the raw name of a column becomes.
type name struct {
	clean  string
	why    string // it had to change
	fold   *fold
	symbol bool // a tag of that name is a SYMBOL
}

// fold is shared by all names that differ only in case. row is the last row
// that used one of them, owner the raw name it was used for, next the number
// that the next one of that row may get.
type fold struct {
	id    uint64
	row   uint64
	owner string
	next  int
}

func (f *fold) take(row uint64, raw string) { f.row, f.owner, f.next = row, raw, 2 }

// tableName is what the raw name of a table becomes.
type tableName struct {
	raw     string // prefix included
	clean   string
	why     string
	columns *columns // nil until asked for
}

// nameTable remembers names, so that a name is cleaned once.
type nameTable struct {
	opts     *Options
	seed     maphash.Seed
	interned map[string]string
	tables   map[string]*tableName // by the name without the prefix
	made     map[string]*tableName // by what a template made it of
	columns  map[string]name
	folds    map[string]*fold
	limits   map[string]*columns // by the name of the table, in lower case
	held     int                 // columns in limits, and limits
}

func newNameTable(o *Options) nameTable {
	return nameTable{
		opts:     o,
		seed:     maphash.MakeSeed(),
		interned: map[string]string{},
		tables:   map[string]*tableName{},
		made:     map[string]*tableName{},
		columns:  map[string]name{},
		folds:    map[string]*fold{},
		limits:   map[string]*columns{},
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

func (t *nameTable) table(raw string) *tableName {
	n, ok := t.tables[raw]
	if !ok {
		if len(t.tables) >= maxNames {
			clear(t.tables)
		}
		n = cleanTable(t.opts.TablePrefix + raw)
		t.tables[strings.Clone(raw)] = n
	}
	return n
}

func (t *nameTable) tableBytes(raw []byte) *tableName {
	if n, ok := t.tables[string(raw)]; ok {
		return n
	}
	return t.table(string(raw))
}

// keepMade remembers what a template made of key.
func (t *nameTable) keepMade(key []byte, n *tableName) {
	if len(t.made) >= maxNames {
		clear(t.made)
	}
	t.made[string(key)] = n
}

func (t *nameTable) columnBytes(raw []byte) name {
	if n, ok := t.columns[string(raw)]; ok {
		return n
	}
	return t.column(string(raw))
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
		n = cleanColumn(raw, t.opts.TimestampColumn)
		n.fold = t.foldOf(n.clean)
		n.symbol = t.opts.Symbol == nil || t.opts.Symbol(n.clean)
		t.columns[strings.Clone(raw)] = n
	}
	return n
}

func (t *nameTable) foldOf(clean string) *fold {
	key := foldCase(clean)
	f, ok := t.folds[key]
	if !ok {
		f = &fold{id: maphash.String(t.seed, key)}
		t.folds[key] = f
	}
	return f
}

// foldCase makes equal what QuestDB takes for equal.
func foldCase(s string) string { return strings.ToLower(s) }

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
	whyRefused  = "QuestDB refuses one of its characters there"
	whyReserved = "QuestDB keeps that name for itself"
	whyLong     = "QuestDB takes names of at most 127 bytes"
	whyEmpty    = "a column needs a name"
	whyMeets    = "it meets %q in one row"
)

// cleanTable makes a name of a table that neither begins nor ends with a dot or a
// space, nor begins as those of QuestDB's own do.
func cleanTable(raw string) *tableName {
	clean := []byte(strings.ReplaceAll(replace(raw, qwp.RefusedInTable), "..", "._"))
	if n := len(clean); n > 0 {
		clean[0], clean[n-1] = noEdge(clean[0]), noEdge(clean[n-1])
	}
	if n := len(qwp.SystemPrefix); len(clean) >= n && strings.EqualFold(string(clean[:n]), qwp.SystemPrefix) {
		clean[n-1] = '_'
	}
	n := &tableName{raw: raw}
	n.clean, n.why = finishName(raw, string(clean), qwp.ReservedTable)
	return n
}

func noEdge(c byte) byte {
	if c == '.' || c == ' ' {
		return '_'
	}
	return c
}

// cleanColumn makes a name of a column that is not the designated timestamp.
func cleanColumn(raw, timestamp string) name {
	if raw == "" { // an empty name is the designated timestamp on the wire
		return name{clean: "_", why: whyEmpty}
	}
	clean, why := finishName(raw, replace(raw, qwp.RefusedInColumn), func(s string) bool {
		return qwp.ReservedColumn(s) || timestamp != "" && strings.EqualFold(s, timestamp)
	})
	return name{clean: clean, why: why}
}

// finishName returns a name that is neither too long nor reserved, and why it
// differs from raw.
func finishName(raw, clean string, reserved func(string) bool) (string, string) {
	why := ""
	if clean != raw {
		why = whyRefused
	}
	for {
		switch {
		case len(clean) > qwp.MaxName:
			clean, why = cut(clean), whyLong
		case reserved(clean):
			clean, why = clean+"_", whyReserved
		default:
			return clean, why
		}
	}
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

// appendNumbered appends clean with the suffix _i.
func appendNumbered(dst []byte, clean string, i int) []byte {
	var digits [20]byte
	suffix := strconv.AppendInt(append(digits[:0], '_'), int64(i), 10)
	dst = append(dst, clip(clean, qwp.MaxName-len(suffix))...)
	return append(dst, suffix...)
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
