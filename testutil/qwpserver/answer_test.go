// SPDX-License-Identifier: MIT

package qwpserver_test

import (
	"slices"
	"testing"

	"github.com/questdb-sf/questdb_sf/internal/qwp"
	"github.com/questdb-sf/questdb_sf/testutil/qwpserver"
)

func TestOneOKCoversEightMessagesAndOneTheRest(t *testing.T) {
	b := start(t, qwpserver.Options{})
	release := make(chan struct{})
	b.Script(qwpserver.Pause(release))
	c := b.connect()
	for i := range int64(19) {
		c.send(long([]string{"a", "b"}[i%2], i, i))
	}
	b.wait(func(s *qwpserver.State) bool { return s.Messages == 19 })
	close(release)
	want := []qwp.Response{
		{Sequence: 7, Tables: []qwp.TableTxn{{Name: "a", SeqTxn: 4}, {Name: "b", SeqTxn: 4}}},
		{Sequence: 15, Tables: []qwp.TableTxn{{Name: "a", SeqTxn: 8}, {Name: "b", SeqTxn: 8}}},
		{Sequence: 18, Tables: []qwp.TableTxn{{Name: "a", SeqTxn: 10}, {Name: "b", SeqTxn: 9}}},
	}
	for _, w := range want {
		if got := c.answer(); got.Status != qwp.StatusOK || got.Sequence != w.Sequence || !slices.Equal(got.Tables, w.Tables) {
			t.Errorf("OK %+v, want %+v", got, w)
		}
	}
	c.nothingMore()
}

func TestNothingIsProcessedAfterAnError(t *testing.T) {
	b := start(t, qwpserver.Options{})
	b.Script(qwpserver.Reject(qwp.StatusWriteError, "disk is full").When(qwpserver.Seq(1)))
	c := b.connect()
	for i := range int64(4) {
		c.send(long("t", i, i))
	}
	if r := c.answer(); r.Status != qwp.StatusOK || r.Sequence != 0 {
		t.Errorf("first answer %+v", r)
	}
	if r := c.answer(); r.Status != qwp.StatusWriteError || r.Sequence != 1 || r.Message != "disk is full" {
		t.Errorf("second answer %+v", r)
	}
	c.nothingMore()
	if got := b.Total(); got != 1 {
		t.Errorf("%d rows stored, want 1", got)
	}
	again := b.connect()
	again.send(long("t", 1, 1))
	again.until(0)
}

func TestDeferredMessagesAreCommittedTogether(t *testing.T) {
	b := start(t, qwpserver.Options{})
	c := b.connect()
	c.send(long("t", 0, 0))
	c.until(0)
	c.deferred(long("t", 1, 1))
	c.deferred(long("u", 2, 2))
	b.wait(func(s *qwpserver.State) bool { return s.Accepted == 3 })
	if got := b.Total(); got != 1 {
		t.Errorf("%d rows are visible before the commit, want 1", got)
	}
	c.send(long("t", 3, 3))
	if r := c.answer(); r.Sequence != 3 || len(r.Tables) != 2 || r.Tables[0].SeqTxn != 2 {
		t.Errorf("commit is answered with %+v", r)
	}
	if got := b.Total(); got != 4 {
		t.Errorf("%d rows after the commit, want 4", got)
	}
}

func TestUncommittedRowsAreLostWithTheConnection(t *testing.T) {
	b := start(t, qwpserver.Options{})
	c := b.connect()
	c.deferred(long("t", 1, 1))
	c.nothingMore()
	_ = c.ws.Close()
	b.wait(func(s *qwpserver.State) bool { return s.Open == 0 })
	again := b.connect()
	again.send(long("t", 2, 2))
	again.until(0)
	if got := b.Total(); got != 1 {
		t.Errorf("%d rows, want 1", got)
	}
}

func TestBytesThatAreNoMessageAreAParseError(t *testing.T) {
	for _, msg := range [][]byte{{}, []byte("QWP"), []byte("QWP1\x02\x00\x00\x00\x00\x00\x00\x00")} {
		b := start(t, qwpserver.Options{})
		c := b.connect()
		c.write(msg)
		if r := c.answer(); r.Status != qwp.StatusParseError || r.Sequence != 0 {
			t.Errorf("%q is answered with %+v", msg, r)
		}
	}
}

func TestSymbolsBeyondTheDictionaryAreADictionaryGap(t *testing.T) {
	b := start(t, qwpserver.Options{})
	host := func(name string) *qwp.Row {
		return point("t", 0, func(r *qwp.Row) { r.Symbol("host", name) })
	}
	first := b.connect()
	first.send(host("a"))
	second := b.connect()
	second.dict = first.dict
	second.send(host("b"))
	if r := second.answer(); r.Status != qwp.StatusDictionaryGap {
		t.Errorf("answered with %+v", r)
	}
}
