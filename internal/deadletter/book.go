// SPDX-License-Identifier: MIT

package deadletter

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/questdb-sf/questdb_sf/internal/vfs"
)

// maxGroups bounds the reasons that are remembered of one file. Letters with further
// reasons wait until others have left the file, and it is read anew.
const maxGroups = 512

// book is one file of letters and what is remembered of it.
type book struct {
	class  Class
	number int    // of a sealed file, which grows no more; 0 for the active one
	id     uint64 // which book it is for the readers; never reused
	gen    int    // how often it was written anew, or was found changed

	size    int64
	letters int64
	keys    map[keyHash]struct{}
	groups  map[Group]int64

	named bool // its name is durable
	dirty bool // bytes behind size may be there that no Add has promised
}

func newBook(class Class, number int, id uint64) *book {
	b := &book{class: class, number: number, id: id}
	b.forget()
	return b
}

func (b *book) forget() {
	b.size, b.letters = 0, 0
	b.keys, b.groups = map[keyHash]struct{}{}, map[Group]int64{}
}

// note remembers a letter.
func (b *book) note(k *Key, g Group) {
	b.letters++
	if k != nil {
		b.keys[k.hash()] = struct{}{}
	}
	if _, known := b.groups[g]; b.class == Refused && (known || len(b.groups) < maxGroups) {
		b.groups[g]++
	}
}

// fileName is <sender_id>.dead-letter.lp, or with the number of a sealed file before
// its ending.
func fileName(senderID string, class Class, number int) string {
	if number == 0 {
		return fmt.Sprintf("%s.%s.lp", senderID, class.stem())
	}
	return fmt.Sprintf("%s.%s.%d.lp", senderID, class.stem(), number)
}

const tempSuffix = ".tmp"

// parseName is the inverse of fileName.
func parseName(senderID, name string) (class Class, number int, ok bool) {
	for _, class := range classes {
		middle, ok := strings.CutPrefix(name, senderID+"."+class.stem()+".")
		if !ok {
			continue
		}
		if middle == "lp" {
			return class, 0, true
		}
		digits, ok := strings.CutSuffix(middle, ".lp")
		n, err := strconv.Atoi(digits)
		if ok && err == nil && n > 0 && strconv.Itoa(n) == digits {
			return class, n, true
		}
	}
	return 0, 0, false
}

// read learns what is in the file of a book. The active one is mended and synced:
// whoever wrote it may have died before.
func (f *File) read(b *book) error {
	flag := os.O_RDONLY
	if b.number == 0 {
		flag = os.O_RDWR
	}
	file, err := f.o.FS.OpenFile(f.path(b), flag, 0)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	size, err := file.Size()
	if err != nil {
		return err
	}
	b.forget()
	b.gen++ // what was at a place may be elsewhere now
	s := newScanner(file, 0, size)
	if err := b.learn(s); err != nil {
		return fmt.Errorf("read %s: %w", f.path(b), err)
	}
	b.size = size
	stray := s.strayBytes
	if b.number == 0 {
		if err := f.cutTorn(b, file, s.lastEnd); err != nil {
			return fmt.Errorf("mend %s: %w", f.path(b), err)
		}
		stray -= size - b.size
	}
	if stray > 0 {
		f.o.Log.Warn("a file of dead letters has text that is no letter, or is damaged; it stays there and is passed over",
			"file", f.path(b), "places", s.strays, "bytes", stray, "letters", b.letters)
	}
	return nil
}

// cutTorn cuts what stands behind the last letter and is not whole. No Add has
// promised it, and a line that ends too early may be a valid, wrong one.
func (f *File) cutTorn(b *book, file vfs.File, lastEnd int64) error {
	keep, err := torn(file, lastEnd, b.size)
	if err != nil {
		return err
	}
	if keep < b.size {
		f.o.Log.Warn("a dead letter was not written to its end and is cut off; its row is still where it was",
			"file", f.path(b), "bytes", b.size-keep)
		if err := file.Truncate(keep); err != nil {
			return err
		}
		b.size = keep
	}
	return file.Sync()
}

func (b *book) learn(s *scanner) error {
	for {
		one, err := s.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		b.note(one.reason())
	}
}
