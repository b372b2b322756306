// SPDX-License-Identifier: MIT

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/questdb-sf/questdb_sf/internal/look"
)

const quick = "close_flush_timeout = \"1ms\"\nsender_pool_max = 1"

// report asks for the slots of a store.
func (s *shop) report() look.Report {
	s.Helper()
	code, text, stderr := s.ask("slots -json")
	var r look.Report
	if err := json.Unmarshal([]byte(text), &r); err != nil || code != exitOK {
		s.Fatalf("exit %d, %v, %q, %q", code, err, text, stderr)
	}
	return r
}

func TestSlotsOfAnEmptyDirectoryAreNone(t *testing.T) {
	s := newShop(t, nowhere, "")
	if code, _, stderr := ask("slots", "-config", s.conf); code != exitFailed || !strings.Contains(stderr, "nothing was stored there yet") {
		t.Errorf("exit %d, %q", code, stderr)
	}
	if err := os.Mkdir(s.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if code, text, _ := s.ask("slots"); code != exitOK || !strings.Contains(text, "there are no slots") {
		t.Errorf("exit %d, %q", code, text)
	}
}

func TestSlotsTellWhatIsPendingAndWhy(t *testing.T) {
	s := newShop(t, nowhere, quick)
	s.take(some(0, 500))
	code, text, stderr := s.ask("slots")
	for _, says := range []string{"default-0  free", "500", "total: 500 rows", "no agent runs in this directory: start it", "the oldest was stored at 20"} {
		if code != exitOK || !strings.Contains(text, says) {
			t.Errorf("exit %d, %q does not say %q, %q", code, text, says, stderr)
		}
	}
	r := s.report()
	one := r.Slots[0]
	if r.Total.Rows != 500 || one.FirstPending != 0 || one.Published < 0 || one.Watermark != -1 || one.Ledger.Accepted != 500 ||
		one.Kind != look.KindOwn || one.Age < 0 || one.Age > 3600 || // though the rows are of 2023
		one.Bytes == 0 || one.Wounds != 0 || !strings.Contains(one.Target, "127.0.0.1:1") {
		t.Errorf("%+v", r)
	}
}

func TestALiveSlotIsInUseByItsProcess(t *testing.T) {
	s := newShop(t, nowhere, quick)
	stdin, letGo := s.living()
	defer letGo()
	for i := range 20 {
		fmt.Fprint(stdin, some(100*i, 100*i+100))
		code, text, stderr := ask("slots", "-config", s.conf)
		if i > 0 && code != exitOK {
			t.Fatalf("exit %d, %q, %q", code, text, stderr)
		}
	}
	until(t, `"pending_rows": 2000`, func() string { _, text, _ := ask("slots", "-config", s.conf, "-json"); return text })
	_, text, _ := ask("slots", "-config", s.conf, "-watch", "10ms")
	if !strings.Contains(text, fmt.Sprintf("in use, pid %d", os.Getpid())) || !strings.Contains(text, "default-0: its owner") || !strings.Contains(text, "ROWS/S") {
		t.Errorf("%s", text)
	}
	if code, text, stderr := ask("verify", "-config", s.conf); code != exitOK {
		t.Errorf("exit %d, %q, %q", code, text, stderr)
	}
	if code, text, _ := ask("dump", "-config", s.conf); code != exitOK || strings.Count(text, "\n") != 2000 {
		t.Errorf("exit %d, %d lines", code, strings.Count(text, "\n"))
	}
}

func TestTheTotalsSayWhenTheStoreIsFullOrThatItIs(t *testing.T) {
	for want, total := range map[string]look.Total{
		"full in 2h0m0s at this rate": {ToFull: 7200}, "empty in 1m0s at this rate": {ToEmpty: 60}, "; rows are dropped": {ToFull: 1, Lost: "rows are dropped"},
	} {
		if text := totalText(&look.Report{Total: total}); !strings.Contains(text, want) {
			t.Errorf("%q does not say %q", text, want)
		}
	}
}

func TestSlotsTellOfWoundsFailuresAndOthers(t *testing.T) {
	s := newShop(t, nowhere, quick)
	s.take(some(0, 500))
	s.strangers()
	s.harm(s.segment(), func(b []byte) []byte { b[60] ^= 1; return b })
	code, text, stderr := s.ask("slots")
	if code != exitOK || !strings.Contains(text, "python-0   orphan, of another client") || strings.Contains(text, "notes") {
		t.Errorf("exit %d, %s, %q", code, text, stderr)
	}
	if r := s.report(); len(r.Slots) != 2 || r.Total.Wounds == 0 {
		t.Errorf("%+v", r)
	}
	if err := os.WriteFile(filepath.Join(s.dir, "python-0", ".failed"), []byte("it is broken"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.sendTo("http://elsewhere:9000", quick+"\nsf_destination = \"moon\"\ndrain_orphans = false")
	_, text, _ = s.ask("slots")
	for _, says := range []string{"marked as damaged by .failed (it is broken)", "python-0   failed"} {
		if !strings.Contains(text, says) {
			t.Errorf("%s does not say %q", text, says)
		}
	}
}

func TestAnOrphanOfAnotherDestinationIsTold(t *testing.T) {
	s := newShop(t, nowhere, quick+"\nsf_destination = \"mars\"\nsender_id = \"other\"")
	s.take(some(0, 10))
	s.sendTo(nowhere, quick+"\nsf_destination = \"moon\"")
	_, text, _ := s.ask("slots")
	if !strings.Contains(text, "other-0  orphan") || !strings.Contains(text, "belong to mars, and this agent sends to moon") {
		t.Errorf("%s", text)
	}
	s.sendTo(nowhere, quick+"\nsf_destination = \"mars\"\ndrain_orphans = false")
	_, letGo := s.living()
	defer letGo()
	until(t, "drain_orphans is off", func() string { _, text, _ := ask("slots", "-config", s.conf); return text })
}
