// SPDX-License-Identifier: MIT

package verdict

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/qwp"
	"github.com/questdb-sf/questdb_sf/internal/vfs"
)

// maxFile bounds what is read of the file, in bytes.
const maxFile = 16 << 20

// saved is a verdict in the file, which is a JSON list of them. What is done about it
// stands there for people; it follows from the rest.
type saved struct {
	Host   string `json:"host"`
	Table  string `json:"table"`
	Column string `json:"column"`
	Type   string `json:"type"`
	To     string `json:"to,omitempty"`
	Words  string `json:"words"`
}

func (b *Book) load() {
	if b.o.Path == "" {
		return
	}
	list, err := b.read()
	if err != nil {
		b.o.Log.Warn("what was learned of refused values cannot be read; it will be learned again",
			"file", b.o.Path, "error", err)
		return
	}
	now := time.Now()
	for _, s := range list {
		t, ok := typeNamed(s.Type)
		if !ok || len(b.verdicts) >= maxEntries || b.o.Conflict == Widen && t == qwp.TypeDouble {
			continue // the last may be widened, which takes a refusal
		}
		v := Verdict{Key: Key{s.Host, s.Table, s.Column, t}, To: b.o.Conflict.to(s.Column, t), Words: s.Words}
		if b.verdicts[v.fold()] == nil {
			b.standing++
		}
		b.verdicts[v.fold()] = &entry{Verdict: v, wait: firstProbe, next: now.Add(firstProbe), first: -1, proven: true}
	}
}

func (b *Book) read() (list []saved, err error) {
	f, err := b.o.FS.OpenFile(b.o.Path, os.O_RDONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	if size > maxFile {
		return nil, fmt.Errorf("%d bytes are too many", size)
	}
	data := make([]byte, size)
	if _, err := f.ReadAt(data, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return list, json.Unmarshal(data, &list)
}

func typeNamed(name string) (qwp.Type, bool) {
	for t := qwp.TypeBoolean; t <= qwp.TypeIPv4; t++ {
		if t.String() == name {
			return t, true
		}
	}
	return 0, false
}

// save writes the file anew, whole or not at all. Without it the verdicts count until
// the process ends.
func (b *Book) save() {
	if b.o.Path == "" {
		return
	}
	b.saving.Lock()
	defer b.saving.Unlock()
	err := b.write(b.list())
	b.mu.Lock()
	said := b.unsaved
	b.unsaved = err != nil
	b.mu.Unlock()
	if err != nil && !said {
		b.o.Log.Warn("what was learned of refused values cannot be kept; after a restart it will be learned again",
			"file", b.o.Path, "error", err)
	}
}

func (b *Book) list() []saved {
	b.mu.Lock()
	defer b.mu.Unlock()
	list := make([]saved, 0, len(b.verdicts))
	for _, e := range b.verdicts {
		if e.lifted || e.Wait || !e.proven {
			continue
		}
		list = append(list, saved{e.Host, e.Table, e.Column, e.Type.String(), e.To, e.Words})
	}
	slices.SortFunc(list, func(x, y saved) int {
		return cmp.Or(cmp.Compare(x.Host, y.Host), cmp.Compare(x.Table, y.Table), cmp.Compare(x.Column, y.Column), cmp.Compare(x.Type, y.Type))
	})
	return list
}

func (b *Book) write(list []saved) error {
	data, err := json.MarshalIndent(list, "", " ")
	if err != nil {
		return err
	}
	return vfs.WriteWhole(b.o.FS, b.o.Path, append(data, '\n'))
}
