// SPDX-License-Identifier: MIT

package holder

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/questdb-sf/questdb_sf/internal/vfs"
)

func TestTheListOfLocksIsRead(t *testing.T) {
	got := parseLocks([]byte("1: FLOCK  ADVISORY  WRITE 4711 08:01:131090 0 EOF\n" +
		"1: -> FLOCK  ADVISORY  WRITE 4712 08:01:131090 0 EOF\n2: POSIX  ADVISORY  READ 1 08:01:7 0 EOF\n\n3: FLOCK x\n" +
		"4: FLOCK  ADVISORY  WRITE -1 00:2f:99 0 EOF\n"))
	if want := "[{4711 08:01 131090} {-1 00:2f 99}]"; fmt.Sprint(got) != want {
		t.Errorf("%v, want %s", got, want)
	}
}

func TestAHeldLockIsSeenWithoutTakingIt(t *testing.T) {
	lock := filepath.Join(t.TempDir(), ".lock")
	if h := Read().Of(lock); h.Held {
		t.Errorf("one that is not there is held by %s", h)
	}
	f, err := vfs.OS.OpenFile(lock, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := os.WriteFile(lock+".pid", []byte(fmt.Sprintln(os.Getpid())), 0o600); err != nil {
		t.Fatal(err)
	}
	if h := Read().Of(lock); runtime.GOOS == "linux" && h.Held {
		t.Errorf("one that nobody took is held by %s", h)
	}
	if err := f.Lock(); err != nil {
		t.Fatal(err)
	}
	if h := Read().Of(lock); !h.Held || h.PID != os.Getpid() || h.Sure != (runtime.GOOS == "linux") {
		t.Errorf("%+v", h)
	}
}

func TestWithoutAListOfLocksALivingProcessIsProbablyTheHolder(t *testing.T) {
	lock := filepath.Join(t.TempDir(), ".lock")
	for pid, says := range map[string]string{
		fmt.Sprint(os.Getpid()): fmt.Sprintf("true probably pid %d", os.Getpid()), "2147483646": "false", "x": "false", "-3": "false", "0": "false",
	} {
		if err := os.WriteFile(lock+".pid", []byte(pid+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		h := (&Locks{}).Of(lock)
		if got := fmt.Sprint(h.Held, " ", h); h.Held != (says != "false") || h.Held && got != says {
			t.Errorf("%s: %s", pid, got)
		}
	}
}
