// SPDX-License-Identifier: MIT

package status

import (
	"bufio"
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestConnectionsThatNobodyUsesGiveWay(t *testing.T) {
	url := shown(t, "127.0.0.1:0", new(heard), source(newFake("/sf"), Block{}))
	at := strings.Trim(strings.TrimPrefix(url, "http:"), "/")
	for range maxConns + 8 {
		c, err := net.Dial("tcp", at)
		require.NoError(t, err)
		defer c.Close()
		require.NoError(t, c.SetDeadline(time.Now().Add(10*time.Second)))
		_, err = c.Write([]byte("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"))
		require.NoError(t, err)
		a, err := http.ReadResponse(bufio.NewReader(c), nil)
		require.NoError(t, err, "behind others that are open and ask nothing")
		require.NoError(t, a.Body.Close())
		require.Equal(t, 200, a.StatusCode)
	}
}

// fill has all places taken.
func fill(l *limited, outside *gate, state http.ConnState) (accepted chan net.Conn, all []net.Conn) {
	accepted = make(chan net.Conn)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				close(accepted)
				return
			}
			accepted <- c
		}
	}()
	for range maxConns {
		outside.come()
		all = append(all, <-accepted)
		l.note(all[len(all)-1], state)
	}
	return accepted, all
}

// open says whether a connection is.
func open(c net.Conn) bool { return c.SetDeadline(time.Time{}) == nil }

func TestAConnectionInUseDoesNotGiveWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		outside := newGate()
		l := limit(outside)
		accepted, all := fill(l, outside, http.StateActive)
		outside.come()
		synctest.Wait()
		for _, c := range all {
			require.True(t, open(c))
		}
		l.note(all[7], http.StateIdle) // and closed, because somebody waits
		all = append(all, <-accepted)
		require.False(t, open(all[7]))
		l.note(all[5], http.StateNew)
		l.note(all[3], http.StateIdle)
		l.note(all[2], http.StateIdle)
		require.True(t, open(all[3]), "nobody waits now")
		outside.come()
		all = append(all, <-accepted)
		require.False(t, open(all[3]), "it was idle for the longest time")
		require.True(t, open(all[2]) && open(all[5]))
		for _, c := range all {
			_ = c.Close()
			l.note(c, http.StateClosed)
		}
		require.Empty(t, l.idle)
		require.Empty(t, l.silent)
		require.Empty(t, l.places)
		require.NoError(t, l.Close())
		<-accepted
	})
}

func TestAConnectionThatNeverSaidAnythingGivesWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		outside := newGate()
		l := limit(outside)
		accepted, all := fill(l, outside, http.StateNew)
		outside.come()
		all = append(all, <-accepted)
		require.False(t, open(all[0]))
		require.True(t, open(all[1]))
		for _, c := range all {
			_ = c.Close()
		}
		require.NoError(t, l.Close())
		<-accepted
	})
}

// gate is a listener in memory.
type gate struct {
	conns  chan net.Conn
	failed chan error
	closed chan struct{}
	once   sync.Once
	linger chan struct{} // Close waits for it; nil for not at all
}

func newGate() *gate {
	return &gate{conns: make(chan net.Conn, 1), failed: make(chan error, 1), closed: make(chan struct{})}
}

// come connects.
func (g *gate) come() {
	here, _ := net.Pipe()
	g.conns <- here
}

func (g *gate) Accept() (net.Conn, error) {
	select {
	case c := <-g.conns:
		return c, nil
	case err := <-g.failed:
		return nil, err
	case <-g.closed:
		return nil, net.ErrClosed
	}
}

func (g *gate) Close() error {
	if g.linger != nil {
		<-g.linger
	}
	g.once.Do(func() { close(g.closed) })
	return nil
}

func (g *gate) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8090} }

// listening is a registry whose listeners are made by a test.
func listening(f listener) *registry {
	return &registry{at: map[string]*server{}, ended: map[string]chan struct{}{}, listen: f}
}

func TestAnAddressIsTakenOverOnceItIsFree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, log, tries := newGate(), new(heard), 0
		first.linger = make(chan struct{})
		r := listening(func(context.Context, string) (net.Listener, error) {
			tries++
			if tries == 1 {
				return first, nil
			}
			select {
			case <-first.closed:
				return newGate(), nil
			default:
				return nil, errors.New("already in use")
			}
		})
		a, b := source(newFake("/a"), Block{}), source(newFake("/b"), Block{})
		one := r.enter("box:8090", a, log.logger())
		synctest.Wait()
		go r.leave(one, a)
		synctest.Wait()
		other := r.enter("box:8090", b, log.logger())
		synctest.Wait()
		close(first.linger)
		synctest.Wait()
		require.Equal(t, 2, tries, log.String())
		require.NotContains(t, log.String(), "already in use")
		require.Equal(t, 2, strings.Count(log.String(), "url=http"))
		r.leave(other, b)
		require.Empty(t, r.at)
		require.Empty(t, r.ended)
	})
}

func TestAListenerThatFailsIsReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, gates := new(heard), []*gate{}
		r := listening(func(context.Context, string) (net.Listener, error) {
			gates = append(gates, newGate())
			return gates[len(gates)-1], nil
		})
		src := source(newFake("/sf"), Block{})
		srv := r.enter("box:8090", src, log.logger())
		synctest.Wait()
		gates[0].failed <- errors.New("the network went")
		time.Sleep(listenEvery)
		synctest.Wait()
		require.Len(t, gates, 2)
		require.Contains(t, log.String(), `error="the network went"`)
		require.Contains(t, log.String(), "begun again")
		r.leave(srv, src)
	})
}

func TestTheHistoryBeginsBeforeTheAddressCanBeHad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := listening(func(context.Context, string) (net.Listener, error) { return nil, errors.New("taken") })
		f := newFake("/sf")
		f.is(func(f *fake) { f.pends(50) })
		src := source(f, Block{})
		srv := r.enter("box:8090", src, new(heard).logger())
		time.Sleep(2 * stillFor)
		synctest.Wait()
		for _, report := range srv.reports((*watch).look) {
			require.Len(t, report.history, int(2*stillFor/sampleEvery)+2)
			require.NotEmpty(t, report.why, "nothing has moved since the start")
		}
		r.leave(srv, src)
	})
}
