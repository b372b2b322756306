// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// stopGrace is how long stdin is still read after the first signal. Telegraf
// closes it before it signals; an operator's kill does not.
const stopGrace = 3 * time.Second

// stopper turns signals into the end of the reading.
type stopper struct {
	ctx     context.Context // ends stopGrace after the first signal, or at the second
	cancel  context.CancelFunc
	signals chan os.Signal // after read: the next one
	watched chan struct{}  // closed when nobody else reads signals any more
}

// listen begins to listen for SIGTERM and SIGINT.
func listen(log *slog.Logger) *stopper {
	s := &stopper{signals: make(chan os.Signal, 2), watched: make(chan struct{})}
	signal.Notify(s.signals, syscall.SIGTERM, syscall.SIGINT)
	s.ctx, s.cancel = context.WithCancel(context.Background())
	go func() {
		defer close(s.watched)
		s.watch(log)
	}()
	return s
}

func (s *stopper) watch(log *slog.Logger) {
	defer s.cancel()
	select {
	case sig := <-s.signals:
		log.Info("stopping: reading what is left on stdin", "signal", sig.String(), "grace", stopGrace.String())
	case <-s.ctx.Done():
		return
	}
	select {
	case <-s.signals:
	case <-time.After(stopGrace):
	case <-s.ctx.Done():
	}
}

// read says that the reading is over. Signals are the caller's from then on.
func (s *stopper) read() {
	s.cancel()
	<-s.watched
}

// end gives the signals back to the system.
func (s *stopper) end() {
	signal.Stop(s.signals)
	s.read()
}
