// SPDX-License-Identifier: MIT

package qwpserver_test

import (
	"math"
	"reflect"
	"testing"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/qwp"
	"github.com/questdb-sf/questdb_sf/testutil/qwpserver"
)

func TestRowsReadBackInTheirTypes(t *testing.T) {
	b := start(t, qwpserver.Options{})
	c := b.connect()
	full := point("t", 0, func(r *qwp.Row) {
		r.Symbol("host", "ä")
		r.Long("l", -1)
		r.Double("d", 1.5)
		r.Bool("b", true)
		r.Varchar("s", "")
		r.Timestamp("seen", 1700000000123456)
	})
	nulls := point("t", 1, func(r *qwp.Row) {
		r.Long("l", math.MinInt64)
		r.Double("d", math.NaN())
	})
	nanos := point("t", 2, func(r *qwp.Row) { r.Long("l", 3) })
	c.send(full, nulls)
	nanos.AtNanos(1700000002000000001)
	c.send(nanos)
	c.until(1)
	want := []qwpserver.Row{
		{Table: "t", Time: 1700000000e9, Values: map[string]any{
			"host": qwpserver.Symbol("ä"), "l": int64(-1), "d": 1.5, "b": true, "s": "",
			"seen": time.UnixMicro(1700000000123456).UTC(),
		}},
		{Table: "t", Time: 1700000001e9, Values: map[string]any{"b": false}},
		{Table: "t", Time: 1700000002000000001, Values: map[string]any{"l": int64(3), "b": false}},
	}
	if got := b.Rows("T"); !reflect.DeepEqual(got, want) {
		t.Errorf("rows\n%v, want\n%v", got, want)
	}
}

func TestColumnKeepsTheTypeOfItsFirstValue(t *testing.T) {
	set := map[string]func(*qwp.Row){
		"long":    func(r *qwp.Row) { r.Long("v", 7) },
		"double":  func(r *qwp.Row) { r.Double("v", 1.5) },
		"whole":   func(r *qwp.Row) { r.Double("v", 7) },
		"bool":    func(r *qwp.Row) { r.Bool("v", true) },
		"symbol":  func(r *qwp.Row) { r.Symbol("v", "x") },
		"varchar": func(r *qwp.Row) { r.Varchar("v", "x") },
		"digits":  func(r *qwp.Row) { r.Varchar("v", "7") },
		"time":    func(r *qwp.Row) { r.TimestampNanos("v", 1500) },
		"micros":  func(r *qwp.Row) { r.Timestamp("v", 1) },
	}
	for _, c := range []struct {
		column, value string
		want          any // nil = refused
	}{
		{"double", "long", 7.0},
		{"long", "double", nil},
		{"long", "whole", int64(7)},
		{"long", "bool", int64(1)},
		{"long", "symbol", nil},
		{"long", "digits", int64(7)},
		{"long", "varchar", nil},
		{"long", "time", nil},
		{"double", "varchar", nil},
		{"bool", "long", nil},
		{"symbol", "varchar", qwpserver.Symbol("x")},
		{"symbol", "long", qwpserver.Symbol("7")},
		{"symbol", "bool", nil},
		{"varchar", "symbol", "x"},
		{"varchar", "double", "1.5"},
		{"micros", "time", time.UnixMicro(1).UTC()},
		{"micros", "long", time.UnixMicro(7).UTC()},
	} {
		t.Run(c.value+" into "+c.column, func(t *testing.T) {
			b := start(t, qwpserver.Options{})
			conn := b.connect()
			conn.send(point("t", 0, set[c.column]))
			conn.until(0)
			conn.send(long("other", 0, 1), point("t", 1, set[c.value]))
			r := conn.answer()
			if c.want == nil {
				if r.Status != qwp.StatusSchemaMismatch || b.Total() != 1 || len(b.Tables()) != 1 {
					t.Errorf("answer %+v, %d rows in %v; want the whole message refused", r, b.Total(), b.Tables())
				}
				return
			}
			if got := b.Rows("t"); r.Status != qwp.StatusOK || got[1].Values["v"] != c.want {
				t.Errorf("answer %+v, rows %v; want %v", r, got, c.want)
			}
		})
	}
}

func TestNamesThatQuestDBRefusesAreRefused(t *testing.T) {
	for _, c := range []struct {
		row  *qwp.Row
		want qwp.Status
	}{
		{long("a-b.c", 0, 1), qwp.StatusOK},
		{long("a/b", 0, 1), qwp.StatusInternalError},
		{long(".a", 0, 1), qwp.StatusInternalError},
		{point("t", 0, func(r *qwp.Row) { r.Long("a-b", 1) }), qwp.StatusSchemaMismatch},
	} {
		b := start(t, qwpserver.Options{})
		conn := b.connect()
		conn.send(c.row)
		if r := conn.answer(); r.Status != c.want {
			t.Errorf("%s %s: %+v, want %v", c.row.Table, c.row.Cells[0].Name, r, c.want)
		}
	}
}

func TestRowWithoutTimeGetsTheServers(t *testing.T) {
	b := start(t, qwpserver.Options{})
	c := b.connect()
	r := long("t", 0, 1)
	r.TimeType = 0
	before := time.Now().UnixNano()
	c.send(r)
	c.until(0)
	if got := b.Rows("t")[0].Time; got < before {
		t.Errorf("time %d is before the row was sent, %d", got, before)
	}
}

func TestKeptRowsAreTheNewest(t *testing.T) {
	for keep, want := range map[int][]int64{0: {0, 1, 2, 3}, 2: {2, 3}, -1: nil} {
		b := start(t, qwpserver.Options{KeepRows: keep})
		c := b.connect()
		for i := range int64(4) {
			c.send(long("t", i, i))
		}
		c.until(3)
		var got []int64
		for _, r := range b.Rows("t") {
			got = append(got, r.Values["v"].(int64))
		}
		if !reflect.DeepEqual(got, want) || b.Total() != 4 {
			t.Errorf("KeepRows %d: rows %v of %d, want %v of 4", keep, got, b.Total(), want)
		}
	}
}

func TestEqualKeysReplaceARow(t *testing.T) {
	b := start(t, qwpserver.Options{DedupKeys: []string{"host"}})
	c := b.connect()
	row := func(host string, v int64) *qwp.Row {
		return point("t", 0, func(r *qwp.Row) { r.Symbol("host", host); r.Long("v", v) })
	}
	c.send(row("a", 1), row("b", 2))
	c.send(row("a", 3))
	c.until(1)
	got := b.Rows("t")
	if len(got) != 2 || got[0].Values["v"] != int64(3) || got[1].Values["v"] != int64(2) {
		t.Errorf("rows %v", got)
	}
}
