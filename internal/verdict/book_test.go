// SPDX-License-Identifier: MIT

package verdict_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/questdb-sf/questdb_sf/internal/qwp"
	"github.com/questdb-sf/questdb_sf/internal/verdict"
	"github.com/questdb-sf/questdb_sf/internal/vfs/vfstest"
)

const file = "/sf/default.verdicts.json"

// disk is a directory in RAM and a log.
func disk(t testing.TB) (*vfstest.Mem, *bytes.Buffer, verdict.Options) {
	t.Helper()
	mem, log := vfstest.NewMem(), new(bytes.Buffer)
	if err := mem.MkdirAll("/sf", 0o750); err != nil {
		t.Fatal(err)
	}
	return mem, log, verdict.Options{FS: mem, Path: file, Log: slog.New(slog.NewTextHandler(log, nil))}
}

func key(column string) verdict.Key {
	return verdict.Key{Host: "db:9000", Table: "cpu", Column: column, Type: qwp.TypeDouble}
}

func to(column, other string) verdict.Verdict {
	return verdict.Verdict{Key: key(column), To: other, Words: "cast error\nfrom…"}
}

func knows(t testing.TB, b *verdict.Book, column, other string) {
	t.Helper()
	if v, ok := b.Of(key(column)); !ok || v.To != other {
		t.Errorf("%s: %+v, %v; want %q", column, v, ok, other)
	}
}

func TestWhatWasLearnedIsThereAfterARestartAndWhatWasLiftedIsNot(t *testing.T) {
	_, log, o := disk(t)
	b := verdict.New(o)
	if b.Busy() {
		t.Error("an empty book is busy")
	}
	for _, v := range []verdict.Verdict{to("a", "a__double"), to("b", ""), to("c", "c__double")} {
		if !b.Learn(v) || b.Learn(v) {
			t.Errorf("%v is not news once", v.Key)
		}
	}
	if verdict.New(o).Busy() {
		t.Error("what a server says that may refuse everything is kept")
	}
	b.Accepted("db:9000", "mem")
	waits := verdict.Verdict{Key: key("d"), Wait: true, Words: "creating new columns is disabled"}
	if !b.Learn(waits) || !b.Lift(key("c")) || b.Lift(key("c")) {
		t.Error("waiting and lifted verdicts")
	}
	if verdicts, bars := b.Counts(); verdicts != 3 || bars != 0 {
		t.Errorf("%d verdicts stand and %d bars, without the one that was lifted", verdicts, bars)
	}
	b = verdict.New(o)
	knows(t, b, "a", "a__double")
	knows(t, b, "b", "b__double")
	for _, gone := range []string{"c", "d"} {
		if v, ok := b.Of(key(gone)); ok {
			t.Errorf("%+v", v)
		}
	}
	if !b.Busy() || log.Len() > 0 {
		t.Errorf("busy %v, log %s", b.Busy(), log)
	}
}

// What is done about a verdict goes by the option as it is now.
func TestAnotherTypeConflictHoldsForWhatWasLearnedBefore(t *testing.T) {
	_, _, o := disk(t)
	b := verdict.New(o)
	b.Learn(to("a", "a__double"))
	text := to("s", "s__varchar")
	text.Type = qwp.TypeVarchar
	b.Learn(text)
	b.Accepted("db:9000", "")
	o.Conflict = verdict.DeadLetter
	knows(t, verdict.New(o), "a", "")
	o.Conflict = verdict.Widen
	b = verdict.New(o)
	if _, ok := b.Of(key("a")); ok {
		t.Error("a column that may be widened now is not asked for")
	}
	if v, ok := b.Of(text.Key); !ok || v.To != "s__varchar" {
		t.Errorf("%+v", v)
	}
}

func TestNamesOfAnyCaseAreTheSameAndOtherServersAndTypesAreNot(t *testing.T) {
	b := verdict.New(verdict.Options{})
	b.Learn(to("Usage", "Usage__double"))
	for k, want := range map[verdict.Key]bool{
		{Host: "db:9000", Table: "CPU", Column: "uSAGE", Type: qwp.TypeDouble}: true,
		{Host: "db:9001", Table: "cpu", Column: "usage", Type: qwp.TypeDouble}: false,
		{Host: "db:9000", Table: "mem", Column: "usage", Type: qwp.TypeDouble}: false,
		{Host: "db:9000", Table: "cpu", Column: "usage", Type: qwp.TypeLong}:   false,
	} {
		if _, ok := b.Of(k); ok != want {
			t.Errorf("%+v: %v", k, ok)
		}
	}
	b.Bar("db:9000", "Mem", "it is a view")
	if words, barred, _ := b.Barred("db:9000", "mEM"); !barred || words != "it is a view" {
		t.Errorf("%q, %v", words, barred)
	}
	b.Accepted("db:9000", "Disk")
	if !b.AcceptedSince("db:9000", "dISK", 0) || b.AcceptedSince("db:9000", "mem", 0) || b.AcceptedSince("db:9001", "", 0) || b.AcceptedSince("db:9000", "", b.Mark()) {
		t.Error("what was accepted")
	}
}

// Each probe is a refused request: of n hours they take no more than log n and n.
func TestProbesBecomeSeldomAndStayRareAlsoWhereTheAnswerChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := verdict.New(verdict.Options{})
		b.Learn(to("a", "a__double"))
		var at []string
		began := time.Now()
		for time.Since(began) < 6*time.Hour {
			if b.Due(key("a")) != b.Probe(key("a")) {
				t.Error("Due and Probe differ")
			} else if v, _ := b.Of(key("a")); b.Due(key("a")) {
				t.Errorf("%v is due right after its probe", v.Key)
			}
			time.Sleep(time.Second)
		}
		b.Learn(to("a", "a__double"))
		for range 1 { // flapping: taken and refused in turn
			for began = time.Now(); time.Since(began) < 24*time.Hour; time.Sleep(time.Second) {
				if b.Probe(key("a")) {
					at = append(at, time.Since(began).Round(time.Minute).String())
					b.Lift(key("a"))
					b.Learn(to("a", "a__double"))
				}
			}
		}
		t.Logf("probes of a day in which the answer changes each time: %v", at)
		if len(at) > 32 {
			t.Errorf("%d probes", len(at))
		}
	})
}

func TestOneRowOfABarredTableIsOfferedAtLeastEachMinuteAndNotAlwaysTheSame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := verdict.New(verdict.Options{})
		if !b.Bar("h", "t", "no") || b.Bar("h", "t", "no") {
			t.Error("the bar is not news once")
		}
		if b.Offer("h", "t", 100) >= 0 || b.Offer("h", "other", 100) >= 0 {
			t.Error("a row is offered at once")
		}
		var rows []int
		for range 20 {
			time.Sleep(time.Minute)
			if _, barred, due := b.Barred("h", "t"); !barred || !due {
				t.Errorf("barred %v, due %v", barred, due)
			}
			at := b.Offer("h", "t", 100)
			if b.Offer("h", "t", 100) >= 0 {
				t.Error("two rows are offered")
			}
			rows = append(rows, at)
			b.Bar("h", "t", "no")
		}
		t.Logf("rows of 100 that are offered: %v", rows)
		if got := fmt.Sprint(rows[:6]); got != "[1 3 7 15 0 1]" {
			t.Error(got)
		}
		// Of a table with a single row it is that one, soon.
		for tries := 0; b.Offer("h", "t", 1) != 0; tries++ {
			time.Sleep(time.Minute)
			if tries > 5 {
				t.Fatal("its only row is not offered")
			}
		}
		if !b.Unbar("h", "t") || b.Unbar("h", "t") || b.Busy() {
			t.Error("unbarred")
		}
	})
}

func TestAfterAnOutageEveryReasonIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := verdict.New(verdict.Options{})
		for range 8 {
			b.Learn(to("a", ""))
			b.Bar("db:9000", "t", "no")
		}
		b.Reconnected("db:9000")
		if b.Due(key("a")) || b.Offer("db:9000", "t", 1) >= 0 {
			t.Error("tried again right after a try")
		}
		time.Sleep(30 * time.Second)
		b.Reconnected("another")
		if b.Due(key("a")) {
			t.Error("tried again after the outage of another server")
		}
		b.Reconnected("db:9000")
		if _, _, due := b.Barred("db:9000", "t"); !b.Due(key("a")) || !due {
			t.Error("not tried again after the outage")
		}
	})
}

func TestWhatWasLearnedWhileNothingWasAcceptedIsTakenBack(t *testing.T) {
	_, _, o := disk(t)
	b := verdict.New(o)
	b.Learn(to("before", ""))
	b.Accepted("db:9000", "cpu")
	mark := b.Mark()
	b.Learn(to("a", ""))
	other := to("a", "")
	other.Host = "another"
	b.Learn(other)
	b.Doubt("db:9000", mark)
	knows(t, b, "before", "")
	if _, ok := b.Of(key("a")); ok {
		t.Error("it stands")
	}
	if _, ok := b.Of(other.Key); !ok {
		t.Error("that of another server was taken back")
	}
	if _, ok := verdict.New(o).Of(key("a")); ok {
		t.Error("it stands in the file")
	}
}

func TestNamesHaveNoEndButABookHas(t *testing.T) {
	b := verdict.New(verdict.Options{})
	for i := range 25_000 {
		v := to(fmt.Sprint("c", i), "")
		b.Learn(v)
		b.Bar("h", fmt.Sprint("t", i), "no")
		b.Accepted("h", fmt.Sprint("t", i))
		if i%3 == 0 {
			b.Lift(v.Key)
		}
	}
	verdicts, bars := 0, 0
	for i := range 25_000 {
		if _, ok := b.Of(key(fmt.Sprint("c", i))); ok {
			verdicts++
		}
		if _, barred, _ := b.Barred("h", fmt.Sprint("t", i)); barred {
			bars++
		}
	}
	t.Logf("of 25000 verdicts and bars %d and %d are kept", verdicts, bars)
	if verdicts > 10_000 || bars > 10_000 || verdicts == 0 || bars == 0 {
		t.Errorf("%d, %d", verdicts, bars)
	}
}

func TestABookIsSafeForManySenders(t *testing.T) {
	_, _, o := disk(t)
	b := verdict.New(o)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for n := range 50 {
				k := to(fmt.Sprint("c", (n+i)%10), "")
				b.Learn(k)
				b.Probe(k.Key)
				b.Accepted("db:9000", "cpu")
				b.Bar("db:9000", "t", "no")
				b.Offer("db:9000", "t", 3)
				b.Reconnected("db:9000")
				b.Lift(k.Key)
				b.Unbar("db:9000", "t")
				b.Doubt("db:9000", b.Mark())
			}
		})
	}
	all.Wait()
	if b.Busy() {
		t.Error("something stands that was lifted")
	}
}

func TestSuffixesOfLongNamesFitAndAreValid(t *testing.T) {
	for _, c := range []struct {
		column string
		kind   qwp.Type
		want   string
	}{
		{"v", qwp.TypeDouble, "v__double"},
		{"v", qwp.TypeVarchar, "v__varchar"},
		{"v__long", qwp.TypeDouble, "v__long__double"},
		{"v__DOUBLE", qwp.TypeDouble, ""},
		{strings.Repeat("c", 127), qwp.TypeBoolean, strings.Repeat("c", 118) + "__boolean"},
		{strings.Repeat("é", 63), qwp.TypeLong, strings.Repeat("é", 60) + "__long"},
		{strings.Repeat("c", 119) + "__double", qwp.TypeDouble, ""},
	} {
		got := verdict.SuffixOf(c.column, c.kind)
		if got != c.want || len(got) > qwp.MaxName || !utf8.ValidString(got) {
			t.Errorf("%s %v: %q, want %q", c.column, c.kind, got, c.want)
		}
	}
}

func TestConflictsHaveTheirNames(t *testing.T) {
	for _, c := range []verdict.Conflict{verdict.Suffix, verdict.Widen, verdict.DeadLetter} {
		if got, err := verdict.ParseConflict(c.String()); err != nil || got != c {
			t.Errorf("%v: %v, %v", c, got, err)
		}
	}
	if _, err := verdict.ParseConflict("promote"); err == nil || !strings.Contains(err.Error(), "suffix, widen or dead_letter") {
		t.Error(err)
	}
	if got := verdict.Conflict(9).String(); got != "type_conflict 9" {
		t.Error(got)
	}
}

func TestTheListHasWhatStandsSortedAndNoMoreThanIsAskedFor(t *testing.T) {
	b := verdict.New(verdict.Options{})
	for _, column := range []string{"c", "a", "b", "gone"} {
		b.Learn(to(column, column+"__double"))
	}
	b.Lift(key("gone"))
	b.Bar("db:9000", "v", "is a view")
	b.Bar("db:9000", "u", "has no WAL")
	list, bars := b.List(2)
	if len(list) != 2 || list[0].Column != "a" || list[1].To != "b__double" {
		t.Errorf("%+v", list)
	}
	if fmt.Sprint(bars) != "[{db:9000 u has no WAL} {db:9000 v is a view}]" {
		t.Errorf("%+v", bars)
	}
}
