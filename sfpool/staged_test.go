// SPDX-License-Identifier: MIT

package sfpool

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/vfs"
	"github.com/questdb-sf/questdb_sf/internal/vfs/vfstest"
	"github.com/questdb-sf/questdb_sf/testutil/qwpserver"
)

const (
	shardCount     = 2
	framesPerShard = 4
	rowsPerFrame   = 3
	rowsPerShard   = framesPerShard * rowsPerFrame
	letter         = "the letter of shard"
)

// Each call to the disk that a flush of several shards makes is failed, in each
// slot and in the dead-letter file, once and until the caller tries again.
func TestWhicheverDiskCallOfWhicheverShardFailsTheRetriedFlushArrivesOnce(t *testing.T) {
	for _, errno := range []syscall.Errno{syscall.EIO, syscall.ENOSPC} {
		for _, lasting := range []bool{false, true} {
			for _, where := range []string{"default-0/", "default-1/", "dead-letter"} {
				t.Run(fmt.Sprintf("%v/lasting %t/%s", errno, lasting, strings.Trim(where, "/")), func(t *testing.T) {
					failEachCall(t, fault{where: where, err: errno, lasting: lasting, durability: DurabilityFlush})
				})
			}
		}
	}
}

// The same where the sync in the background has failed before, so that the flush
// begins with mending what was stored.
func TestWhicheverDiskCallOfAMendingFlushFailsTheRetriedFlushArrivesOnce(t *testing.T) {
	for _, lasting := range []bool{false, true} {
		t.Run(fmt.Sprintf("lasting %t", lasting), func(t *testing.T) {
			failEachCall(t, fault{where: "default-1/", err: syscall.EIO, lasting: lasting, durability: DurabilityPeriodic})
		})
	}
}

// failEachCall fails the first call of a flush, then the second, until a flush
// makes no more.
func failEachCall(t *testing.T, f fault) {
	for f.at = 1; ; f.at++ {
		if calls := retriedFlush(t, f); calls < f.at {
			break
		}
		if t.Failed() {
			t.Fatalf("call %d", f.at)
		}
	}
	if f.at < 4 {
		t.Errorf("only %d calls to fail", f.at-1)
	}
	t.Logf("%d calls failed in turn", f.at-1)
}

// retriedFlush stores rows, flushes more while a call fails, flushes again, and
// looks what has arrived. It returns how many calls there were to fail.
func retriedFlush(t *testing.T, f fault) (calls int) {
	srv := startServer(t)
	defer srv.Close()
	srv.Stop()
	disk := &faultyDisk{}
	p := openOn(t, disk, srv.URL(), f.durability)
	defer closeNow(t, p)
	senders := borrowAll(t, p)
	if f.durability == DurabilityPeriodic {
		disk.failPeriodicSyncs(t, p, senders)
	} else {
		do(t, p.Flush(context.Background(), shardsFor(t, p, senders, 0, rowsPerShard)...))
	}
	before := int(p.Stats().Pending)
	p.until(context.Background(), func() bool { return !p.recovery.running })

	shards := shardsFor(t, p, senders, 1, rowsPerShard)
	disk.arm(f)
	err := p.Flush(context.Background(), shards...)
	calls = disk.disarm()
	if err != nil {
		senders = flushAgain(t, p, shards)
	}
	for _, s := range senders {
		s.Return()
	}
	// One that could not roll back is closed. That it happens while answers are
	// under way, and rows are sent again, is not what is tested here.
	p.until(context.Background(), func() bool { return p.count(closing) == 0 })
	do(t, srv.Restart())
	onceOnServer(t, p, srv, before+shardCount*rowsPerShard)
	onceOnPaper(t, disk, p)
	return calls
}

// flushAgain does what the owner of a batch does: the same again. Only a slot
// that says that it takes no more rows has to be opened anew before.
func flushAgain(t *testing.T, p *Pool, shards []Shard) (senders []*Sender) {
	t.Helper()
	for _, s := range shards {
		senders = append(senders, s.Sender)
	}
	err := p.Flush(context.Background(), shards...)
	if err == nil {
		return senders
	}
	if !slices.ContainsFunc(senders, func(s *Sender) bool { return s.member.d.(*worker).slot.Err() != nil }) {
		t.Fatalf("all slots take rows, but the second flush failed: %v", err)
	}
	for _, s := range senders {
		s.Return()
	}
	senders = borrowAll(t, p)
	for i := range shards {
		shards[i].Sender = senders[i]
	}
	do(t, p.Flush(context.Background(), shards...))
	return senders
}

// A batch whose rows all turned out to be unfit still has letters to keep.
func TestDeadLettersAloneAreStoredByAFlush(t *testing.T) {
	disk := &faultyDisk{}
	p := openOn(t, disk, "http://127.0.0.1:1", DurabilityFlush)
	defer closeNow(t, p)
	s, err := p.Borrow(context.Background())
	do(t, err)
	defer s.Return()
	b := p.NewBatch()
	b.Reject(rowOf(0), letter+" 0")
	do(t, s.Flush(context.Background(), b))
	if text := disk.read(t, p.DeadLetterPath()); strings.Count(text, letter) != 1 {
		t.Errorf("dead letters %q", text)
	}
}

func TestDeadLettersOfARolledBackStageAreNotDoubled(t *testing.T) {
	disk := &faultyDisk{}
	p := openOn(t, disk, "http://127.0.0.1:1", DurabilityFlush)
	defer closeNow(t, p)
	senders := borrowAll(t, p)
	shards := shardsFor(t, p, senders, 1, rowsPerShard)
	staged, err := p.Stage(context.Background(), shards...)
	do(t, err)
	do(t, staged.Sync())
	do(t, staged.Sync()) // nothing new
	staged.Rollback()
	do(t, p.Flush(context.Background(), shards...))
	onceOnPaper(t, disk, p)
	for _, s := range senders {
		s.Return()
	}
}

func TestAStageIsInvisibleUntilPublishAndGoneAfterRollback(t *testing.T) {
	srv := startServer(t)
	disk := &faultyDisk{}
	p := openOn(t, disk, srv.URL(), DurabilityFlush)
	defer closeNow(t, p)
	senders := borrowAll(t, p)
	shards := shardsFor(t, p, senders, 0, rowsPerShard)
	stage := func() *Staged {
		staged, err := p.Stage(context.Background(), shards...)
		do(t, err)
		do(t, staged.Sync())
		if st := p.Stats(); st.Accepted != st.DeadLettered || st.Pending != 0 {
			t.Errorf("visible too early: %+v", st)
		}
		return staged
	}
	gone := stage()
	gone.Rollback()
	gone.Rollback() // does nothing
	kept := stage()
	kept.Publish()
	kept.Rollback() // does nothing
	for _, s := range senders {
		s.Return()
	}
	onceOnServer(t, p, srv, shardCount*rowsPerShard)
}

// fault fails one call to the disk.
type fault struct {
	where   string // part of the path
	at      int    // the nth call there, from 1
	lasting bool   // and all that follow
	err     error
	// kinds are those calls that fail; none for all.
	kinds []vfstest.Kind

	durability Durability // of the pool
}

// faultyDisk is a disk in memory of which a call can be made to fail.
type faultyDisk struct {
	mem   vfs.FS
	mu    sync.Mutex
	armed fault // armed if at > 0
	calls int
}

func (d *faultyDisk) arm(f fault) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.armed, d.calls = f, 0
}

func (d *faultyDisk) disarm() (calls int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.armed = fault{}
	return d.calls
}

func (d *faultyDisk) hook(op vfstest.Op) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	f := d.armed
	if f.at == 0 || !strings.Contains(op.Path+"/", f.where) || f.kinds != nil && !slices.Contains(f.kinds, op.Kind) {
		return nil
	}
	d.calls++
	if d.calls == f.at || d.calls > f.at && f.lasting {
		return f.err
	}
	return nil
}

func (d *faultyDisk) read(t testing.TB, path string) string {
	t.Helper()
	f, err := d.mem.OpenFile(path, os.O_RDONLY, 0)
	do(t, err)
	size, err := f.Size()
	do(t, err)
	text := make([]byte, size)
	_, err = f.ReadAt(text, 0)
	do(t, err)
	do(t, f.Close())
	return string(text)
}

// failPeriodicSyncs stores a row in each slot, and lets its sync in the
// background fail, and what the slot then tries to keep the row.
func (d *faultyDisk) failPeriodicSyncs(t testing.TB, p *Pool, senders []*Sender) {
	t.Helper()
	d.arm(fault{where: "default-", at: 1, lasting: true, err: syscall.EIO, kinds: []vfstest.Kind{vfstest.OpSync, vfstest.OpOpen}})
	do(t, p.Flush(context.Background(), shardsFor(t, p, senders, 0, 1)...))
	for _, s := range senders {
		for deadline := time.Now().Add(time.Minute); s.member.d.(*worker).slot.Err() == nil; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("no sync has failed")
			}
		}
	}
	d.disarm()
}

func openOn(t testing.TB, disk *faultyDisk, url string, d Durability) *Pool {
	t.Helper()
	disk.mem = vfstest.NewMem()
	p, err := Open(context.Background(), Config{
		URLs: []string{url}, Dir: "/sf", FS: vfstest.Wrap(disk.mem, disk.hook), MaxSenders: shardCount,
		Durability: d, SyncInterval: 10 * time.Millisecond, MaxSegmentBytes: minSegmentBytes, CloseFlushTimeout: -1,
		InitialBackoff: time.Millisecond, MaxBackoff: 10 * time.Millisecond,
		HousekeeperInterval: 10 * time.Millisecond, // recovers what a closed sender left
	})
	do(t, err)
	return p
}

func closeNow(t testing.TB, p *Pool) {
	t.Helper()
	now, cancel := context.WithCancel(context.Background())
	cancel()
	do(t, p.Close(now))
}

func borrowAll(t testing.TB, p *Pool) (list []*Sender) {
	t.Helper()
	for range shardCount {
		s, err := p.Borrow(context.Background())
		do(t, err)
		list = append(list, s)
	}
	return list
}

// shardsFor makes a batch of several frames for each sender, more than fit into
// one segment, with rows that no other round has. The first round has no letters.
func shardsFor(t testing.TB, p *Pool, senders []*Sender, round, rows int) (shards []Shard) {
	t.Helper()
	for i, s := range senders {
		b := p.NewBatch()
		for id := range rows {
			do(t, b.Add(rowOf((round*len(senders)+i)*rowsPerShard+id)))
			if id%rowsPerFrame == rowsPerFrame-1 {
				b.pack()
			}
		}
		if round > 0 {
			b.Reject(rowOf(0), fmt.Sprintf("%s %d", letter, i))
		}
		shards = append(shards, Shard{s, b})
	}
	return shards
}

var padding = strings.Repeat("x", 7000)

func rowOf(id int) *Row {
	var r Row
	r.Reset("t")
	r.Long("id", int64(id))
	r.Varchar("padding", padding)
	r.At(1700000000000000 + int64(id))
	return &r
}

func startServer(t testing.TB) *qwpserver.Server {
	t.Helper()
	srv, err := qwpserver.Start(qwpserver.Options{})
	do(t, err)
	t.Cleanup(srv.Close)
	return srv
}

// onceOnServer waits until all is sent, and looks for each row.
func onceOnServer(t testing.TB, p *Pool, srv *qwpserver.Server, want int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := p.WaitAcked(ctx); err != nil {
		t.Fatalf("%d of %d rows: %v", srv.Total(), want, err)
	}
	seen := map[any]bool{}
	for _, r := range srv.Rows("t") {
		seen[r.Values["id"]] = true
	}
	if len(seen) != want || srv.Total() != int64(want) {
		t.Errorf("%d rows with %d ids, want %d", srv.Total(), len(seen), want)
	}
}

// onceOnPaper looks for the dead letter of each shard.
func onceOnPaper(t testing.TB, disk *faultyDisk, p *Pool) {
	t.Helper()
	text := disk.read(t, p.DeadLetterPath())
	for i := range shardCount {
		if n := strings.Count(text, fmt.Sprintf("%s %d", letter, i)); n != 1 {
			t.Errorf("the dead letter of shard %d is there %d times", i, n)
		}
	}
}

func do(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
