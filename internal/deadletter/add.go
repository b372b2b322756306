// SPDX-License-Identifier: MIT

package deadletter

import (
	"fmt"
	"os"

	"github.com/questdb-sf/questdb_sf/internal/vfs"
)

// Add writes letters and returns when the device has them. A letter whose key is
// there already is left out. After an error nothing was added, and it may be called
// again.
func (f *File) Add(letters []Letter) error {
	if len(letters) == 0 {
		return nil
	}
	f.mu.Lock()
	added, err := f.add(letters)
	f.mu.Unlock()
	if err == nil && len(added) > 0 && f.o.Added != nil {
		f.o.Added(added)
	}
	return err
}

func (f *File) add(letters []Letter) ([]Letter, error) {
	if err := f.ready(); err != nil {
		return nil, err
	}
	var parts [len(classes)]part
	var added []Letter
	seen := map[keyHash]bool{}
	for i := range letters {
		l := letters[i]
		if l.Key != nil {
			sum := l.Key.hash()
			if seen[sum] || f.knows(sum) {
				continue
			}
			seen[sum] = true
		}
		l.Time = f.o.Now()
		if l.Class != Final && l.Class != Refused {
			panic("bug: a dead letter of " + l.Class.String())
		}
		p := &parts[l.Class-1]
		p.text = Append(p.text, l.Time, &l)
		p.letters = append(p.letters, l)
		added = append(added, l)
	}
	return added, f.put(parts[:])
}

func (f *File) knows(sum keyHash) bool {
	for _, b := range f.books {
		if _, ok := b.keys[sum]; ok {
			return true
		}
	}
	return false
}

// AddText is Add for what Append has made of n letters that are Final and have no
// key.
func (f *File) AddText(text []byte, n int) error {
	if len(text) == 0 {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.ready(); err != nil {
		return err
	}
	return f.put([]part{{text: text, letters: make([]Letter, n)}, {}})
}

// part is what an Add brings of one class.
type part struct {
	text    []byte
	letters []Letter
	book    *book
}

// put appends to the files of all classes, or to none.
func (f *File) put(parts []part) (err error) {
	n := 0
	for i := range parts {
		n += len(parts[i].text)
	}
	if n == 0 {
		return nil
	}
	defer f.publish()
	if err := f.makeRoom(int64(n)); err != nil {
		return fmt.Errorf("dead letters in %s: %w", f.o.Dir, err)
	}
	for i := range parts {
		p := &parts[i]
		if len(p.text) == 0 {
			continue
		}
		if err := f.append(p, classes[i]); err != nil {
			for j := range i {
				f.takeBack(parts[j].book)
			}
			return fmt.Errorf("append to %s: %w", f.Path(classes[i]), err)
		}
	}
	for i := range parts {
		parts[i].commit()
	}
	return nil
}

func (p *part) commit() {
	b := p.book
	if b == nil {
		return
	}
	b.size += int64(len(p.text))
	b.dirty = false
	for i := range p.letters {
		b.note(p.letters[i].Key, p.letters[i].Group())
	}
}

// append writes behind what is promised, and syncs.
func (f *File) append(p *part, class Class) error {
	b, err := f.active(class)
	if err != nil {
		return err
	}
	file, err := f.openEnd(b)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	b.dirty = true
	_, err = file.WriteAt(p.text, b.size)
	if err == nil {
		err = file.Sync()
	}
	if err == nil && !b.named {
		err = f.o.FS.SyncDir(f.o.Dir)
		b.named = err == nil
	}
	if err != nil {
		b.dirty = file.Truncate(b.size) != nil
		return err
	}
	p.book = b
	return nil
}

// openEnd opens the active file of a class, which ends where the book says: somebody
// may have moved it away or changed it, and a failed append may not have been undone.
func (f *File) openEnd(b *book) (vfs.File, error) {
	file, err := f.o.FS.OpenFile(f.path(b), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	size, err := file.Size()
	switch {
	case err != nil:
	case size > b.size && b.dirty:
		err = file.Truncate(b.size)
	case size != b.size:
		b.named = b.named && size > 0
		err = f.read(b)
	}
	if err != nil {
		_ = file.Close()
		return nil, err
	}
	return file, nil
}

// takeBack cuts off what another part of the same Add could not follow.
func (f *File) takeBack(b *book) {
	if b == nil {
		return
	}
	file, err := f.o.FS.OpenFile(f.path(b), os.O_RDWR, 0)
	if err != nil {
		return // it stays dirty: the next Add cuts it
	}
	defer func() { _ = file.Close() }()
	b.dirty = file.Truncate(b.size) != nil
}
