// SPDX-License-Identifier: MIT

package sfpool

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/questdb-sf/questdb_sf/internal/vfs"
)

// takeMount creates sf_dir, unless the filesystem for it is not mounted: then what
// is written would fill another. From here on nothing is done in sf_dir once that
// changes, nor over links inside it, nor with files of other users.
func (p *Pool) takeMount() error {
	if err := p.cfg.Mounts.Check(p.cfg.Dir, p.cfg.MountPoint); err != nil {
		return err
	}
	if err := p.makeDir(); err != nil {
		return fmt.Errorf("create sf_dir %s: %w", p.cfg.Dir, err)
	}
	p.meter = vfs.Meter(p.cfg.FS)
	guard, err := vfs.Guard(p.meter, p.cfg.Dir)
	if err != nil {
		return fmt.Errorf("look at sf_dir %s: %w", p.cfg.Dir, err)
	}
	p.guard, p.cfg.FS = guard, guard
	p.mountPoint = p.cfg.Mounts.Of(p.cfg.Dir)
	return nil
}

// MountPoint returns where the filesystem of Dir is mounted; "" for the root
// filesystem, in RAM, and where that is not known. Who opens the pool again after
// its disk has failed gives it to Config.MountPoint.
func (p *Pool) MountPoint() string { return p.mountPoint }

// checkMount is asked before each batch: a filesystem that was unmounted, and a
// directory that was removed, can be written to as long as files there are open,
// and nobody would find that again. Other trouble is the slots' to tell.
func (p *Pool) checkMount() error {
	if p.guard == nil {
		return nil
	}
	err := safely("look at the mount", p.guard.Check)
	if errors.Is(err, vfs.ErrRemounted) || errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("sf_dir %s: %w", p.cfg.Dir, err)
	}
	return nil
}
