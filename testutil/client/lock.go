// SPDX-License-Identifier: MIT

package client

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/vfs"
)

// Lock waits for the lock file at path, which is made if it is not there, and
// returns what gives it back. Whoever installs a client holds one: go test runs
// several packages at once, and each of them may find the cache empty.
func Lock(ctx context.Context, path string) (unlock func(), err error) {
	f, err := vfs.OS.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	for {
		err := f.Lock()
		if err == nil {
			return func() { _ = f.Close() }, nil
		}
		if !errors.Is(err, vfs.ErrLocked) {
			_ = f.Close()
			return nil, fmt.Errorf("client: %w", err)
		}
		select {
		case <-ctx.Done():
			_ = f.Close()
			return nil, fmt.Errorf("client: wait for %s: %w", path, ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
}
