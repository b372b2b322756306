// SPDX-License-Identifier: MIT

package sender

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/qwp"
	"github.com/questdb-sf/questdb_sf/internal/slot"
	"github.com/questdb-sf/questdb_sf/internal/tables"
)

func TestParkingKnowsWhatIsLeftOfAFrame(t *testing.T) {
	var p parking
	if p.meet(7) != nil || p.took(7, qwp.WholeMessage) != nil {
		t.Error("an unknown frame is known")
	}
	tables := []qwp.Table{{Rows: 10}, {}, {Rows: 20}}
	l := p.lot(7)
	l.rows, l.todo = 30, blocks(nil, tables)
	for _, step := range []struct {
		part qwp.Part
		left string
	}{
		{qwp.Part{Table: 2, First: 0, Last: 5}, "0[0,10) 2[5,20)"},
		{qwp.Part{Table: 2, First: 7, Last: 9}, "0[0,10) 2[5,7) 2[9,20)"},
		{qwp.Part{Table: 0, First: 0, Last: 10}, "2[5,7) 2[9,20)"},
		{qwp.Part{Table: 2, First: 6, Last: 19}, "2[5,6) 2[19,20)"},
		{qwp.Part{Table: 1, First: 0, Last: 9}, "2[5,6) 2[19,20)"},
	} {
		if done := p.took(7, step.part); done != nil {
			t.Errorf("done with %s left", step.left)
		}
		var left []string
		for _, x := range p.meet(7).todo {
			left = append(left, fmt.Sprintf("%d[%d,%d)", x.Table, x.First, x.Last))
		}
		if got := strings.Join(left, " "); got != step.left {
			t.Errorf("after %v: %s left, want %s", step.part, got, step.left)
		}
	}
	l.letters = 4
	done := p.took(7, qwp.Part{Table: 2, First: 0, Last: 20})
	if done == nil || fmt.Sprint(done.shares()) != fmt.Sprint([]slot.Share{{As: slot.Acked, Rows: 26}, {As: slot.DeadLettered, Rows: 4}}) {
		t.Errorf("done %+v", done)
	}
	if p.drop(7); p.meet(7) != nil {
		t.Error("a settled frame is remembered")
	}
}

func TestParkingCountsRowsOnceHoweverOftenTheyArePassed(t *testing.T) {
	var p parking
	defer p.disarm()
	for walk := range 3 {
		p.begin(-1)
		p.park(1, 5, "b")
		p.park(2, 7-walk, "b")
		p.end()
	}
	if p.rows() != 10 {
		t.Errorf("%d rows", p.rows())
	}
	p.close(3, "t", 4, "t")
	if p.rows() != 14 {
		t.Errorf("%d rows with a group", p.rows())
	}
	if p.begin(1); p.rows() != 9 {
		t.Errorf("%d rows behind the watermark", p.rows())
	}
	if p.begin(3); p.rows() != 0 {
		t.Errorf("%d rows of nothing", p.rows())
	}
	p.park(9, 1, "b")
	if p.clear(); p.rows() != 0 || p.armed {
		t.Errorf("%+v after clear", p)
	}
}

func TestParkingTakesNoMoreThanItsBoundAndForgetsWhatWasNotMet(t *testing.T) {
	var p parking
	defer p.disarm()
	p.begin(-1)
	for fsn := range slot.FSN(maxLots) {
		if !p.park(fsn, 1, "b") {
			t.Fatalf("no room for frame %d", fsn)
		}
	}
	if p.park(maxLots, 1, "b") || !p.park(5, 2, "b") {
		t.Error("the bound counts frames")
	}
	p.begin(-1)
	p.meet(0)
	if !p.park(maxLots, 1, "b") || len(p.lots) != 2 {
		t.Errorf("frames that have gone keep their place: %d", len(p.lots))
	}
}

func TestParkingIsDueSoonAndThenOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p parking
		defer p.disarm()
		if p.due() != nil {
			t.Error("due with nothing parked")
		}
		for _, want := range []time.Duration{10, 20, 40, 60, 60} {
			p.begin(-1)
			start := time.Now()
			p.park(1, 1, "b")
			time.Sleep(want / 2 * time.Second)
			p.park(2, 1, "b")
			<-p.due()
			if took := time.Since(start); took != want*time.Second {
				t.Errorf("due after %s, want %d s", took, want)
			}
			p.heard()
		}
		p.begin(-1)
		p.park(1, 1, "b")
		time.Sleep(2 * time.Minute) // it fires, and nobody hears it
		p.begin(2)
		p.end() // all is settled
		p.park(3, 1, "b")
		start := time.Now()
		<-p.due()
		if took := time.Since(start); took != firstRetry {
			t.Errorf("due after %s of another trouble", took)
		}
	})
}

// ready is a Tables for which every row is fine.
type ready struct{ asked int }

func (r *ready) Ready(context.Context, string, string, time.Time) (tables.Answer, error) {
	r.asked++
	return tables.Answer{RowID: true}, nil
}

func TestAFrameOfKnownTablesCostsNoAllocationAndNoQuestion(t *testing.T) {
	build := qwp.NewBuilder(1 << 15)
	for _, table := range []string{"cpu", "mem", "disk", "cpu"} {
		var r qwp.Row
		r.Reset(table)
		r.Long("x", 1)
		r.At(1)
		if err := build.Add(&r); err != nil {
			t.Fatal(err)
		}
	}
	frame := build.AppendFrame(nil)
	r := &ready{}
	f := &flight{s: &Sender{}, replies: replies{tables: r, known: map[string]reply{}}, unmade: map[string]struct{}{}}
	allocs := testing.AllocsPerRun(100, func() {
		if err := errors.Join(f.view.Parse(frame, nil), f.plan(context.Background())); err != nil || !f.ids || len(f.parts) != 1 {
			t.Errorf("%+v, %v", f.parts, err)
		}
	})
	if allocs > 0 || r.asked != 3 {
		t.Errorf("%.1f allocations, %d questions", allocs, r.asked)
	}
}

func TestOnlyAHoldErrorHoldsATable(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		want bool
	}{
		"none":    {nil, false},
		"other":   {errors.New("x"), false},
		"context": {context.DeadlineExceeded, false},
		"hold":    {fmt.Errorf("wrapped: %w", &tables.HoldError{Table: "b"}), true},
	} {
		if got := holds(c.err); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}
