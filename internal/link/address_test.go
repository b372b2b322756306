// SPDX-License-Identifier: MIT

package link_test

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/link"
	"github.com/questdb-sf/questdb_sf/testutil/netem"
)

// names is a DNS server for one name.
type names struct {
	net.PacketConn
	addrs []netip.Addr
	// lost are addresses whose packets get lost: a connect to them hangs.
	lost []string

	mu    sync.Mutex
	tried []string
}

func startNames(t testing.TB, addrs ...string) *names {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := &names{PacketConn: conn}
	for _, a := range addrs {
		n.addrs = append(n.addrs, netip.MustParseAddr(a))
	}
	var running sync.WaitGroup
	running.Go(n.run)
	t.Cleanup(func() {
		_ = conn.Close()
		running.Wait()
	})
	return n
}

func (n *names) run() {
	query := make([]byte, 512)
	for {
		size, from, err := n.ReadFrom(query)
		if err != nil {
			return
		}
		_, _ = n.WriteTo(n.answer(query[:size]), from)
	}
}

// answer gives the addresses of the kind that is asked for, in their order.
func (n *names) answer(query []byte) []byte {
	end := 12 + slices.Index(query[12:], 0) + 5 // name, type, class
	kind := binary.BigEndian.Uint16(query[end-4:])
	var records []byte
	count := uint16(0)
	for _, a := range n.addrs {
		if a.Is4() != (kind == 1) || a.Is6() != (kind == 28) {
			continue
		}
		records = append(records, 0xc0, 12) // the name of the question
		records = binary.BigEndian.AppendUint16(records, kind)
		records = append(records, 0, 1, 0, 0, 0, 0) // IN, not to be kept
		records = binary.BigEndian.AppendUint16(records, uint16(len(a.AsSlice())))
		records = append(records, a.AsSlice()...)
		count++
	}
	head := append([]byte(nil), query[:2]...)
	head = append(head, 0x81, 0x80, 0, 1) // a response, without error, to one question
	head = binary.BigEndian.AppendUint16(head, count)
	head = append(head, 0, 0, 0, 0)
	return append(append(head, query[12:end]...), records...)
}

// dialer is Go's own, with these names.
func (n *names) dialer() *net.Dialer {
	return &net.Dialer{
		Resolver: &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "udp", n.LocalAddr().String())
		}},
		ControlContext: func(ctx context.Context, _, addr string, _ syscall.RawConn) error {
			host, _, _ := net.SplitHostPort(addr)
			n.mu.Lock()
			n.tried = append(n.tried, host)
			n.mu.Unlock()
			if !slices.Contains(n.lost, host) {
				return nil
			}
			<-ctx.Done()
			return ctx.Err()
		},
	}
}

// config is one for the name of s.
func (n *names) config(s *server, how link.Transport) link.Config {
	_, port, _ := net.SplitHostPort(s.host())
	cfg := config("http://db.test:" + port)
	d := n.dialer()
	cfg.Transport, cfg.Dial, cfg.Lookup, cfg.ConnectTimeout = how, d.DialContext, d.Resolver.LookupNetIP, 5*time.Second
	return cfg
}

func TestTheAddressesOfANameAreWalked(t *testing.T) {
	for _, tc := range []struct {
		name  string
		addrs []string
		lost  []string
		tried string // over one transport
		most  time.Duration
	}{
		{"the first refuse", []string{"127.0.0.2", "127.0.0.3", "127.0.0.1"}, nil, "127.0.0.2 127.0.0.3 127.0.0.1", 2 * time.Second},
		{"the first loses packets", []string{"127.0.0.2", "127.0.0.1"}, []string{"127.0.0.2"}, "127.0.0.2 127.0.0.1", 4 * time.Second},
		{"IPv6 refuses", []string{"::1", "127.0.0.1"}, nil, "::1 127.0.0.1", 2 * time.Second},
		{"IPv6 loses packets", []string{"::1", "127.0.0.1"}, []string{"::1"}, "::1 127.0.0.1", 2 * time.Second},
	} {
		for _, how := range []link.Transport{link.ILP, link.QWP} {
			t.Run(tc.name+"/"+how.String(), func(t *testing.T) {
				t.Parallel()
				if strings.HasPrefix(tc.name, "IPv6") {
					needIPv6(t)
				}
				s := newServer(t)
				s.upgrade = speakQWP(hear, nil)
				n := startNames(t, tc.addrs...)
				n.lost = tc.lost
				began := time.Now()
				connect(t, newLink(t, n.config(s, how)))
				if took := time.Since(began); took > tc.most {
					t.Errorf("it took %v", took)
				}
				n.mu.Lock()
				defer n.mu.Unlock()
				if got := strings.Join(n.tried, " "); got != tc.tried {
					t.Errorf("tried %s", got)
				}
			})
		}
	}
}

func needIPv6(t testing.TB) {
	t.Helper()
	l, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Skip("no IPv6 here: ", err)
	}
	_ = l.Close()
}

// mute takes connections at another address, at the port of s, and never answers.
func mute(t testing.TB, s *server, ip string) *netem.Proxy {
	t.Helper()
	_, port, _ := net.SplitHostPort(s.host())
	p, err := netem.StartAt(net.JoinHostPort(ip, port), s.host(), netem.Settings{Swallow: true})
	if err != nil {
		t.Skip("no such address here: ", err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

func TestAddressesThatTakeAConnectionAndNeverAnswerComeLast(t *testing.T) {
	for _, how := range []link.Transport{link.ILP, link.QWP} {
		t.Run(how.String(), func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			s.upgrade = speakQWP(hear, nil)
			mute(t, s, "127.0.0.2")
			mute(t, s, "127.0.0.3")
			cfg := startNames(t, "127.0.0.2", "127.0.0.3", "127.0.0.1").config(s, how)
			cfg.ConnectTimeout = 100 * time.Millisecond
			l := newLink(t, cfg)
			for i := range 2 {
				if _, err := l.Connect(t.Context()); !errors.As(err, new(*link.TimeoutError)) {
					t.Fatalf("connect %d: %v", i+1, err)
				}
			}
			for range 2 {
				_ = connect(t, l).Close()
			}
		})
	}
}

// A path that loses large packets only lets the first question through, and no write.
func TestAnAddressWhereWritesGetNoAnswerComesLast(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	net := mute(t, s, "127.0.0.2")
	net.Set(func(n *netem.Settings) { n.Swallow = false })
	cfg := startNames(t, "127.0.0.2", "127.0.0.1").config(s, link.ILP)
	cfg.RequestTimeout = 100 * time.Millisecond
	l := newLink(t, cfg)
	c := connect(t, l)
	net.Set(func(n *netem.Settings) { n.Swallow = true })
	add(t, c, frame(t, simpleRow("a", 1)))
	if _, err := c.Send(t.Context()); !errors.As(err, new(*link.TimeoutError)) {
		t.Fatal(err)
	}
	if o := exchange(t, connect(t, l), frame(t, simpleRow("a", 1))); o.Refusal != nil {
		t.Error(o.Refusal)
	}
}
