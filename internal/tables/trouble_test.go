// SPDX-License-Identifier: MIT

package tables_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/tables"
)

func TestRowsWaitWhileKeysCannotBeRead(t *testing.T) {
	for trouble, want := range map[error]string{errUnreachable: "error", errForbidden: "hold", errPortal: "error", refusal("busy"): "hold"} {
		synctest.Test(t, func(t *testing.T) {
			b := newBed(t, tables.Config{ExactlyOnce: true})
			b.set("db:9000/cpu", keyed)
			b.silence(trouble)
			for range 60 {
				b.want(b.ready("cpu"), want)
				time.Sleep(10 * time.Second)
			}
			if n := strings.Count(b.log.String(), "\n"); n != 1 {
				t.Errorf("%v: %d lines in ten minutes: %s", trouble, n, b.log.String())
			}
			b.silence(nil)
			b.want(b.ready("cpu"), "id")
		})
	}
}

func TestWithoutExactlyOnceRowsWaitTwoMinutesForAnAnswer(t *testing.T) {
	for trouble, want := range map[error]string{errUnreachable: "error", errPortal: "error", refusal("busy"): "hold"} {
		synctest.Test(t, func(t *testing.T) {
			b := newBed(t, tables.Config{})
			b.silence(trouble)
			began := time.Now()
			for time.Since(began) < 2*time.Minute {
				b.want(b.ready("cpu"), want)
				time.Sleep(10 * time.Second)
			}
			b.want(b.ready("cpu"), "plain")
			b.want(b.on(time.Now(), "cpu"), "plain")
			if want == "error" { // a host has two minutes for all its tables
				b.want(b.ready("mem"), "plain")
			} else { // and what it cannot say of a table, each table
				b.want(b.ready("mem"), "hold")
			}
			if n := strings.Count(b.log.String(), "\n"); n > 3 {
				t.Errorf("%d lines: %s", n, b.log.String())
			}
			b.silence(nil)
			b.set("db:9000/cpu", keyed)
			time.Sleep(10 * time.Second)
			b.want(b.ready("cpu"), "id")
		})
	}
}

func TestAnIDThatWasWantedIsStillSentWhenKeysCannotBeRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, tables.Config{})
		b.set("db:9000/cpu", keyed)
		b.want(b.ready("cpu"), "id")
		b.silence(errUnreachable)
		time.Sleep(time.Minute)
		for range 12 {
			b.want(b.ready("cpu"), "error")
			time.Sleep(10 * time.Second)
		}
		b.want(b.ready("cpu"), "id")
		b.silence(errForbidden)
		time.Sleep(time.Minute)
		b.want(b.ready("cpu"), "id")
		time.Sleep(time.Minute)
		b.want(b.ready("cpu"), "id")
	})
}

func TestAHostWithoutSQLHoldsNothingAndIsSaidOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, tables.Config{Create: tables.SQL})
		b.silence(errForbidden)
		for range 10 {
			for table := range 20 {
				b.want(b.ready(fmt.Sprint("t", table)), "plain")
			}
			time.Sleep(time.Minute)
		}
		if n := strings.Count(b.log.String(), "\n"); n != 1 || b.asked() != 200 {
			t.Errorf("%d questions; logged %s", b.asked(), b.log.String())
		}
	})
}

func TestAHostThatDoesNotAnswerIsAskedOnceEveryTenSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, tables.Config{ExactlyOnce: true})
		b.silence(errUnreachable)
		for range 30 {
			for table := range 20 {
				b.want(b.ready(fmt.Sprint("t", table)), "error")
			}
			time.Sleep(time.Second)
		}
		if b.asked() != 3 {
			t.Errorf("%d questions in 30 s", b.asked())
		}
		// A connection that was made since then says that the host is there again.
		b.silence(nil)
		b.set("db:9000/t1", keyed)
		time.Sleep(time.Millisecond)
		b.want(b.on(time.Now(), "t1"), "id")
	})
}

func TestAServerThatHangsDelaysATableForFiveSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, tables.Config{ExactlyOnce: true})
		b.wait = func(ctx context.Context) error { <-ctx.Done(); return context.Cause(ctx) }
		began := time.Now()
		for table := range 20 {
			b.want(b.ready(fmt.Sprint("t", table)), "error")
		}
		if took := time.Since(began); took != 5*time.Second {
			t.Errorf("20 tables took %v", took)
		}
	})
}
