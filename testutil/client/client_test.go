// SPDX-License-Identifier: MIT

package client_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/questdb-sf/questdb_sf/internal/qwp"
	"github.com/questdb-sf/questdb_sf/testutil/client"
	"github.com/questdb-sf/questdb_sf/testutil/pyclient"
	"github.com/questdb-sf/questdb_sf/testutil/qwpserver"
	"github.com/questdb-sf/questdb_sf/testutil/rustclient"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	rows  = 410 // 20 full frames and one of 10 rows
	total = 21  // frames
	acked = 14  // frames that a partly acked slot is rid of
)

// each runs a test with each official client.
func each(t *testing.T, test func(*testing.T, context.Context, client.Program)) {
	if testing.Short() {
		t.Skip("runs the Python and Rust clients")
	}
	for _, c := range []struct {
		name string
		make func(context.Context) (client.Program, error)
	}{{"python", pyclient.Program}, {"rust", rustclient.Build}} {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
			defer cancel()
			program, err := c.make(ctx)
			if errors.Is(err, rustclient.ErrNoCargo) {
				t.Skip(err)
			}
			if err != nil {
				t.Fatal(err)
			}
			test(t, ctx, program)
		})
	}
}

func start(t testing.TB) *qwpserver.Server {
	t.Helper()
	srv, err := qwpserver.Start(qwpserver.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(srv.Close)
	return srv
}

// whole lets the program leave a slot of which no server has seen anything.
func whole(t testing.TB, ctx context.Context, p client.Program, kill bool) (client.Slot, []qwpserver.Row) {
	t.Helper()
	s := client.Slot{Dir: t.TempDir(), SenderID: "peer", Addr: client.Unreachable, Rows: rows, Kill: kill}
	return s, write(t, ctx, p, s)
}

// partly lets the program leave a slot of which the server took some frames. The
// server is healthy afterwards.
func partly(t testing.TB, ctx context.Context, p client.Program, srv *qwpserver.Server, kill bool) (client.Slot, []qwpserver.Row) {
	t.Helper()
	srv.Script(client.StopAt(acked))
	defer srv.Script()
	s := client.Slot{Dir: t.TempDir(), SenderID: "peer", Addr: srv.Addr(), Rows: rows, Acked: acked, Trimmed: true, Kill: kill}
	want := write(t, ctx, p, s)
	if got := srv.Total(); got != acked*client.FrameRows {
		t.Fatalf("the server took %d rows, want those of %d frames", got, acked)
	}
	return s, want
}

func write(t testing.TB, ctx context.Context, p client.Program, s client.Slot) []qwpserver.Row {
	t.Helper()
	want, err := p.WriteSlot(ctx, s)
	if err != nil {
		t.Fatal(err)
	}
	return want
}

func TestClientsLeaveAWholeSlotInGenerationG3(t *testing.T) {
	for _, kill := range []bool{false, true} {
		t.Run(fmt.Sprintf("kill=%t", kill), func(t *testing.T) {
			each(t, func(t *testing.T, ctx context.Context, p client.Program) {
				s, _ := whole(t, ctx, p, kill)
				checkSides(t, s.Path())
				used := checkChain(t, s.Path())
				if head := used[0].base; head != 0 {
					t.Errorf("the oldest frame is %d, want 0", head)
				}
				if _, _, ok := newest(t, s.Path(), ".ack-watermark", "AKW1"); ok {
					t.Error(".ack-watermark has a value, and no server was there")
				}
				dict := new(qwp.Dict)
				checkFrames(t, used, dict)
				if got := len(symbols(t, s.Path())); got != dict.Len() {
					t.Errorf(".symbol-dict has %d symbols, the frames %d", got, dict.Len())
				}
			})
		})
	}
}

// What the server took is gone with the first segments, and the strings that
// later frames build on stand in .symbol-dict alone.
func TestClientsLeaveAPartlyAckedSlotWithoutItsFirstSymbols(t *testing.T) {
	each(t, func(t *testing.T, ctx context.Context, p client.Program) {
		s, _ := partly(t, ctx, p, start(t), false)
		checkSides(t, s.Path())
		used := checkChain(t, s.Path())
		if head := used[0].base; head == 0 || head > acked {
			t.Errorf("the oldest frame is %d, want one above 0 and up to %d", head, acked)
		}
		if fsn, _, _ := newest(t, s.Path(), ".ack-watermark", "AKW1"); fsn != acked-1 {
			t.Errorf("watermark %d, want %d", fsn, acked-1)
		}
		if err := new(qwp.View).Parse(used[0].frames[0], new(qwp.Dict)); !errors.Is(err, qwp.ErrDictGap) {
			t.Errorf("the oldest frame, without .symbol-dict: %v, want ErrDictGap", err)
		}
		dict := new(qwp.Dict)
		for _, text := range symbols(t, s.Path()) {
			if err := dict.Append([]byte(text)); err != nil {
				t.Fatal(err)
			}
		}
		checkFrames(t, used, dict)
	})
}

// checkSides asks for exactly the side files of G3.
func checkSides(t *testing.T, dir string) {
	t.Helper()
	sides := slices.DeleteFunc(files(t, dir), func(name string) bool { return strings.HasSuffix(name, ".sfa") })
	want := []string{".ack-watermark", ".lock", ".lock.pid", ".symbol-dict", "sf-manifest.bin"}
	if !slices.Equal(sides, want) {
		t.Errorf("side files %v, want %v", sides, want)
	}
	if n := len(read(t, dir, ".lock")); n != 0 {
		t.Errorf(".lock has %d bytes", n)
	}
	if _, err := os.Stat(filepath.Join(dir, "..", ".slot-locks")); err == nil {
		t.Error("sf_dir has .slot-locks, which only Java made")
	}
}

// checkChain asks for all frames from the oldest to the last without a gap, and
// for a manifest that says so. It allows one spare.
func checkChain(t *testing.T, dir string) []segment {
	t.Helper()
	used, spare := segments(t, dir)
	if len(used) < 2 || len(spare) > 1 {
		t.Fatalf("%d segments with frames, %d without", len(used), len(spare))
	}
	head, active := used[0], used[len(used)-1]
	next := head.base
	for _, s := range used {
		if s.base != next {
			t.Errorf("%s begins at %d, want %d", s.name, s.base, next)
		}
		next = s.end()
	}
	if next != total {
		t.Errorf("%d frames, want %d", next, total)
	}
	if h, a, _ := newest(t, dir, "sf-manifest.bin", "SFM1"); h != head.base || a != active.base {
		t.Errorf("manifest says %d to %d, want %d to %d", h, a, head.base, active.base)
	}
	return used
}

// checkFrames asks that every frame reads with the dictionary, and commits.
func checkFrames(t *testing.T, used []segment, dict *qwp.Dict) {
	t.Helper()
	var v qwp.View
	for _, s := range used {
		for i, frame := range s.frames {
			if err := v.Parse(frame, dict); err != nil {
				t.Fatalf("%s, frame %d: %v", s.name, i, err)
			}
			if v.Flags() != qwp.FlagDeltaDict {
				t.Errorf("%s, frame %d has flags %#02x", s.name, i, v.Flags())
			}
		}
	}
}

// What the client itself makes of its slot is what anyone else has to.
func TestClientsDrainTheirOwnSlotsWithEveryRowEqual(t *testing.T) {
	each(t, func(t *testing.T, ctx context.Context, p client.Program) {
		for _, kill := range []bool{false, true} {
			t.Run(fmt.Sprintf("whole, kill=%t", kill), func(t *testing.T) {
				s, want := whole(t, ctx, p, kill)
				srv := start(t)
				drain(t, ctx, p, s, srv)
				if err := client.Diff(srv, want); err != nil {
					t.Error(err)
				}
			})
		}
		for _, kill := range []bool{false, true} {
			t.Run(fmt.Sprintf("partly acked, kill=%t", kill), func(t *testing.T) {
				srv := start(t)
				s, want := partly(t, ctx, p, srv, kill)
				if kill { // the watermark may lag behind the acks: rows may come twice
					srv.Configure(func(o *qwpserver.Options) { o.DedupKeys = []string{"row_id"} })
				}
				drain(t, ctx, p, s, srv)
				if err := client.Diff(srv, want); err != nil {
					t.Error(err)
				}
			})
		}
	})
}

// drain lets the client empty the slot, of which only its lock stays. A killed
// client may have left half a spare, which the next one sets aside as corrupt.
func drain(t testing.TB, ctx context.Context, p client.Program, s client.Slot, srv *qwpserver.Server) {
	t.Helper()
	s.Addr = srv.Addr()
	if err := p.DrainSlot(ctx, s); err != nil {
		t.Fatal(err)
	}
	got := files(t, s.Path())
	if s.Kill {
		got = slices.DeleteFunc(got, func(name string) bool { return strings.HasSuffix(name, ".sfa.corrupt") })
	}
	if !slices.Equal(got, []string{".lock", ".lock.pid"}) {
		t.Errorf("the drained slot has %v", got)
	}
}

func TestProgramsThatGoWrongSayWhy(t *testing.T) {
	for name, c := range map[string]struct{ script, want string }{
		"fails":        {`echo no disk >&2; exit 3`, "no disk"},
		"stops short":  {`echo '{"table":"t","at":1,"values":{}}'`, "after 1 rows: EOF"},
		"miscounts":    {`echo '{"rows":1}'`, "0 rows printed, want 1"},
		"unknown type": {`echo '{"table":"t","values":{"c":["blob",1]}}'`, `column c: unknown type "blob"`},
		"runs on":      {`yes '{"table":{}}' | head -c 1000000`, "after 0 rows: json"},
	} {
		t.Run(name, func(t *testing.T) {
			p := client.Program{"sh", "-c", c.script}
			if _, err := p.Write(t.Context(), client.Unreachable, 1); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q in it", err, c.want)
			}
		})
	}
}

func TestLockIsWaitedFor(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	unlock, err := client.Lock(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := client.Lock(ended, path); !errors.Is(err, context.Canceled) {
		t.Errorf("second lock: %v, want a wait that ctx ends", err)
	}
	unlock()
	unlock, err = client.Lock(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	unlock()
}
