// SPDX-License-Identifier: MIT

package sfpool

import (
	"context"
	"errors"
)

// WaitAcked waits until the server has taken everything up to the marks, or
// without marks everything that is stored in the slots this pool has opened. Rows that left the
// slot otherwise, as dead letters, count. It fails with the error of ctx, or
// ErrClosed when the pool is closed; the rows stay where they are.
func (p *Pool) WaitAcked(ctx context.Context, marks ...Mark) error {
	select {
	case <-p.closing:
		return ErrClosed
	default:
	}
	if len(marks) == 0 {
		marks = p.marks()
	}
	for _, mark := range marks {
		if mark.pool == nil {
			continue
		}
		if mark.pool != p {
			return errors.New("a mark of another pool")
		}
		if err := p.waitMark(ctx, mark); err != nil {
			return err
		}
	}
	return nil
}

// marks names the end of every slot that was open in this pool.
func (p *Pool) marks() []Mark {
	var list []Mark
	for i, g := range p.glimpses() {
		if v := g.view(); v.PendingFrames > 0 {
			list = append(list, Mark{pool: p, index: i, fsn: v.Published})
		}
	}
	return list
}

// waitMark follows a slot through whatever becomes of its sender: frame numbers
// go on when it is closed and opened again.
func (p *Pool) waitMark(ctx context.Context, mark Mark) error {
	for {
		changed := p.change()
		g := p.glimpses()[mark.index]
		progress := g.progress()
		if g.view().Watermark >= mark.fsn {
			return nil
		}
		select {
		case <-progress:
		case <-changed:
		case <-p.closing:
			return ErrClosed
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
