// SPDX-License-Identifier: MIT

// Package sfpool gets rows into QuestDB without losing any. A Pool owns slots,
// directories named <sender_id>-<index> in one sf_dir, each with its own lock.
// A borrowed Sender appends batches to its slot; from then on a dead server, a
// dead network or a killed process lose nothing, and under DurabilityFlush
// neither does a power cut. In the background the slot is forwarded over QWP or
// ILP, and a frame leaves the disk only when the server has taken it.
//
//	pool, err := sfpool.Open(ctx, sfpool.Config{URLs: urls, Dir: dir})
//	s, err := pool.Borrow(ctx)
//	defer s.Return()
//	batch := pool.NewBatch()
//	batch.Add(row)
//	err = s.Flush(ctx, batch)
//
// Delivery is at least once: a crash between the server's commit and the note
// of its ack sends those rows again.
package sfpool
