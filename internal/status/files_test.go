// SPDX-License-Identifier: MIT

package status

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/questdb-sf/questdb_sf/internal/deadletter"
	"github.com/questdb-sf/questdb_sf/internal/qwp"
	"github.com/questdb-sf/questdb_sf/internal/status/api"
	"github.com/questdb-sf/questdb_sf/internal/vfs"
	"github.com/questdb-sf/questdb_sf/internal/vfs/vfstest"
	"github.com/questdb-sf/questdb_sf/sfpool"
)

// shop is a store whose files are in memory.
type shop struct {
	*fake
	mem    *vfstest.Mem
	w      *watch
	opened atomic.Int64                     // files of dead letters
	hook   atomic.Pointer[func(vfstest.Op)] // sees what is done
	file   *deadletter.File
}

func newShop(t testing.TB) *shop {
	s := &shop{fake: newFake("/sf"), mem: vfstest.NewMem(), w: newWatch()}
	require.NoError(t, s.mem.MkdirAll("/sf/default-0", 0o750))
	s.w.disk.fs = vfs.ReadOnly(vfstest.Wrap(s.mem, func(op vfstest.Op) error {
		if op.Kind == vfstest.OpOpen && strings.HasSuffix(op.Path, ".lp") {
			s.opened.Add(1)
		}
		if f := s.hook.Load(); f != nil {
			(*f)(op)
		}
		return nil
	}))
	s.file = deadletter.Open(deadletter.Options{FS: s.mem, Dir: "/sf", SenderID: "default", MaxBytes: 1 << 30, SealBytes: 1 << 29})
	return s
}

func (s *shop) document() api.Store {
	r := s.w.lookAtAll([]*Source{source(s.fake, Block{})})
	return r.document()
}

// refuses adds dead letters of one reason.
func (s *shop) refuses(t testing.TB, class deadletter.Class, table, reason string, n int, text string) {
	t.Helper()
	var list []deadletter.Letter
	for i := range n {
		r := &qwp.Row{}
		r.Reset(table)
		r.Long("id", int64(i))
		r.Varchar("text", text)
		r.At(time.Now().UnixMicro())
		l := deadletter.Letter{Row: r, Class: class, Reason: reason}
		if class == deadletter.Refused {
			l.Host, l.Column, l.Type = "db:9000", "id", qwp.TypeLong
		}
		list = append(list, l)
	}
	require.NoError(t, s.file.Add(list))
}

// keeps writes a file into a directory of sf_dir.
func (s *shop) keeps(t testing.TB, name, text string) {
	t.Helper()
	require.NoError(t, s.mem.MkdirAll("/sf/"+name[:strings.Index(name, "/")], 0o750))
	require.NoError(t, vfs.WriteWhole(s.mem, "/sf/"+name, []byte(text)))
}

const receiptText = `{"what": "its header is damaged", "file": "sf-0.sfa", "kept_as": "sf-0.sfa.corrupt", "first_fsn": 3, "last_fsn": 5,
"frames": 3, "rows": 30, "rows_known": true, "found": "2026-11-01T00:00:00Z", "what_to_do": "see repair", "slot": "a lie", "kept_bytes": 1}`

func TestDeadLettersStandThereByTheirReasons(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop(t)
		require.Equal(t, api.Letters{Reasons: []api.Reason{}, Command: "questdb_sf dead-letter list -sf-dir /sf"}, s.document().Letters)
		s.refuses(t, deadletter.Refused, "cpu", "first words", 2, "")
		s.refuses(t, deadletter.Final, "mem", "too long", 5, "")
		s.refuses(t, deadletter.Final, "mem", "no such time", 1, "")
		time.Sleep(filesEvery)
		s.refuses(t, deadletter.Refused, "cpu", "last words", 2, "")
		l := s.document().Letters
		require.Equal(t, int64(10), l.Rows)
		require.Positive(t, l.Bytes)
		require.Empty(t, l.Error)
		require.Zero(t, l.Unread+l.More)
		require.Len(t, l.Reasons, 3)
		require.Equal(t, "final mem 5 too long", fmt.Sprint(l.Reasons[0].Class, " ", l.Reasons[0].Table, " ", l.Reasons[0].Rows, " ", l.Reasons[0].Words))
		require.Equal(t, api.Reason{
			Class: "refused", Table: "cpu", Column: "id", Type: "LONG", Host: "db:9000", Rows: 4, Newest: time.Now().UTC(), Words: "last words",
		}, l.Reasons[1])
	})
}

func TestAFileOfDeadLettersIsReadAgainOnlyWhenItHasChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop(t)
		s.refuses(t, deadletter.Refused, "cpu", "words", 3, "")
		for range 20 {
			require.Equal(t, int64(3), s.document().Letters.Rows)
			time.Sleep(filesEvery)
		}
		require.Equal(t, int64(1), s.opened.Load())
		s.refuses(t, deadletter.Refused, "cpu", "words", 1, "")
		for range 20 { // at once
			require.Equal(t, int64(4), s.document().Letters.Rows)
		}
		require.Equal(t, int64(2), s.opened.Load())
		s.refuses(t, deadletter.Refused, "cpu", "words", 1, "")
		require.Equal(t, int64(4), s.document().Letters.Rows, "it was looked at just now")
	})
}

func TestALargeFileOfDeadLettersIsReadInPart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop(t)
		s.refuses(t, deadletter.Final, "cpu", "words", 20, strings.Repeat("x", 1<<20))
		s.refuses(t, deadletter.Refused, "cpu", "words", 20, strings.Repeat("x", 1<<20))
		read := int64(0)
		see := func(op vfstest.Op) {
			if op.Kind == vfstest.OpRead {
				read += op.Len
			}
		}
		s.hook.Store(&see)
		l := s.document().Letters
		require.Equal(t, int64(8), l.Rows, "of the one that still may be delivered")
		require.Greater(t, l.Bytes, int64(40<<20))
		require.InDelta(t, l.Bytes-letterBytes, l.Unread, 1<<20)
		require.Less(t, read, int64(letterBytes+1<<20))
		time.Sleep(filesEvery)
		l = s.document().Letters
		require.Equal(t, int64(16), l.Rows, "and of the other")
		require.InDelta(t, l.Bytes-2*letterBytes, l.Unread, 2<<20)
	})
}

func TestManyReasonsAreCutToThoseWithMostRows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop(t)
		for i := range 20 {
			s.refuses(t, deadletter.Final, "cpu", fmt.Sprintf("reason %d", i), i+1, "")
		}
		l := s.document().Letters
		require.Len(t, l.Reasons, maxReasons)
		require.Equal(t, int64(20), l.Reasons[0].Rows)
		require.Equal(t, int64(20-maxReasons), l.More)
		require.Equal(t, int64(210), l.Rows)
	})
}

func TestADiskThatHangsHoldsUpThePageForASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop(t)
		s.refuses(t, deadletter.Refused, "cpu", "words", 3, "")
		require.Equal(t, int64(3), s.document().Letters.Rows)
		time.Sleep(filesEvery)
		release, looks := make(chan struct{}), atomic.Int64{}
		hang := func(op vfstest.Op) { looks.Add(1); <-release }
		s.hook.Store(&hang)
		for range 5 {
			from := time.Now()
			require.Equal(t, int64(3), s.document().Letters.Rows, "what was known before")
			require.Equal(t, filesWait, time.Since(from))
		}
		require.Equal(t, int64(1), looks.Load(), "one look hangs, and no other begins")
		close(release)
		synctest.Wait()
	})
}

func TestWoundsOfEarlierRunsAreShownWithWhatIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop(t)
		s.keeps(t, "default-0/incident-sf-0-01234567.json", receiptText)
		s.keeps(t, "default-0/sf-0.sfa.corrupt", "12345")
		s.keeps(t, "old-3/sf-1.sfa.7.corrupt", "123")
		s.keeps(t, "old-3/incident-sf-1-76543210.json", "no JSON")
		s.keeps(t, "old-3/incident-large-76543210.json", `{"what":"`+strings.Repeat("x", maxReceipt)+`"}`)
		lost := sfpool.Incident{Slot: "default-0"}
		lost.What, lost.Found, lost.WhatToDo = "a file is missing", "2026-11-02T00:00:00Z", "nothing"
		s.state.Details.Incidents = []sfpool.Incident{lost}
		d := s.document()
		require.Len(t, d.Incidents, 2)
		require.Equal(t, api.Incident{
			Slot: "default-0", What: "its header is damaged", File: "sf-0.sfa", KeptAs: "sf-0.sfa.corrupt", KeptBytes: 5, FirstFSN: 3, LastFSN: 5,
			Frames: 3, Rows: 30, RowsKnown: true, Found: "2026-11-01T00:00:00Z", WhatToDo: "see repair", Receipt: "incident-sf-0-01234567.json",
		}, d.Incidents[0])
		require.Equal(t, "a file is missing", d.Incidents[1].What, "its receipt could not be written")
		require.Equal(t, api.Kept{Files: 2, Bytes: 8}, d.Kept)
		s.keeps(t, "default-0/"+d.Incidents[1].Receipt, `{"what": "a file is missing", "found": "2026-11-02T00:00:00Z"}`)
		time.Sleep(filesEvery)
		require.Len(t, s.document().Incidents, 2, "one of them is told twice now")
	})
}

func TestFilesAreLeftAloneWhileRowsGoToRAM(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop(t)
		s.refuses(t, deadletter.Refused, "cpu", "words", 3, "")
		s.is(func(f *fake) { f.stats.RAM = true })
		require.Zero(t, s.document().Letters.Rows)
		require.Zero(t, s.opened.Load())
	})
}

func TestAPanicOverAFileDoesNotEndTheAgent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop(t)
		bug := func(vfstest.Op) { panic("cannot be") }
		s.hook.Store(&bug)
		require.Equal(t, "bug: cannot be", s.document().Kept.Error)
		s.hook.Store(nil)
		time.Sleep(filesEvery)
		require.Empty(t, s.document().Kept.Error)
	})
}

func TestASlotOfAnotherClientIsToldAsSuch(t *testing.T) {
	s, size := newShop(t), int64(0)
	const golden = "../slot/testdata/g3-python-6.0.0"
	err := filepath.WalkDir(golden, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if strings.HasSuffix(path, ".sfa") {
			size += int64(len(b))
		}
		s.keeps(t, "py-0/"+e.Name(), string(b))
		return err
	})
	require.NoError(t, err)
	s.stats.Orphans = []sfpool.OrphanStats{{Name: "py-0", State: "waiting"}}
	o := s.document().Orphans[0]
	require.True(t, o.Foreign)
	require.Positive(t, size)
	require.Equal(t, size, o.FileBytes)
	require.Contains(t, plain(drawn(t, &api.Document{Stores: []api.Store{s.document()}})), "py-0 (of another client) waiting not counted")
}
