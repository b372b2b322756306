// SPDX-License-Identifier: MIT

package link

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

const (
	// shunned is how long an address that took a connection and gave no answer comes
	// behind the others of its name.
	shunned = 10 * time.Minute
	// leastDial is the least time for one of several addresses, as in net.Dialer.
	leastDial = 2 * time.Second
)

// addresses remembers which addresses of a name answer. Go's dialer walks those that
// refuse or lose packets, but ends at the first that takes a connection: behind one
// that does so and never answers (a path that loses large packets only, a dead server
// behind a balancer) the others would never be reached.
type addresses struct {
	// mu guards what follows; nothing blocks while it is held.
	mu   sync.Mutex
	used map[string]netip.Addr               // by host:port: where the last dial got
	mute map[string]map[netip.Addr]time.Time // since when it gives no answer
}

// silent is told why a connection to a host ended, or did not come about. A timeout
// counts against the address it had; one of the dial itself had none.
func (a *addresses) silent(host string, err error) {
	var timeout *TimeoutError
	if !errors.As(err, &timeout) {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	ip, ok := a.used[host]
	if !ok {
		return
	}
	if a.mute == nil {
		a.mute = map[string]map[netip.Addr]time.Time{}
	}
	if a.mute[host] == nil {
		a.mute[host] = map[netip.Addr]time.Time{}
	}
	a.mute[host][ip] = time.Now()
}

// known returns the addresses of a host that gave no answer lately, nil for none, and
// forgets where the last dial got.
func (a *addresses) known(host string) map[netip.Addr]time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.used, host)
	known := map[netip.Addr]time.Time{}
	for ip, at := range a.mute[host] {
		if time.Since(at) < shunned {
			known[ip] = at
		} else {
			delete(a.mute[host], ip)
		}
	}
	return known
}

func (a *addresses) reached(host string, conn net.Conn) {
	at, err := netip.ParseAddrPort(conn.RemoteAddr().String())
	if err != nil {
		return // no address of the network: a pipe, a double
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.used == nil {
		a.used = map[string]netip.Addr{}
	}
	a.used[host] = at.Addr().Unmap()
}

// dialName is Config.Dial, with addresses that give no answer behind the others.
func (l *Link) dialName(ctx context.Context, network, hostport string) (net.Conn, error) {
	mute := l.addresses.known(hostport)
	conn, err := l.dialAround(ctx, network, hostport, mute)
	if err == nil {
		l.addresses.reached(hostport, conn)
	}
	return conn, err
}

func (l *Link) dialAround(ctx context.Context, network, hostport string, mute map[netip.Addr]time.Time) (net.Conn, error) {
	name, port, err := net.SplitHostPort(hostport)
	if err != nil || len(mute) == 0 {
		return l.cfg.Dial(ctx, network, hostport)
	}
	list, err := l.cfg.Lookup(ctx, "ip", name)
	if err != nil || len(list) < 2 {
		return l.cfg.Dial(ctx, network, hostport)
	}
	// Those that were never mute have the zero time, and come first.
	slices.SortStableFunc(list, func(a, b netip.Addr) int { return mute[a.Unmap()].Compare(mute[b.Unmap()]) })
	var first error
	for i, ip := range list {
		conn, err := l.dialOne(ctx, network, net.JoinHostPort(ip.Unmap().String(), port), len(list)-i)
		if err == nil {
			return conn, nil
		}
		if first == nil {
			first = err
		}
	}
	return nil, first
}

// dialOne gives the first of so many addresses its share of the time.
func (l *Link) dialOne(ctx context.Context, network, addr string, left int) (net.Conn, error) {
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, max(time.Until(deadline)/time.Duration(left), leastDial))
		defer cancel()
	}
	return l.cfg.Dial(ctx, network, addr)
}
