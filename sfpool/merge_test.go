// SPDX-License-Identifier: MIT

package sfpool_test

import (
	"os"
	"strings"
	"testing"

	"github.com/questdb-sf/questdb_sf/sfpool"
)

func TestABatchNeedsNoPool(t *testing.T) {
	srv := serve(t)
	cfg := config(t, srv.URL())
	b := sfpool.NewBatch(cfg.MaxSegmentBytes)
	add(t, b, 0, 100)
	p := open(t, cfg)
	own := p.NewBatch()
	add(t, own, 0, 100)
	if b.Bytes() != own.Bytes() {
		t.Errorf("%d bytes, %d in one of the pool", b.Bytes(), own.Bytes())
	}
	s := borrowed(t, p, 1)[0]
	defer s.Return()
	if err := s.Flush(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	arrived(t, srv, 100)
}

func TestMergeMovesRowsAndDeadLetters(t *testing.T) {
	srv := serve(t)
	p := open(t, config(t, srv.URL()))
	s := borrowed(t, p, 1)[0]
	defer s.Return()
	one, two := p.NewBatch(), p.NewBatch()
	for round := range 2 { // the second time with the memory of the first
		add(t, one, 2000*round, 1000)
		add(t, two, 2000*round+1000, 1000)
		for _, b := range []*sfpool.Batch{one, two} {
			var row sfpool.Row
			row.Reset("t")
			row.Long("bad", int64(round))
			b.Reject(&row, "it is bad")
		}
		one.Merge(two)
		if one.Rows() != 2000 || one.Rejected() != 2 || two.Rows()+two.Rejected()+two.Bytes() > 64 {
			t.Errorf("%d rows and %d rejected, left %d and %d", one.Rows(), one.Rejected(), two.Rows(), two.Rejected())
		}
		if err := s.Flush(t.Context(), one); err != nil {
			t.Fatal(err)
		}
		one.Reset()
	}
	arrived(t, srv, 4000)
	letters, err := os.ReadFile(p.DeadLetterPath())
	if n := strings.Count(string(letters), "it is bad"); err != nil || n != 4 || p.Stats().DeadLettered != 4 {
		t.Errorf("%d letters, error %v, stats %+v", n, err, p.Stats())
	}
}

func TestMergeOfWhatCannotBeMergedPanics(t *testing.T) {
	p := open(t, config(t, nowhere))
	s := borrowed(t, p, 1)[0]
	defer s.Return()
	stored, unended := batch(t, p, 0, 1), p.NewBatch()
	if err := s.Flush(t.Context(), stored); err != nil {
		t.Fatal(err)
	}
	unended.Table("t").Int64Column("id", 1)
	for name, other := range map[string]*sfpool.Batch{
		"stored": stored, "not ended": unended, "another size": sfpool.NewBatch(64 << 10),
	} {
		func() {
			defer func() {
				if v, ok := recover().(string); !ok || !strings.HasPrefix(v, "bug: Merge of") {
					t.Errorf("%s: panic %v", name, v)
				}
			}()
			p.NewBatch().Merge(other)
		}()
	}
}
