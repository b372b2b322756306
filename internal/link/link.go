// SPDX-License-Identifier: MIT

package link

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"sync"
	"time"
)

const (
	// askAgain is how long a host is taken to offer no QWP (DESIGN.md 3).
	askAgain = 10 * time.Minute
	// settingsTimeout bounds the question that follows a refused upgrade: the
	// host has just answered, so that it can answer this quickly or not at all.
	settingsTimeout = 5 * time.Second
)

// Link makes connections to one of several endpoints. It may be shared by
// several senders; all methods may be called concurrently.
type Link struct {
	cfg       Config
	gets      gets
	wire      wire
	peer      peer
	addresses addresses

	// mu guards the state of the hosts. Nothing blocks while it is held.
	mu    sync.Mutex
	hosts []*host
}

// New returns a Link. It does no I/O.
func New(c Config) (*Link, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	list, err := c.endpoints()
	if err != nil {
		return nil, err
	}
	c.setDefaults()
	l := &Link{cfg: c}
	l.cfg.Dial = l.wire.count(c.Dial)
	for _, e := range list {
		l.hosts = append(l.hosts, &host{
			endpoint: e, state: hostUnknown, pace: newPace(c.MaxRequestBytes), stream: newPace(qwpWindow * defaultMaxBatch),
		})
	}
	return l, nil
}

// secrets are what is read anew at every connect.
type secrets struct {
	authorization string
	tls           *tls.Config
}

// Connect tries every endpoint once, the one that was last found well first.
// *AuthError ends the round at once. When all fail, a single endpoint's error is
// returned as it is (*ConnectError or *RoleError), several in a *RoundError. A
// context that ends is returned as its cause inside a *ConnectError.
func (l *Link) Connect(ctx context.Context) (Conn, error) {
	s, err := l.secrets()
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, h := range l.round() {
		c, err := l.connectHost(ctx, h, s)
		if err == nil {
			l.bound(h, c.Transport())
			return c, nil
		}
		if ctx.Err() != nil {
			return nil, &ConnectError{Host: h.host, Err: context.Cause(ctx)}
		}
		var auth *AuthError
		if errors.As(err, &auth) {
			return nil, err
		}
		l.failed(h, err)
		l.addresses.silent(h.host, err)
		errs = append(errs, explainHandshake(h, err, time.Now()))
	}
	l.forgetStates()
	if len(errs) == 1 {
		return nil, errs[0]
	}
	return nil, &RoundError{Errs: errs}
}

func (l *Link) secrets() (s secrets, err error) {
	if s.authorization, err = l.authorization(); err != nil {
		return s, err
	}
	s.tls, err = l.tls()
	return s, err
}

// authorization asks for the credentials; empty without any.
func (l *Link) authorization() (string, error) {
	if l.cfg.Auth == nil {
		return "", nil
	}
	a, err := l.cfg.Auth()
	if err == nil {
		err = a.Validate()
	}
	if err != nil {
		return "", fmt.Errorf("credentials: %w", err)
	}
	return a.header(), nil
}

// tls asks for the settings, if an endpoint needs them.
func (l *Link) tls() (*tls.Config, error) {
	if l.cfg.TLS == nil || !l.anySecure() {
		return nil, nil
	}
	c, err := l.cfg.TLS()
	if err != nil {
		return nil, fmt.Errorf("TLS settings: %w", err)
	}
	return c, nil
}

func (l *Link) anySecure() bool {
	for _, h := range l.hosts {
		if h.secure {
			return true
		}
	}
	return false
}

func (l *Link) connectHost(ctx context.Context, h *host, s secrets) (Conn, error) {
	if l.cfg.Transport == ILP {
		return l.connectILP(ctx, h, s)
	}
	if l.cfg.RequestDurableAck {
		c, err := l.connectQWP(ctx, h, s)
		return c, needsQWP(err)
	}
	auto := l.cfg.Transport == Auto && !h.ws
	if auto && l.knownILP(h) {
		return l.connectILP(ctx, h, s)
	}
	c, err := l.connectQWP(ctx, h, s)
	var refused *ConnectError
	if auto && errors.As(err, &refused) && refused.answered && ctx.Err() == nil {
		return l.settleForILP(ctx, h, s, refused)
	}
	return c, err
}
