// SPDX-License-Identifier: MIT

// Package sfpool gets rows into QuestDB without losing any. A Pool owns slots,
// directories named <sender_id>-<index> in one sf_dir, each with its own lock. A
// borrowed Sender appends batches to its slot; in the background the slot is
// forwarded over QWP or ILP, and a frame leaves the disk only when the server has
// taken it.
//
//	pool, err := sfpool.Open(ctx, sfpool.Config{URLs: urls, Dir: dir})
//	s, err := pool.Borrow(ctx)
//	defer s.Return()
//	batch := pool.NewBatch()
//	err = batch.Table("trades").Symbol("symbol", "ETH").Float64Column("price", 2615.54).At(now)
//	err = s.Flush(ctx, batch)
//	batch.Reset() // for the next rows
//
// # Promises
//
//   - A Flush that returned nil has stored all rows of its batches, one that
//     returned an error none. Stored means: no dead server, dead network or killed
//     process loses them, and at DurabilityFlush no power cut either; the other
//     durabilities say what a power cut costs. With Config.Full other than FullBlock,
//     or MaxAge, rows may be dropped, whole segments or batches at a time; each is
//     counted, for good, and told of.
//   - Delivery is at least once. What was on its way without an answer when the
//     process died, the connection broke or the sender was closed is sent again;
//     with ExactlyOnce a table keeps one of them.
//     Nothing is promised about the order of rows across slots.
//   - A slot index is handed out again only when the lock of its directory is
//     proven released. A slot that cannot be released costs its index, nothing
//     else, until it can.
//   - What an earlier pool left in a slot of this one is sent, whether somebody
//     borrows that slot or not; with DrainOrphans so is what belongs to nobody.
//     Rows never go to another destination than the one they were stored for,
//     except that those of this pool follow its URLs.
//   - A panic or error below leaves every index in exactly one state, and the pool
//     usable.
//   - An idle pool does nothing: no writes, no reads, no polling of the server. An
//     orphan that somebody holds, and a slot of ours that somebody holds, are
//     looked at now and then, without a write.
//   - A row that its table does not take is kept in a file with the reason, synced
//     before it counts as settled. One that the server may come to accept is sent
//     again now and then, in the end once an hour, and so are those of its reason as
//     soon as it is not refused any more: see FeedBack.
//
// Without Dir the pool keeps its slots in RAM: the same sending, the same API,
// and nothing survives the process.
//
// # What is assumed of disks
//
// A sync that succeeds has made the file durable; a sector of 512 bytes is
// written whole or not at all; unsynced sectors and names survive a crash in any
// combination; a failed sync is reported once and never repaired by another;
// flock is held until it is released or its process is gone, which network
// filesystems do not all keep. Preallocated blocks stay allocated.
//
// # The life of an index
//
//	         build            borrow, return
//	free ───────────► building ────────► live ─┐ ▲
//	 ▲ ▲                 │  │             │    └─┘
//	 │ └──── failed ─────┘  │ recovered   │ discard, reap, Close
//	 │                      ▼             ▼
//	 ├───── released ───── closing ◄──────┘
//	 │                        │ lock still held
//	 └──── lock dropped ─── leaked
//
// free + building + live + closing + leaked = MaxSenders, always.
//
// # Locks
//
// The mutex of the Pool comes first and is held for an instant, never across I/O,
// a call of a Logger, or a wait; under it only the mutexes of a slot and a sender
// that guard their counters, and that of the budget, are taken. On disk, in this order: the lock of the
// pool, <sf_dir>/.slot-locks/<sender_id>.pool.lock, as long as it is open; the
// lock of a slot's name, while it is adopted or renamed; the flock of the slot
// itself, until the last of its goroutines has ended.
//
// Beside the lock of the pool stands <sender_id>.pool.notice while rows wait: why they do,
// for those who look at the directory. See internal/notice.
//
// # Goroutines
//
// One housekeeper; for each open slot its send loop, while connected a receiver,
// and under DurabilityPeriodic a sync while bytes are unsynced; one or two for each
// build, close and drain of an orphan, for the recovery, and for dead letters that are
// fed back, as long as it lasts.
// Close ends them all, and says which slots it could not release.
package sfpool
