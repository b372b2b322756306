// SPDX-License-Identifier: MIT

package sender

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/link"
	"github.com/questdb-sf/questdb_sf/internal/qwp"
)

func TestOnlyRefusedCredentialsAreTriedSlowly(t *testing.T) {
	for _, c := range []struct {
		err  error
		want time.Duration
	}{
		{&link.AuthError{Host: "h", Status: 401}, refusedWait},
		{fmt.Errorf("session: %w", &link.AuthError{Host: "h", Status: 403}), refusedWait},
		{&link.Refusal{HTTPStatus: 401}, refusedWait},
		{&link.Refusal{HTTPStatus: 403}, refusedWait},
		{&link.Refusal{Status: qwp.StatusSecurityError}, refusedWait},
		{&link.Refusal{HTTPStatus: 503}, 0},
		{&link.Refusal{Status: qwp.StatusWriteError}, 0},
		{&link.RoleError{Host: "h"}, 0},
		{errors.New("connection refused"), 0},
	} {
		s := &Sender{cfg: Config{MaxBackoff: time.Minute}}
		if got := s.slowly(c.err); got != c.want {
			t.Errorf("%v: %s, want %s", c.err, got, c.want)
		}
	}
}

func TestAClockInAReasonMakesItNoNews(t *testing.T) {
	reads := func(clock string) error {
		return fmt.Errorf("connect to h:9000: TLS: not valid yet: the clock of this box reads %s, valid from 2026-01-01T00:00:00Z (x509: current time %s is before 2026-01-01T00:00:00Z)", clock, clock)
	}
	v, begin := NewVoice(nil), time.Now()
	if !v.isNews("s", reads("1970-01-01T00:00:42Z"), begin) {
		t.Error("the first time is no news")
	}
	for minutes := range 59 {
		clock := time.Unix(int64(60*minutes), 0).UTC().Format(time.RFC3339)
		if v.isNews("s", reads(clock), begin.Add(time.Duration(minutes)*time.Minute)) {
			t.Fatalf("said again after %d minutes", minutes)
		}
	}
	if !v.isNews("s", errors.New("connection refused"), begin.Add(time.Hour)) {
		t.Error("another reason is no news")
	}
}
