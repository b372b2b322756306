// SPDX-License-Identifier: MIT

package sfpool

import (
	"errors"
	"fmt"

	"github.com/questdb-sf/questdb_sf/internal/deadletter"
	"github.com/questdb-sf/questdb_sf/internal/slot"
)

// beside is the sender_id of a pool that drains beside the one with senderID. It has a
// dot, which no other has.
func beside(senderID string) string { return senderID + ".drain" }

// takeOver takes over the refused rows of a pool that has drained beside this one.
// Nobody else would feed them back.
func (p *Pool) takeOver() {
	if p.letters == nil || p.cfg.Beside {
		return
	}
	p.feeder.taking.Lock() // FeedBack waits for what the housekeeper has begun
	defer p.feeder.taking.Unlock()
	id := beside(p.cfg.SenderID)
	has, err := deadletter.Has(p.cfg.FS, p.cfg.Dir, id)
	if err != nil || !has {
		return // what keeps the directory from being read is told elsewhere
	}
	n, err := p.takeOverFrom(id)
	defer func() { p.feeder.untaken = fmt.Sprint(err) }()
	switch {
	case errors.As(err, new(*LockedError)): // it is not through yet
	case err != nil:
		if p.feeder.untaken != err.Error() {
			p.cfg.Logger.Warn("refused rows of a drain could not be taken over; trying again", "sf_dir", p.cfg.Dir, "error", err)
		}
	case n > 0:
		p.cfg.Logger.Info("refused rows of a drain were taken over", "rows", n, "file", p.letters.Path(deadletter.Refused))
		p.feeder.relook()
	}
}

// takeOverFrom holds the place of the other pool meanwhile.
func (p *Pool) takeOverFrom(id string) (rows int64, err error) {
	unlock, err := slot.LockName(p.cfg.FS, p.cfg.Dir, lockName(id))
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	return p.letters.TakeOver(id)
}
