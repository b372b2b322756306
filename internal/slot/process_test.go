// SPDX-License-Identifier: MIT

package slot_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/questdb-sf/questdb_sf/internal/slot"
)

// holdEnv makes the test binary a process that holds the slot it names, writeEnv
// one that stores frames in it until it is killed.
const (
	holdEnv  = "SLOT_TEST_HOLD"
	writeEnv = "SLOT_TEST_WRITE"
)

func holdSlot(dir string) {
	s, err := slot.Open(slot.Options{Dir: dir, Durability: slot.Flush})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("held")
	_, _ = io.Copy(io.Discard, os.Stdin)
	_ = s.Close()
}

func TestSlotOfAnotherProcessIsRefusedWithItsNumber(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "base-0")
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), holdEnv+"="+dir)
	stdin, err := cmd.StdinPipe()
	do(t, err)
	stdout, err := cmd.StdoutPipe()
	do(t, err)
	do(t, cmd.Start())
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil || line != "held\n" {
		t.Fatalf("%q, %v", line, err)
	}
	_, err = slot.Open(slot.Options{Dir: dir, Durability: slot.Flush})
	var locked *slot.LockedError
	if !errors.As(err, &locked) || locked.PID != cmd.Process.Pid || locked.Dir != dir {
		t.Errorf("open: %v", err)
	}
	want := fmt.Sprintf("slot already in use by another process [slot=%s, holder=pid=%d]", dir, cmd.Process.Pid)
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("text %q, want %q", err, want)
	}
	do(t, stdin.Close())
	do(t, cmd.Wait())
	s, err := slot.Open(slot.Options{Dir: dir, Durability: slot.Flush})
	do(t, err)
	do(t, s.Close())
}

// writeSlot prints the number of each frame once it is published.
func writeSlot(dir string) {
	o := options(nil)
	o.Dir, o.MaxBytes, o.Durability = dir, 1<<30, slot.Memory
	s, err := slot.Open(o)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	for id := uint64(s.Stats().Published + 1); ; id++ {
		if err := store(s, frame(id, 1, 24+int(id*37%2000))); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println(id)
	}
}

func TestKilledProcessLosesNothing(t *testing.T) {
	o := options(nil)
	o.Dir = filepath.Join(t.TempDir(), "base-0")
	for round := range 10 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), writeEnv+"="+o.Dir)
		stdout, err := cmd.StdoutPipe()
		do(t, err)
		do(t, cmd.Start())
		in, said := bufio.NewScanner(stdout), ""
		for n := 0; in.Scan(); n++ {
			said = in.Text()
			if n == 40+7*round {
				do(t, cmd.Process.Kill())
			}
		}
		_ = cmd.Wait()
		s, err := slot.Open(o)
		do(t, err)
		got := pending(t, s)
		for i, e := range got {
			if e.id != uint64(i) || e.fsn != slot.FSN(i) {
				t.Fatalf("round %d: frame %d is %v", round, i, e)
			}
		}
		if last := fmt.Sprint(len(got) - 1); said != last && said != fmt.Sprint(len(got)-2) {
			t.Fatalf("round %d: published up to %s, found up to %s", round, said, last)
		}
		do(t, s.Close())
	}
}

func TestSecondOpenInThisProcessIsRefused(t *testing.T) {
	o := options(newMem())
	open(t, o)
	var locked *slot.LockedError
	if _, err := slot.Open(o); !errors.As(err, &locked) || locked.PID != os.Getpid() {
		t.Errorf("second open: %v", err)
	}
}

func TestRealDirectoryKeepsFramesAndLeaksNoDescriptor(t *testing.T) {
	before := openFiles(t)
	path := filepath.Join(t.TempDir(), "a", "base-0")
	o := options(nil)
	o.Dir, o.Target = path, "here"
	for round := range uint64(3) {
		s, err := slot.Open(o)
		do(t, err)
		fill(t, s, 10*round, 10*round+10, 1000)
		settle(t, s, slot.FSN(10*round), slot.FSN(10*round+8))
		c := s.NewCursor()
		if got, err := readAll(c); err != nil || len(got) != 1 || got[0].id != 10*round+9 {
			t.Fatalf("round %d: %v, %v", round, got, err)
		}
		settle(t, s, slot.FSN(10*round+9), slot.FSN(10*round+9))
		do(t, s.Close())
	}
	if after := openFiles(t); before != after {
		t.Errorf("%d files open before, %d after", before, after)
	}
	info, err := os.Stat(path)
	do(t, err)
	if info.Mode().Perm() != 0o700 {
		t.Errorf("directory mode %o", info.Mode().Perm())
	}
	info, err = os.Stat(filepath.Join(path, ".qsf-state"))
	do(t, err)
	if info.Mode().Perm() != 0o600 {
		t.Errorf("file mode %o", info.Mode().Perm())
	}
}

// openFiles counts the descriptors of this process; 0 where that is not told.
func openFiles(t testing.TB) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Log("no /proc/self/fd here: descriptors are not counted")
		return 0
	}
	return len(list)
}
