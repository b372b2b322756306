// SPDX-License-Identifier: MIT

package deadletter

import (
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/vfs"
)

// Options say where letters go. FS, Dir and SenderID are needed.
type Options struct {
	FS vfs.FS
	// Dir is where the files are, SenderID what their names begin with.
	Dir, SenderID string
	// MaxBytes caps all files together; what one Add brings is kept in any case.
	// Default DefaultMaxBytes.
	MaxBytes int64
	// SealBytes is the size from which a file grows no more. Default an eighth of
	// MaxBytes, at least 64 KiB.
	SealBytes int64
	// Log receives what an operator should know. Default: nothing is logged.
	Log *slog.Logger
	// Now is the clock. Default time.Now.
	Now func() time.Time
	// Added is told the letters that an Add has made durable, those that were there
	// already left out. It must not call the File.
	Added func([]Letter)
}

// DefaultMaxBytes is MaxBytes if it is not set.
const DefaultMaxBytes = 64 << 20

// MinBytes is the least that MaxBytes is worth: enough for a few sealed files.
const MinBytes = 8 * minSealBytes

const minSealBytes = 64 << 10

// File holds the dead letters of a pool: <sender_id>.dead-letter.lp those that can
// never be stored, <sender_id>.refused.lp those that the server may still come to
// accept. A file that has grown large is sealed: it gets a number, and a new one is
// begun. When the files are larger than MaxBytes together, the oldest goes, and of
// the Refused none as long as there is a Final one. It touches the disk with the
// first call that needs it, and is safe for concurrent use.
type File struct {
	o    Options
	stat atomic.Pointer[Stats]

	// mu guards what follows. Letters are rare, so the disk is used under it.
	mu      sync.Mutex
	loaded  bool
	closed  bool
	books   []*book // the oldest of a class first
	lastID  uint64
	removed map[Class]int64
	unnamed bool // a rename or removal in Dir may not be durable
}

// Stats is a snapshot of a File.
type Stats struct {
	// Loaded is set once the files were looked at: before, only what this File did
	// is known.
	Loaded         bool
	Final, Refused ClassStats
}

// ClassStats is a snapshot of the letters of a class.
type ClassStats struct {
	// Letters and Bytes are what is in the files. Text that is no letter counts as
	// bytes.
	Letters, Bytes int64
	// Removed letters had to go for MaxBytes, since Open.
	Removed int64
}

// Open returns the letters of a pool without touching the disk.
func Open(o Options) *File {
	if o.MaxBytes == 0 {
		o.MaxBytes = DefaultMaxBytes
	}
	if o.SealBytes == 0 {
		o.SealBytes = max(o.MaxBytes/8, minSealBytes)
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	f := &File{o: o, removed: map[Class]int64{}}
	f.stat.Store(&Stats{})
	return f
}

// Path returns the file that newly added letters of a class are in.
func (f *File) Path(class Class) string {
	return filepath.Join(f.o.Dir, fileName(f.o.SenderID, class, 0))
}

func (f *File) path(b *book) string {
	return filepath.Join(f.o.Dir, fileName(f.o.SenderID, b.class, b.number))
}

// Stats returns a snapshot. It does no I/O and does not wait for any.
func (f *File) Stats() Stats { return *f.stat.Load() }

// Close makes every later Add fail: the next owner of the directory may have begun.
func (f *File) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	return nil
}

// Load looks at the files there are, once.
func (f *File) Load() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.ready()
}

// ready makes sure that what is in the files is known. WARNING: the caller must hold
// mu, as with all that follow.
func (f *File) ready() error {
	switch {
	case f.closed:
		return fs.ErrClosed
	case f.loaded:
		return nil
	}
	if err := f.load(); err != nil {
		f.books = nil
		return fmt.Errorf("dead letters in %s: %w", f.o.Dir, err)
	}
	f.loaded = true
	f.publish()
	return nil
}

func (f *File) load() error {
	entries, err := f.o.FS.ReadDir(f.o.Dir)
	if err != nil {
		return err
	}
	f.books = nil
	for _, e := range entries {
		name := e.Name()
		if e.IsDir() || e.Type()&fs.ModeNamedPipe != 0 {
			continue // nobody can have written a letter there
		} else if class, number, ok := parseName(f.o.SenderID, name); ok {
			f.books = append(f.books, newBook(class, number, 0))
		} else if f.isTemp(name) {
			if err := f.o.FS.Remove(filepath.Join(f.o.Dir, name)); err != nil {
				return err
			}
		}
	}
	slices.SortFunc(f.books, older)
	for _, b := range f.books {
		f.lastID++
		b.id, b.named = f.lastID, true
		if err := f.read(b); err != nil {
			return err
		}
	}
	if len(f.books) == 0 {
		return nil
	}
	return f.o.FS.SyncDir(f.o.Dir) // their owner may have died before
}

// isTemp knows what a crash during Remove left.
func (f *File) isTemp(name string) bool {
	if filepath.Ext(name) != tempSuffix {
		return false
	}
	_, _, ok := parseName(f.o.SenderID, name[:len(name)-len(tempSuffix)])
	return ok
}

// older orders books by class, then by age.
func older(a, b *book) int {
	switch {
	case a.class != b.class:
		return int(a.class) - int(b.class)
	case a.number == 0 || b.number == 0: // the active one is the youngest
		return b.number - a.number
	}
	return a.number - b.number
}

// publish makes a snapshot for Stats.
func (f *File) publish() {
	st := &Stats{Loaded: f.loaded}
	st.Final.Removed, st.Refused.Removed = f.removed[Final], f.removed[Refused]
	for _, b := range f.books {
		c := &st.Final
		if b.class == Refused {
			c = &st.Refused
		}
		c.Letters += b.letters
		c.Bytes += b.size
	}
	f.stat.Store(st)
}

// seal gives the active file of a class a number. Its name must be durable before
// a new file takes the old one.
func (f *File) seal(b *book) error {
	number := f.lastSealed(b.class) + 1
	sealed := filepath.Join(f.o.Dir, fileName(f.o.SenderID, b.class, number))
	f.unnamed = true
	if err := f.o.FS.Rename(f.path(b), sealed); err != nil {
		return err
	}
	b.number = number
	return f.syncNames()
}

// lastSealed is the highest number of a file of a class; 0 if none is sealed.
func (f *File) lastSealed(class Class) (last int) {
	for _, b := range f.books {
		if b.class == class {
			last = max(last, b.number)
		}
	}
	return last
}

func (f *File) syncNames() error {
	if !f.unnamed {
		return nil
	}
	if err := f.o.FS.SyncDir(f.o.Dir); err != nil {
		return err
	}
	f.unnamed = false
	return nil
}

// active returns the file that a class grows in.
func (f *File) active(class Class) (*book, error) {
	at := slices.IndexFunc(f.books, func(b *book) bool { return b.class == class && b.number == 0 })
	if at >= 0 {
		b := f.books[at]
		if b.dirty || b.size < f.o.SealBytes {
			return b, nil
		}
		if err := f.seal(b); err != nil {
			return nil, err
		}
	}
	if err := f.syncNames(); err != nil {
		return nil, err
	}
	f.lastID++
	b := newBook(class, 0, f.lastID)
	f.books = append(f.books, b)
	slices.SortStableFunc(f.books, older)
	return b, nil
}

// makeRoom removes old files until n more bytes are within MaxBytes.
func (f *File) makeRoom(n int64) error {
	total := n
	for _, b := range f.books {
		total += b.size
	}
	for total > f.o.MaxBytes && len(f.books) > 0 {
		b := f.books[0] // Final before Refused, old before young
		if err := f.o.FS.Remove(f.path(b)); err != nil && !os.IsNotExist(err) {
			return err
		}
		f.unnamed = true
		f.books = slices.Delete(f.books, 0, 1)
		f.removed[b.class] += b.letters
		total -= b.size
		f.o.Log.Warn("dead_letter_max_bytes is reached; the oldest dead letters were removed", "file", f.path(b),
			"class", b.class.String(), "rows", b.letters, "bytes", b.size, "dead_letter_max_bytes", f.o.MaxBytes)
	}
	return nil
}
