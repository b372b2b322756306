// SPDX-License-Identifier: MIT

// Package slot keeps frames in a directory until they are settled. A frame is
// one QWP message; the package knows no network and does not look into frames,
// except to count rows of what it finds on disk.
//
// # Files
//
//	.lock, .lock.pid       the flock, for as long as the slot is open, and its owner
//	.target                where the rows belong: the URLs of the servers, sorted and
//	                       without credentials, or the label sf_destination
//	sf-initial.sfa         the first segment of a fresh slot
//	sf-<16 hex>.sfa        later segments; the number counts files, not frames
//	<segment>.acked.<s>    a segment that is done with since the second s, kept by a
//	                       Retention; of two of that name the later ends in .2
//	<segment>.corrupt      a segment that is done with, or of no use, in which
//	                       something could not be read
//	<segment>.<fsn>.corrupt  one frame that is whole but no message
//	incident-<file>-<8 hex>.json  what could not be read, and where its bytes are
//	.ack-watermark         written for other clients
//	.qsf-state             our own truth about progress
//	.failed                why nobody should try to drain the slot again; MarkFailed
//	                       writes it, and the official clients know it
//
// Beside the slots of one sf_dir stands .slot-locks: <slot>.lock and its .pid there
// are the flock of a name, which is held while a slot is adopted or renamed (see
// LockName). Files of that directory and .lock are never removed: a second owner
// would lock another inode.
//
// Segments are the ecosystem's SF01 format, generation G1, which every official
// client reads. A file has its full size from the start, with real blocks; all
// numbers are little-endian:
//
//	header    0  "SF01"            frame     0  u32 CRC-32C of the rest
//	          4  u8 version 1                4  u32 length n, not 0
//	          5  u8 flags 0                  8  n bytes: one QWP message
//	          6  u16 0
//	          8  i64 FSN of the first frame
//	         16  u64 created, microseconds since 1970
//
// Frames follow the header and each other without padding; what is behind the
// last is zero. Order comes from the headers alone. There are sealed segments,
// one that is appended to, and at most one empty spare. What a later generation
// of the format has touched (flags, sf-manifest.bin, .symbol-dict, a watermark
// of 8192 bytes) is refused with ForeignError before anything is changed; it is
// for OpenForeign, and Import moves it out of the way of a slot of ours.
//
// .ack-watermark has 16 bytes: "AKW1", u32 0, i64 FSN; all zero for none.
//
// .qsf-state has two records of 4 KiB, at 0 and 4096, and the summaries of sealed
// segments from 8192 on. A record is one sector, which a crash keeps or loses
// whole, and the intervals behind it:
//
//	  0  "QSF1", u32 version 1, u64 generation
//	 16  i64 watermark, u32 CRC of the frame there, u32 flags: 1 clean close, 2 CRC known, 4 synced
//	 32  i64 next FSN
//	 40  head: i64 base, i64 created, i64 file number of the oldest segment
//	 64  durable: i64 file number of a segment, i64 offset up to which it is synced
//	 80  rows: i64 accepted, acked, dead-lettered, evicted, quarantined, unknown
//	128  u32 number of intervals, u32 CRC-32C of the intervals
//	136  u32 CRC-32C of .target, 0 for unknown
//	140  8 u32: hashes of segments whose holes hide how many frames they had, and with
//	     whose numbers the intervals reckon; 0 for none
//	172  0
//	508  u32 CRC-32C of the 508 bytes before
//	512  intervals of settled FSNs above the watermark, at most 64: i64 from, i64 to
//
// A summary has 64 bytes and is written when its segment is sealed:
//
//	 0  u32 CRC-32C of the rest, u32 frames, i64 base, i64 created, i64 rows
//	32  u32 end of the last frame, u32 size of the file
//	40  i64 earliest, i64 latest timestamp, microseconds since 1970
//	56  u32 CRC of the first frame, u32 flags: 1 in use, 0x100 has timestamps, 0x200
//	    has lost rows (older releases take such a summary for none, and scan)
//
// The number of sf-initial.sfa is -1, that of any other name -2. Losing
// .qsf-state loses no frame: any doubt about it means that frames are sent again.
//
// # Why a crash loses nothing
//
// Believed of a disk: a sync that succeeds has made the file durable; a sector of
// 512 bytes is written whole or not at all; unsynced sectors and directory
// operations survive in any combination; a failed sync is reported once. The
// promise is that of Durability; what follows holds for Flush, and for Periodic
// up to what was synced.
//
//   - Append: a frame counts when its Tx is synced, then published. A crash before
//     leaves a torn tail, of the last segment only, because a segment is synced
//     before the next one gets a frame, and because header and name of a segment
//     are durable before that. If several frames of a Tx were under way, later
//     ones may be whole where earlier ones are not; "durable" in .qsf-state, which
//     never says too much, tells that from a wound. Recovery zeroes the tail and
//     syncs, so that no stale frame is ever found behind a shorter new one.
//   - Rollback: segments that the Tx began are unlinked, durably, before its frames
//     in the last segment are zeroed, durably. At each point between, the chain
//     has no gap.
//   - Settle: the record with the new head is synced before a segment is unlinked, or
//     renamed to be kept.
//     Whatever unlinks a crash undoes, segments below the head are known as
//     settled. The record that was synced last is never written over.
//   - Hollow: the record that calls the frames of a segment settled is synced before
//     its file is replaced, by a rename, with one of as many empty messages. A crash
//     leaves either file. Where it tears the intervals of a later record, those of that
//     one count. If .qsf-state is lost, empty messages are what is sent again.
//   - A watermark counts only if the frame it names has the CRC it had. One above
//     the end is taken back, durably and in both records, before an FSN can be used
//     again.
//   - A failed sync: the segment is not synced again. It is cut at what was synced
//     and sealed; under Periodic the frames behind go from RAM into a new segment,
//     which appears by a rename when it is whole. A crash between leaves frames
//     twice, with equal FSN and CRC, which count as one.
//   - Close of a slot with nothing pending: the last segment goes when the others
//     are gone for certain. The next FSN stays in .qsf-state.
//
// # Hollow segments
//
// Frames may be settled in any order. A sealed segment that is settled as a whole while
// a frame before it is pending is not unlinked: the chain has no gaps. Instead its file
// is replaced by one of the same base with as many messages without tables, 22 bytes
// each, that every client takes for commits. Neither one with a wound is, nor one that
// is outside the 64 intervals which .qsf-state has room for, nor any while acked
// segments are to be kept. It has no summary.
//
// # Wounds
//
// Damage that no crash explains keeps no slot from opening and no whole frame from
// being delivered. What cannot be read is a hole in its segment, which keeps the
// numbers of the frames that were there:
//
//   - Behind a bad frame reading goes on where its length says, if a whole frame
//     stands there, or else at the next magic with a matching checksum.
//   - How many frames a hole had is exact where their lengths can be read, or where
//     the next segment or the summary says how many the segment had and no other
//     hole hides its own. Otherwise it is the fewest that fit, no number is used
//     again, and what .qsf-state calls settled among those frames is sent again.
//   - The frames of a hole are settled; their rows are quarantined as far as the
//     summary tells how many they were, or else unknown: what the ledger finds
//     missing. An incident is written before anything changes.
//   - No frame is appended behind a hole. When all of such a segment is settled it is
//     renamed to .corrupt instead of unlinked. Nothing of this needs free space; a
//     receipt that cannot be written is written later.
//   - A segment that its summary vouches for is not scanned at open: a wound in it is
//     found by the cursor that comes to it, and treated alike.
//   - A missing file is a hole without bytes in the segment before. The last and the
//     oldest are missed by what .qsf-state says of them, too.
//   - A header that cannot be, or that claims the numbers of other frames, is
//     corrected by .qsf-state, by the gap that its frames fill, or else they get new
//     numbers at the end. It is rewritten in place, after .qsf-state has forgotten
//     what it said of those numbers.
//   - The end of the last segment is torn only where "durable" in .qsf-state does not
//     say that it was synced, and under Memory, which never syncs, only behind the last
//     whole frame.
//   - .target that does not match its checksum is damaged if nobody writes such a text,
//     or if it lacks a bit or the end of what was there and is wanted. Any other text
//     is another destination.
//
// Examine finds the same by reading alone, beside an owner too: recovery with all that
// it would change left out, on a filesystem on which nothing can be changed.
//
// Errors of the filesystem are never damage. Files of other clients are not healed:
// OpenForeign fails with DamageError.
//
// The tests harm every byte of a small slot (sweep_test.go; examine_test.go compares
// what Examine finds with what Open then does), stop a workload before
// every call to the filesystem and recover from what a power cut may leave there
// (crash_test.go, wound_crash_test.go), fail every call (fault_test.go,
// transient_test.go), and have wounds, evictions and settlements meet in any order
// (meeting_model_test.go).
package slot
