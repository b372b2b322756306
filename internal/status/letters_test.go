// SPDX-License-Identifier: MIT

package status

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/questdb-sf/questdb_sf/internal/deadletter"
	"github.com/questdb-sf/questdb_sf/internal/vfs"
	"github.com/questdb-sf/questdb_sf/internal/vfs/vfstest"
)

// known are the rows that the page knows of a table.
func (s *shop) known(table string) (rows int64) {
	for _, r := range s.document().Letters.Reasons {
		if r.Table == table {
			rows += r.Rows
		}
	}
	return rows
}

func TestALargeFileThatGrowsLeavesTimeForOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop(t)
		grow := func(n int) { s.refuses(t, deadletter.Refused, "large", "words", n, strings.Repeat("x", 1<<20)) }
		grow(12)
		s.refuses(t, deadletter.Final, "small", "words", 3, "")
		require.Equal(t, int64(8), s.known("large"))
		require.Zero(t, s.known("small"))
		grow(1)
		time.Sleep(filesEvery)
		require.Equal(t, int64(3), s.known("small"), "it waited longer")
		grow(1)
		s.refuses(t, deadletter.Final, "small", "words", 1, "")
		time.Sleep(filesEvery)
		require.Equal(t, int64(3), s.known("small"), "what was known of it still is")
		require.Equal(t, int64(8), s.known("large"))
		l := s.document().Letters
		require.InDelta(t, 6<<20, l.Unread, 1<<16, "of both")
		grow(1)
		time.Sleep(filesEvery)
		require.Equal(t, int64(4), s.known("small"))
	})
}

func TestWhatIsNoLetterCountsAsRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, read := newShop(t), int64(0)
		text := []byte(strings.Repeat("this is no letter, and so is what follows"+strings.Repeat(".", 86)+"\n", 16<<13))
		for _, class := range []deadletter.Class{deadletter.Refused, deadletter.Final} {
			require.NoError(t, vfs.WriteWhole(s.mem, s.file.Path(class), text))
		}
		see := func(op vfstest.Op) {
			if op.Kind == vfstest.OpRead {
				read += op.Len
			}
		}
		s.hook.Store(&see)
		l := s.document().Letters
		require.Less(t, read, int64(letterBytes+2<<20), "one of them, and not all of it")
		require.Equal(t, int64(32<<20), l.Bytes)
		require.InDelta(t, 32<<20-read, l.Unread, 1<<16)
		require.Zero(t, l.Rows)
	})
}
