// SPDX-License-Identifier: MIT

package store

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/fleet"
	"github.com/questdb-sf/questdb_sf/sfpool"
)

const (
	// lockPoll is the pause between two tries at a lock that somebody holds.
	lockPoll = 200 * time.Millisecond
	// openPause is how long Pool returns the last error instead of trying again:
	// blocks that share a store ask one after the other.
	openPause = time.Second
	// leaveTimeout bounds the wait for those who still use a pool that another has
	// taken the place of, and for goroutines at the end.
	leaveTimeout = 5 * time.Second
)

// shared is a store with its holders.
type shared struct {
	key     key
	set     Settings // of the first holder
	holders int      // the mutex of the registry guards it

	// opening has one place: who has put something in may open pools, and put
	// disk and ram in their places.
	opening chan struct{}
	tasks   sync.WaitGroup // the return to disk, closings of failed pools, and rows about the store
	stop    chan struct{}  // closed when close begins
	outages fleet.Outages
	free    freeSpace

	// mu guards every field below it. Nothing that can block runs while it is held.
	mu        sync.Mutex
	disk      *sfpool.Pool         // takes rows, where there is one
	ram       *sfpool.Pool         // takes them otherwise, and is emptied later
	users     map[*sfpool.Pool]int // those who called pool and not yet release
	changed   chan struct{}        // closed and replaced when somebody releases
	returning context.CancelFunc   // ends the return to disk; nil while there is none
	closed    bool
	taken     bool            // close has taken the pools out of their places
	tried     time.Time       // when the disk was last tried in vain
	failure   error           // of that try
	said      map[string]bool // of the present trouble, what was logged; nil in health
	wait      time.Duration   // before the next try at the disk
	back      time.Time       // when it was opened in place of RAM last
	counts    counts
	telling   bool                    // there is a goroutine for rows of status
	before    map[*Store]func() int64 // metrics lost before they came here, of each holder
	gone      int64                   // those of holders that are gone
	// mountPoint is where sf_dir was mounted when it was last opened; "" on the root
	// filesystem.
	mountPoint string
}

func newShared(k key, s Settings) *shared {
	sh := &shared{
		key: k, set: s, opening: make(chan struct{}, 1), stop: make(chan struct{}),
		users: map[*sfpool.Pool]int{}, changed: make(chan struct{}), wait: s.Retry,
		before: map[*Store]func() int64{},
	}
	sh.set.Pool.OnServer = sh.heard
	return sh
}

// forget takes a holder off that may have lost metrics.
func (s *shared) forget(st *Store) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if dropped := s.before[st]; dropped != nil {
		s.gone += dropped()
	}
	delete(s.before, st)
}

// openWithin opens a pool, and waits for a lock: a process that is ending drops
// it soon.
func (s *shared) openWithin(ctx context.Context) error {
	deadline := time.Now().Add(s.set.Pool.LockTimeout)
	for {
		err := s.open(ctx, 0)
		if !errors.As(err, new(*sfpool.LockedError)) || !time.Now().Add(lockPoll).Before(deadline) {
			s.sayFailure(err)
			return err
		}
		if !pause(ctx, lockPoll) {
			return err
		}
	}
}

// pool is Store.Pool.
func (s *shared) pool() (*sfpool.Pool, func(), error) {
	for {
		if p, release := s.use(); p != nil {
			return p, release, nil
		}
		if err := s.open(context.Background(), openPause); err != nil {
			s.sayFailure(err)
			return nil, nil, err
		}
	}
}

// use returns the pool that takes rows now; nil when there is none.
func (s *shared) use() (*sfpool.Pool, func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.current()
	if p == nil {
		return nil, nil
	}
	s.users[p]++
	return p, sync.OnceFunc(func() { s.release(p) })
}

// current returns the pool that takes rows. WARNING: the caller must hold mu.
func (s *shared) current() *sfpool.Pool {
	if s.disk != nil {
		return s.disk
	}
	return s.ram
}

func (s *shared) release(p *sfpool.Pool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.users[p]--
	if s.users[p] == 0 {
		delete(s.users, p)
	}
	close(s.changed)
	s.changed = make(chan struct{})
}

// open opens a pool unless there is one: that on disk or, where the disk cannot
// be used and the settings allow it, one in RAM. A try that failed within pause
// is not repeated.
func (s *shared) open(ctx context.Context, pause time.Duration) error {
	done, err := s.hold(ctx)
	if err != nil {
		return err
	}
	defer done()
	if done, err := s.opened(pause); done {
		return err
	}
	err = s.tryDisk(ctx)
	if err == nil {
		s.sayHealth()
		return nil
	}
	if means := openFault(err); means != "" && s.set.RAM {
		return s.toRAM(means, err)
	}
	return err
}

// hold takes opening; done gives it back.
func (s *shared) hold(ctx context.Context) (done func(), err error) {
	select {
	case s.opening <- struct{}{}:
		return func() { <-s.opening }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// opened says whether there is nothing to open now, and why.
func (s *shared) opened(pause time.Duration) (done bool, _ error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return true, sfpool.ErrClosed
	case s.current() != nil:
		return true, nil
	case s.counts.failing != nil:
		return true, errLeaving
	}
	return s.failure != nil && time.Since(s.tried) < pause, s.failure
}

// tryDisk opens the pool on disk and lets it take rows. WARNING: the caller must
// hold opening.
func (s *shared) tryDisk(ctx context.Context) error {
	p, err := sfpool.Open(ctx, s.diskConfig())
	if err == nil {
		err = s.install(&s.disk, p)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tried, s.failure = time.Now(), err
	return err
}

// diskConfig is what the pool on disk is opened with: where it was mounted once it
// has to be mounted again, or what comes next would fill the filesystem below.
func (s *shared) diskConfig() sfpool.Config {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.set.Pool
	c.MountPoint = cmp.Or(s.mountPoint, c.MountPoint)
	return c
}

// install puts a pool that was opened in its place, unless the store was closed
// meanwhile.
func (s *shared) install(place **sfpool.Pool, p *sfpool.Pool) error {
	s.mu.Lock()
	if !s.closed {
		*place = p
		s.mountPoint = cmp.Or(p.MountPoint(), s.mountPoint)
		s.mu.Unlock()
		s.startStatus()
		return nil
	}
	s.mu.Unlock()
	return errors.Join(sfpool.ErrClosed, p.Close(context.Background()))
}

// idle waits until nobody uses a pool any more; false when ctx ends before.
func (s *shared) idle(ctx context.Context, p *sfpool.Pool) bool {
	for {
		s.mu.Lock()
		n, changed := s.users[p], s.changed
		s.mu.Unlock()
		if n == 0 {
			return true
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}

// sayFailure tells why no rows can be stored, once for each reason.
func (s *shared) sayFailure(err error) {
	if err == nil || errors.Is(err, sfpool.ErrClosed) || errors.Is(err, context.Canceled) {
		return
	}
	s.trouble(fleet.Store, err.Error())
	if !s.isNews(err.Error()) {
		return
	}
	s.set.Log.Error("the store cannot be opened yet; it is tried again, and rows stay with the writer",
		"sf_dir", s.set.Pool.Dir, "error", err)
}

// isNews says whether the present trouble has to be logged: each reason once, and
// not too many where each time it is another.
func (s *shared) isNews(text string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.said[text] || len(s.said) == maxSaid {
		return false
	}
	if s.said == nil {
		s.said = map[string]bool{}
	}
	s.said[text] = true
	return true
}

// maxSaid bounds what one trouble adds to the log.
const maxSaid = 8

// sayHealth ends a trouble that was logged.
func (s *shared) sayHealth() {
	s.mu.Lock()
	said := len(s.said) > 0
	s.said = nil
	s.mu.Unlock()
	s.over(fleet.Store)
	if said {
		s.set.Log.Info("the store is open now", "sf_dir", s.set.Pool.Dir)
	}
}
