// SPDX-License-Identifier: MIT

package sender

import (
	"context"

	"github.com/questdb-sf/questdb_sf/internal/qwp"
	"github.com/questdb-sf/questdb_sf/internal/slot"
)

// load takes the next frame from the slot of which anything may go out. It leaves
// no parts when there is none.
func (f *flight) load(ctx context.Context) error {
	f.cut, f.paused = false, false
	for !f.blocked && len(f.parts) == 0 {
		e, came, err := f.lanes.frame(f.filled, len(f.units) == 0)
		if err != nil {
			return &localError{doing: "read", err: err}
		}
		if came != frameCame {
			f.noFrame(came)
			return nil
		}
		if err := f.parse(e); err != nil {
			if err := f.s.quarantine(e.FSN, err); err != nil {
				return &localError{doing: "read", err: err}
			}
			continue
		}
		f.fsn, f.s.parking.ahead = e.FSN, f.lanes.inLive
		if err := f.enter(ctx); err != nil {
			return err
		}
		if f.blocked {
			return nil
		}
		if err := f.plan(ctx); err != nil {
			return err
		}
	}
	return nil
}

// quarantine sets a frame aside that is whole but not a message. Slots of other clients
// are left as they are, with a *slot.DamageError.
func (s *Sender) quarantine(fsn slot.FSN, why error) error {
	if own, ok := s.cfg.Slot.(interface {
		Quarantine(fsn slot.FSN, why string) error
	}); ok {
		return own.Quarantine(fsn, why.Error())
	}
	return &slot.DamageError{
		Path: s.cfg.Slot.Dir(), FSN: fsn, Offset: -1, Reason: "the frame is whole but not a message: " + why.Error(),
	}
}

// flagsAt is where a message has its flags.
const flagsAt = 5

// parse reads a frame; one of a group that fits no connection, or of which something
// was refused, as if it stood alone.
func (f *flight) parse(e slot.Entry) error {
	f.bytes = e.Bytes
	err := f.view.Parse(e.Bytes, e.Dict)
	if err != nil || !(f.s.ungroup || e.FSN < f.s.loose || f.s.parking.isAlone(e.FSN)) || !f.view.DeferCommit() {
		return err
	}
	f.single = append(f.single[:0], e.Bytes...)
	f.single[flagsAt] &^= qwp.FlagDeferCommit
	return f.view.Parse(f.single, e.Dict)
}
