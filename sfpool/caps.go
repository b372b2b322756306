// SPDX-License-Identifier: MIT

package sfpool

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// setAsideFile is a file that was quarantined, or tells of one.
type setAsideFile struct {
	path  string
	bytes int64
	at    time.Time
}

// isSetAside knows the names of quarantined files and of what is told of them.
func isSetAside(name string) bool {
	return strings.HasSuffix(name, ".corrupt") || strings.Contains(name, ".corrupt.") ||
		strings.HasPrefix(name, "incident-") && strings.HasSuffix(name, ".json")
}

// noteSetAside has the housekeeper look at what is quarantined.
func (p *Pool) noteSetAside() {
	p.mu.Lock()
	defer p.unlock()
	p.setAsideDue = true
	p.nudge()
}

// heedSetAside is noteSetAside for a slot where files were set aside when it was
// opened.
func (p *Pool) heedSetAside(s store) {
	if len(s.Stats().Recovered.Quarantined) > 0 {
		p.noteSetAside()
	}
}

// capQuarantine removes quarantined files beyond QuarantineMaxBytes, the oldest
// first. It looks at the start, and when something was set aside since.
func (p *Pool) capQuarantine() {
	p.mu.Lock()
	due := p.setAsideDue
	p.setAsideDue = false
	p.unlock()
	if !due || p.cfg.inRAM() || p.cfg.QuarantineMaxBytes < 0 {
		return
	}
	files, err := p.setAsideFiles()
	if err != nil {
		p.cfg.Logger.Warn("cannot look at quarantined files; tried again when there are more", "sf_dir", p.cfg.Dir, "error", err)
	}
	sum := int64(0)
	for _, f := range files {
		sum += f.bytes
	}
	slices.SortFunc(files, func(a, b setAsideFile) int { return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.path, b.path)) })
	for _, f := range files {
		if sum <= p.cfg.QuarantineMaxBytes {
			return
		}
		if p.removeSetAside(f, sum) {
			sum -= f.bytes
		}
	}
}

// setAsideFiles lists what is quarantined in slots that no other pool sees to.
func (p *Pool) setAsideFiles() (files []setAsideFile, _ error) {
	slots, err := p.cfg.FS.ReadDir(p.cfg.Dir)
	errs := []error{err}
	for _, slot := range slots {
		name := slot.Name()
		if !slot.IsDir() || strings.HasPrefix(name, ".") || p.livingOwner(name) != nil {
			continue
		}
		entries, err := p.cfg.FS.ReadDir(p.path(name))
		errs = append(errs, err)
		for _, e := range entries {
			path := filepath.Join(p.path(name), e.Name())
			if !isSetAside(e.Name()) {
				continue
			}
			info, err := p.cfg.FS.Stat(path)
			if err == nil && info.Mode().IsRegular() {
				files = append(files, setAsideFile{path, info.Size(), info.ModTime()})
			}
			errs = append(errs, err)
		}
	}
	return files, errors.Join(errs...)
}

func (p *Pool) removeSetAside(f setAsideFile, sum int64) bool {
	err := p.cfg.FS.Remove(f.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		p.cfg.Logger.Warn("a quarantined file could not be removed; it stays", "file", f.path, "error", err)
		return false
	}
	p.mu.Lock()
	p.unquarantined++
	p.unlock()
	p.cfg.Logger.Warn("a quarantined file was removed, the oldest: there is more of them than quarantine_max_bytes",
		"file", f.path, "bytes", f.bytes, "quarantined_bytes", sum, "quarantine_max_bytes", p.cfg.QuarantineMaxBytes)
	return true
}

// orphanBytes adds up the segment files of a slot.
func (p *Pool) orphanBytes(name string) (sum int64) {
	entries, err := p.cfg.FS.ReadDir(p.path(name))
	if err != nil {
		return 0
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".sfa") {
			continue
		}
		if info, err := p.cfg.FS.Stat(filepath.Join(p.path(name), e.Name())); err == nil {
			sum += info.Size()
		}
	}
	return sum
}

// weighOrphan notes how much an orphan takes, and whether this pool may drain it.
func (p *Pool) weighOrphan(name string) {
	bytes := p.orphanBytes(name)
	target, err := p.targetOf(name, false)
	strange := err != nil || p.mayDrain(name, target) != nil
	p.mu.Lock()
	defer p.unlock()
	if k := p.orphans.known[name]; k != nil {
		k.bytes, k.strange = bytes, strange
	}
}

// sayOrphans tells once of orphans that hold more than OrphansMaxBytes, or than the
// whole store may where there is no such limit.
func (p *Pool) sayOrphans() {
	limit := cmp.Or(p.cfg.OrphansMaxBytes, p.budget.Max())
	stray, strays := p.undrained()
	p.mu.Lock()
	sum, count := p.orphans.bytes()+stray, len(p.orphans.known)+strays
	say := sum > limit && !p.orphans.saidLarge
	p.orphans.saidLarge = sum > limit && (say || p.orphans.saidLarge)
	p.unlock()
	if !say {
		return
	}
	next := "they are drained as the server takes them"
	switch {
	case !p.cfg.DrainOrphans:
		next = "they stay: set drain_orphans to send them, or move them away"
	case p.cfg.OrphansMaxBytes > 0:
		next = "the oldest rows of those that are drained are dropped until they fit"
	}
	p.cfg.Logger.Warn("slots without an owner take much of the disk; "+next,
		"sf_dir", p.cfg.Dir, "orphans", count, "bytes", sum, "limit", limit)
}

// undrained adds up the slots that would be orphans to a pool that drains them.
func (p *Pool) undrained() (sum int64, count int) {
	if p.cfg.DrainOrphans {
		return 0, 0
	}
	entries, _ := p.cfg.FS.ReadDir(p.cfg.Dir) // the look has just told of a failure
	for _, e := range entries {
		name := e.Name()
		if !e.IsDir() || strings.HasPrefix(name, ".") || managed(name, p.cfg.SenderID, p.cfg.MaxSenders) ||
			imported(name, p.cfg.SenderID) || p.livingOwner(name) != nil {
			continue
		}
		if bytes := p.orphanBytes(name); bytes > 0 {
			sum, count = sum+bytes, count+1
		}
	}
	return sum, count
}

// bytes adds up what was seen of all orphans. WARNING: the caller must hold mu.
func (o *orphanage) bytes() (sum int64) {
	for _, k := range o.known {
		sum += k.bytes
	}
	return sum
}

// fitOrphan gives up the oldest segments of an orphan that is being drained until
// all that this pool may drain fit OrphansMaxBytes.
func (p *Pool) fitOrphan(name string, d delegate) {
	for p.cfg.OrphansMaxBytes > 0 && p.orphansExceed() {
		c, ok := d.oldest()
		if !ok {
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), p.cfg.HousekeeperInterval)
		e, err := d.giveUp(ctx, c.Last)
		cancel()
		p.losses.note(lostOrphan, "orphans_max_bytes", e)
		p.noteOrphanLoss(name, e.Rows, e.Bytes)
		if err != nil {
			p.cfg.Logger.Warn("rows of an orphan beyond orphans_max_bytes could not be dropped; tried again", "slot", name, "error", err)
			return
		}
	}
}

// orphansExceed leaves out what this pool may not drain: to drop other rows for it
// would be in vain.
func (p *Pool) orphansExceed() bool {
	p.mu.Lock()
	defer p.unlock()
	sum := int64(0)
	for _, k := range p.orphans.known {
		if !k.strange && (k.state == waiting || k.state == draining) {
			sum += k.bytes
		}
	}
	return sum > p.cfg.OrphansMaxBytes
}

func (p *Pool) noteOrphanLoss(name string, rows, bytes int64) {
	p.mu.Lock()
	defer p.unlock()
	p.orphans.evicted += rows
	if k := p.orphans.known[name]; k != nil {
		k.bytes = max(0, k.bytes-bytes)
	}
}
