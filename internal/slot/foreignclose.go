// SPDX-License-Identifier: MIT

package slot

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/questdb-sf/questdb_sf/internal/vfs"
)

// Close releases the lock, last. A slot in which every frame with a commit is
// settled is left without a file but .lock and .lock.pid: its owner may go on with
// it, and knows nothing of our .target. Any other is left as it was found, with
// .qsf-state beside. Close may be called again: that asks once more for a lock
// that could not be released.
func (f *Foreign) Close() error {
	var err error
	f.closing.Do(func() { err = f.close() })
	f.settling.Lock()
	defer f.settling.Unlock()
	if e := f.lock.release(); e != nil {
		err = errors.Join(err, fmt.Errorf("release the lock of slot %s: %w", f.o.Dir, e))
	}
	return err
}

// LockReleased says whether Close has released the lock for certain.
func (f *Foreign) LockReleased() bool {
	f.settling.Lock()
	defer f.settling.Unlock()
	return f.lock.released
}

func (f *Foreign) close() error {
	f.settling.Lock()
	defer f.settling.Unlock()
	f.retire()
	err := f.saveClean()
	if err == nil && f.stats(f.end).PendingFrames == 0 {
		err = f.clear()
	}
	f.closeFiles()
	if err != nil {
		return fmt.Errorf("close slot %s: %w", f.o.Dir, err)
	}
	return nil
}

// retire ends what others still do with the slot.
func (f *Foreign) retire() {
	f.mu.Lock()
	f.closed = true
	f.changed.stick()
	cursors := f.cursors
	f.cursors = nil
	f.mu.Unlock()
	for c := range cursors {
		c.shut()
	}
}

func (f *Foreign) closeFiles() {
	f.stopWalk()
	if f.state != nil {
		_ = f.state.f.Close()
	}
}

func (f *Foreign) saveClean() error {
	if err := f.state.save(f.snapshot(true)); err != nil {
		return err
	}
	return f.state.sync()
}

// clear removes what is settled, in the order of the clients of G3. At each
// point between, what is left is a slot that they and we open, and in which
// everything is known as acked: the watermark says so until the last segment is
// gone for certain, and the manifest calls all segments but one trimmed.
func (f *Foreign) clear() error {
	for _, step := range []func() error{f.markAll, f.collapse, f.unlinkSegments, f.unlinkSides} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// markAll has .ack-watermark name the last frame, durably.
func (f *Foreign) markAll() error {
	if len(f.layout.chain) == 0 {
		return nil
	}
	last, ack := f.layout.chain[len(f.layout.chain)-1].last(), f.layout.ack
	if m := f.layout.manifest; m.valid() && m.size != ack.size {
		ack = dual{size: m.size} // a client with a manifest believes no other
	}
	if ack.step() == 0 {
		return f.rewrite(ackName, ackSize, appendAck(nil, last), 0)
	}
	b, at := ack.next(ackMagic, last, 0)
	return f.rewrite(ackName, ack.size, b, at)
}

// collapse has the manifest say that the active segment is the first one.
func (f *Foreign) collapse() error {
	m := f.layout.manifest
	if !m.valid() || m.first == m.second {
		return nil
	}
	b, at := m.next(manifestMagic, m.second, m.second)
	return f.rewrite(manifestName, m.size, b, at)
}

// rewrite writes into a side file of a size, durably.
func (f *Foreign) rewrite(name string, size int64, b []byte, at int64) error {
	file, err := f.o.FS.OpenFile(f.path(name), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	err = rewriteFile(file, size, b, at)
	if err = errors.Join(err, file.Close()); err != nil {
		return err
	}
	return f.o.FS.SyncDir(f.o.Dir)
}

func rewriteFile(file vfs.File, size int64, b []byte, at int64) error {
	if is, err := file.Size(); err != nil {
		return err
	} else if is != size {
		if err := file.Truncate(size); err != nil {
			return err
		}
	}
	if _, err := file.WriteAt(b, at); err != nil {
		return err
	}
	return file.Sync()
}

// unlinkSegments removes the segments, the oldest first. Without a manifest no
// crash may undo one unlink and not the next: that would be a gap.
func (f *Foreign) unlinkSegments() error {
	for _, name := range f.layout.scraps {
		if err := f.o.FS.Rename(f.path(name), f.path(name+".corrupt")); err != nil {
			return err
		}
	}
	for _, name := range slices.Concat(f.layout.spares, f.layout.stale) {
		if err := removeFile(f.o.FS, f.path(name)); err != nil {
			return err
		}
	}
	for _, g := range f.layout.chain {
		if !f.layout.manifest.valid() {
			if err := f.o.FS.SyncDir(f.o.Dir); err != nil {
				return err
			}
		}
		if err := removeFile(f.o.FS, f.path(g.name)); err != nil {
			return err
		}
	}
	return f.o.FS.SyncDir(f.o.Dir)
}

// unlinkSides removes what belongs to the segments, and what says how far they
// were settled.
func (f *Foreign) unlinkSides() error {
	for _, name := range []string{ackName, dictName, manifestName, failedName, lastErrorName, stateName, targetName} {
		if err := removeFile(f.o.FS, f.path(name)); err != nil {
			return err
		}
	}
	return f.o.FS.SyncDir(f.o.Dir)
}
