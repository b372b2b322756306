// SPDX-License-Identifier: MIT

package e2e

import (
	"syscall"
	"testing"

	"github.com/questdb-sf/questdb_sf/testutil/execd"
	"github.com/questdb-sf/questdb_sf/testutil/gen"
	"github.com/questdb-sf/questdb_sf/testutil/qwpserver"
)

func TestASignalEndsTheBinaryThoughStdinStaysOpen(t *testing.T) {
	ctx := realParts(t)
	srv := startQWP(t, qwpserver.Options{})
	set := gen.Set{Seed: 12}
	p := must(execd.Start(config(srv.URL(), t.TempDir(), stayUntilSent)))(t)
	defer p.Close()
	send(ctx, t, p, set, 0, 1000)
	check(t, p.Signal(syscall.SIGTERM))
	check(t, p.WaitLog(ctx, "stopping"))
	send(ctx, t, p, set, 1000, 2000) // what comes within the grace is still taken
	check(t, p.Wait(ctx))
	none(t, set.Check(readBackQWP(srv), 0, 2000), 0)
}

func TestASecondSignalEndsTheBinaryUnderAStreamThatNeverPauses(t *testing.T) {
	ctx := realParts(t)
	srv := startQWP(t, qwpserver.Options{})
	set := gen.Set{Seed: 13}
	p := must(execd.Start(config(srv.URL(), t.TempDir(), stayUntilSent)))(t)
	defer p.Close()
	const endless = 1 << 40
	go feed(p, set, 0, endless)
	check(t, p.WaitDurable(ctx, 1000))
	check(t, p.Signal(syscall.SIGTERM))
	check(t, p.WaitLog(ctx, "stopping"))
	check(t, p.Signal(syscall.SIGTERM))
	check(t, p.Wait(ctx))
	p.Close()
	none(t, set.Check(readBackQWP(srv), 0, p.Durable()), 0)
}
