// SPDX-License-Identifier: MIT

package deadletter_test

import (
	"bytes"
	"cmp"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/influxdata/line-protocol/v2/lineprotocol"
	"pgregory.net/rapid"

	"github.com/questdb-sf/questdb_sf/internal/deadletter"
	"github.com/questdb-sf/questdb_sf/internal/qwp"
)

// texts are hard for one format or the other.
var texts = rapid.OneOf(
	rapid.SampledFrom([]string{"", "a", "a b", "a=b,c", `C:\`, `\\`, `"`, "two\nlines", "\r\n", "\x00", "#x", "# qsf1 0 0 ", "é", "\u2028", "\t", "-"}),
	rapid.String(),
)

var longs = rapid.OneOf(rapid.Int64(), rapid.SampledFrom([]int64{0, 1, -1, math.MinInt64, math.MaxInt64, 253402300799999999, -62135596800000000, 9223372036854775, 9223372036854776}))

var doubles = rapid.OneOf(rapid.Float64(), rapid.SampledFrom([]float64{0, math.Copysign(0, -1), math.NaN(), math.Inf(1), math.Inf(-1), 1e308, 5e-324, 0.1}))

// anyRow draws a row that a Builder can encode.
func anyRow(t *rapid.T) *qwp.Row {
	r := &qwp.Row{}
	r.Reset(rapid.SampledFrom([]string{"t", "cpu load", "#t", "a,b=c", `t\`, "\x00", "é"}).Draw(t, "table"))
	for _, name := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a", "b c", "d,e", "=", `f\`, "#", "\"", "é", "x\ny"}), 1, 6, rapid.ID).Draw(t, "columns") {
		switch rapid.IntRange(1, 7).Draw(t, "type") {
		case 1:
			r.Symbol(name, texts.Draw(t, "symbol"))
		case 2:
			r.Varchar(name, texts.Draw(t, "varchar"))
		case 3:
			r.Long(name, longs.Draw(t, "long"))
		case 4:
			r.Double(name, doubles.Draw(t, "double"))
		case 5:
			r.Bool(name, rapid.Bool().Draw(t, "bool"))
		case 6:
			r.Timestamp(name, longs.Draw(t, "timestamp"))
		case 7:
			r.TimestampNanos(name, longs.Draw(t, "nanos"))
		}
	}
	switch rapid.IntRange(0, 2).Draw(t, "unit") {
	case 1:
		r.At(longs.Draw(t, "time"))
	case 2:
		r.AtNanos(longs.Draw(t, "time"))
	}
	if r.Time == math.MinInt64 {
		r.Time, r.TimeType = 0, 0 // QuestDB's null
	}
	return r
}

func anyLetter(t *rapid.T) deadletter.Letter {
	l := deadletter.Letter{
		Row: anyRow(t), Reason: texts.Draw(t, "reason"), Class: rapid.SampledFrom([]deadletter.Class{deadletter.Final, deadletter.Refused}).Draw(t, "class"),
		Host: texts.Draw(t, "host"), Column: texts.Draw(t, "column"), Type: qwp.Type(rapid.SampledFrom([]int{0, 5, 7}).Draw(t, "type")),
	}
	if rapid.Bool().Draw(t, "stored") {
		l.Key = &deadletter.Key{
			Slot: texts.Draw(t, "slot"), FSN: rapid.Int64().Draw(t, "fsn"), CRC: rapid.Uint32().Draw(t, "crc"),
			Block: rapid.IntRange(0, 9).Draw(t, "block"), Row: rapid.IntRange(0, 1e6).Draw(t, "row"),
		}
	}
	return l
}

// cells orders the cells of a row and leaves out those that QuestDB reads as null.
func cells(r *qwp.Row) []qwp.Cell {
	list := slices.DeleteFunc(slices.Clone(r.Cells), func(c qwp.Cell) bool {
		null := c.Type == qwp.TypeDouble && math.IsNaN(c.Float())
		return null || c.Type != qwp.TypeDouble && c.Type != qwp.TypeBoolean && c.Text == nil && c.Int() == math.MinInt64
	})
	slices.SortFunc(list, func(a, b qwp.Cell) int { return cmp.Compare(a.Name, b.Name) })
	return list
}

func sameRow(a, b *qwp.Row) bool {
	return a.Table == b.Table && a.Time == b.Time && a.TimeType == b.TimeType && slices.EqualFunc(cells(a), cells(b), func(x, y qwp.Cell) bool {
		return x.Name == y.Name && x.Type == y.Type && x.Num == y.Num && bytes.Equal(x.Text, y.Text)
	})
}

func TestWhatIsReadBackIsTheRowAndTheReasonOfItsLetter(t *testing.T) {
	letters, frames := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		disk := newDisk(t)
		f := open(disk)
		var want []deadletter.Letter
		for range rapid.IntRange(1, 4).Draw(t, "letters") {
			want = append(want, anyLetter(t))
		}
		for i := range want { // in as many calls: a key may come twice in one
			do(t, f.Add(want[i:i+1]))
		}
		for _, class := range []deadletter.Class{deadletter.Final, deadletter.Refused} {
			for _, got := range allOf(t, open(disk), class) {
				at := slices.IndexFunc(want, func(l deadletter.Letter) bool { return l.Class == class })
				if !matches(&got, &want[at]) {
					t.Fatalf("got  %+v\nrow  %+v\nwant %+v\nrow  %+v", got.Letter, got.Row, want[at], want[at].Row)
				}
				want = slices.Delete(want, at, at+1)
				letters++
				if got.Frame != nil {
					frames++
				}
			}
		}
	})
	if frames == 0 || frames == letters {
		t.Errorf("%d of %d letters have a frame", frames, letters)
	}
	t.Logf("%d letters read back, %d of them from a frame", letters, frames)
}

func matches(got *deadletter.Found, want *deadletter.Letter) bool {
	if (got.Key == nil) != (want.Key == nil) || got.Key != nil && *got.Key != *want.Key {
		return false
	}
	return sameRow(got.Row, want.Row) && got.Time.Equal(now) && got.Host == want.Host && got.Column == want.Column && got.Type == want.Type &&
		got.Group() == want.Group() && !bytes.ContainsAny([]byte(got.Reason), "\r\n")
}

func allOf(t rapid.TB, f *deadletter.File, class deadletter.Class) (list []deadletter.Found) {
	t.Helper()
	damaged, err := f.Read(class, func(l *deadletter.Found) bool { list = append(list, *l); return true })
	do(t, err)
	equal(t, "damaged letters", damaged, 0)
	return list
}

func TestTheDecoderOfLineProtocolReadsEveryLineOfAFile(t *testing.T) {
	lines := 0
	rapid.Check(t, func(t *rapid.T) {
		var text []byte
		want := 0
		for range 5 {
			l := anyLetter(t)
			one := deadletter.Append(nil, now, &l)
			text = append(text, one...)
			if !bytes.HasPrefix(one[bytes.IndexByte(one[bytes.IndexByte(one, '\n')+1:], '\n')+bytes.IndexByte(one, '\n')+2:], []byte("#")) {
				want++
			}
		}
		d := lineprotocol.NewDecoderWithBytes(text)
		got := 0
		for ; d.Next(); got++ {
			if err := drain(d); err != nil {
				t.Fatalf("line %d: %v in\n%s", got, err, text)
			}
		}
		if got != want {
			t.Fatalf("%d lines, want %d in\n%s", got, want, text)
		}
		lines += got
	})
	t.Logf("%d lines", lines)
}

func drain(d *lineprotocol.Decoder) error {
	if _, err := d.Measurement(); err != nil {
		return err
	}
	for {
		k, _, err := d.NextTag()
		if err != nil {
			return err
		}
		if k == nil {
			break
		}
	}
	for {
		k, _, err := d.NextField()
		if err != nil {
			return err
		}
		if k == nil {
			break
		}
	}
	_, err := d.Time(lineprotocol.Nanosecond, time.Time{})
	return err
}

// A type that no Builder encodes comes with a frame of its own.
func TestARowOfAnotherClientsTypeIsKeptInItsFrame(t *testing.T) {
	frame := uuidFrame()
	var v qwp.View
	do(t, v.Parse(frame, nil))
	table := &v.Tables()[0]
	var row qwp.Row
	for range table.All(0, 1, &row) {
	}
	disk := newDisk(t)
	do(t, open(disk).Add([]deadletter.Letter{{Row: &row, Frame: frame, Class: deadletter.Refused, Reason: "x"}}))
	got := allOf(t, open(disk), deadletter.Refused)
	if len(got) != 1 || !bytes.Equal(got[0].Frame, frame) || !bytes.Equal(got[0].Row.Cells[0].Text, row.Cells[0].Text) {
		t.Errorf("read back %+v", got)
	}
}

// uuidFrame is a message of a table "u" with one row and one column "id".
func uuidFrame() []byte {
	payload := []byte{0, 0} // no strings
	payload = append(payload, 1, 'u', 1, 1, 2, 'i', 'd', byte(qwp.TypeUUID), 0)
	payload = append(payload, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16)
	head := []byte{'Q', 'W', 'P', '1', 1, qwp.FlagDeltaDict, 1, 0, byte(len(payload)), 0, 0, 0}
	return append(head, payload...)
}
