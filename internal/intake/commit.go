// SPDX-License-Identifier: MIT

package intake

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/questdb-sf/questdb_sf/sfpool"
)

// Commit stores what waits: all of it, or with an error nothing, and then it
// still waits, and may be committed again. The wait for room ends with ctx. When
// the Store has another pool for rows that one could not take, that is tried. A
// panic in a shard goes on here, with nothing stored.
func (in *Intake) Commit(ctx context.Context) error {
	in.takeMerged()
	if in.rows == 0 {
		return nil
	}
	in.join()
	pool, err := in.flush(ctx)
	if err != nil && pool != nil && in.store.Failed(pool, err) {
		_, err = in.flush(ctx)
	}
	if err != nil {
		return err
	}
	in.times.stored(in.Mapper)
	in.noteRejected()
	in.Reset()
	return nil
}

// join waits until all shards are encoded.
func (in *Intake) join() {
	shards := in.shards[:in.ways]
	for _, s := range shards {
		s.hand()
	}
	for _, s := range shards {
		s.busy.Wait()
	}
	for _, s := range shards {
		if s.failure != nil {
			panic(s.failure)
		}
	}
}

// flush stores all parts in the pool that takes rows now. It returns that pool;
// nil if there is none.
func (in *Intake) flush(ctx context.Context) (*sfpool.Pool, error) {
	pool, release, err := in.store.Pool()
	if err != nil {
		return nil, err
	}
	defer release()
	in.see(pool)
	defer in.giveBack()
	parts := in.parts()
	if err := in.borrow(ctx, pool, in.senders(parts)); err != nil {
		return pool, err
	}
	var shards []sfpool.Shard
	for i, p := range fold(parts, len(in.team)) {
		shards = append(shards, sfpool.Shard{Sender: in.team[i], Batch: p.Batch})
	}
	return pool, pool.Flush(ctx, shards...)
}

// parts returns those that hold something. The one for the rows that no shard got
// is last: its dead letters go with another.
func (in *Intake) parts() []*part {
	var list []*part
	for _, s := range in.shards[:in.ways] {
		if !s.empty() {
			list = append(list, &s.part)
		}
	}
	if !in.own.empty() {
		list = append(list, &in.own)
	}
	return list
}

// senders returns for how many there are rows.
func (in *Intake) senders(parts []*part) (n int) {
	for _, p := range parts {
		if p.Rows() > 0 {
			n++
		}
	}
	return max(n, 1)
}

// borrow gets up to n senders. It waits for the first only: with fewer than n the
// batch is stored all the same. One is enough for a batch that has turned out to
// be small, unless that one has a backlog.
func (in *Intake) borrow(ctx context.Context, pool *sfpool.Pool, n int) error {
	first, err := pool.Borrow(ctx)
	if err != nil {
		return err
	}
	in.team = append(in.team, first)
	if in.rows < splitRows && first.PendingBytes() <= splitPending {
		return nil
	}
	for len(in.team) < n {
		s, ok := pool.TryBorrow(ctx)
		if !ok {
			break
		}
		in.team = append(in.team, s)
	}
	// Each series stays in its slot from batch to batch, as long as there are as many:
	// a connection sends each of its symbols once.
	slices.SortFunc(in.team, func(a, b *sfpool.Sender) int { return cmp.Compare(a.Name(), b.Name()) })
	return nil
}

func (in *Intake) giveBack() {
	for _, s := range in.team {
		s.Return()
	}
	in.team = in.team[:0]
}

// noteRejected counts the dead letters that were stored, and may tell of them.
func (in *Intake) noteRejected() {
	reason := in.own.reason
	rejected := in.own.Rejected()
	for _, s := range in.shards[:in.ways] {
		rejected += s.Rejected()
		reason = cmp.Or(reason, s.reason)
	}
	in.rejected += rejected
	in.reason = cmp.Or(reason, in.reason)
	if time.Since(in.saidAt) >= time.Minute {
		in.sayRejected()
	}
}
