// SPDX-License-Identifier: MIT

package slot

import (
	"context"
	"errors"
)

// Put stores frames as Reserve, Append, Sync and Publish do, all of them or none.
func (s *Slot) Put(ctx context.Context, frames ...Frame) error {
	sizes := make([]int, len(frames))
	for i, f := range frames {
		sizes[i] = len(f.Bytes)
	}
	tx, err := s.Reserve(ctx, sizes)
	if err != nil {
		return err
	}
	if err = tx.Append(frames...); err == nil {
		err = tx.Sync()
	}
	if err != nil {
		return errors.Join(err, tx.Rollback())
	}
	tx.Publish()
	return nil
}
