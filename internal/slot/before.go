// SPDX-License-Identifier: MIT

package slot

import "github.com/questdb-sf/questdb_sf/internal/vfs"

// LedgerOf returns the ledger of a slot as its .qsf-state has it, with Published and
// Watermark as of a slot without frames, for who does not open the slot: it reads two
// blocks, changes nothing and takes no lock. What is pending is what was when the state
// was written, and nothing where there are no segments. It is zero for a slot that is
// not there or has no state, and a *ForeignError for one of another client.
func LedgerOf(fsys vfs.FS, dir string) (Stats, error) {
	b := book{watermark: -1}
	entries, err := fsys.ReadDir(dir)
	if err != nil {
		return b.stats(-1), ignoreMissing(err)
	}
	r := &recovery{o: Options{FS: fsys, Dir: dir}}
	holds := false
	for _, e := range entries {
		if err := r.foreignFile(e.Name()); err != nil {
			return b.stats(-1), err
		}
		holds = holds || isSegment(e)
	}
	st, err := (&Peeker{FS: fsys, Dir: dir}).stateOnce(false)
	if err != nil || !st.valid {
		return b.stats(-1), err
	}
	b.ledger = st.state.ledger
	if !holds || b.ledger.pending() < 0 {
		b.ledger.accepted = b.ledger.gone()
	}
	return b.stats(-1), nil
}
