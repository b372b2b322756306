// SPDX-License-Identifier: MIT

package slot_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/questdb-sf/questdb_sf/internal/qwp"
	"github.com/questdb-sf/questdb_sf/internal/slot"
)

// TestForeignSlotLeftByThePythonClientIsRead reads what the client questdb 6.0.0
// of PyPI left when it was killed: 410 rows with row_id 0 to 409, 20 in a frame;
// a server had acked 280. It was making a spare.
func TestForeignSlotLeftByThePythonClientIsRead(t *testing.T) {
	const golden = "testdata/g3-python-6.0.0"
	list := files{}
	entries, err := os.ReadDir(golden)
	do(t, err)
	for _, e := range entries {
		list[e.Name()], err = os.ReadFile(filepath.Join(golden, e.Name()))
		do(t, err)
	}
	mem := list.mem(t)
	f := openForeign(t, mem)
	ids, symbols := readRows(t, f)
	if len(ids) != 130 || ids[0] != 280 || ids[129] != 409 || !slices.IsSorted(ids) {
		t.Errorf("rows %v", ids)
	}
	if symbols["host-1"] == 0 || symbols["zürich, 2"] == 0 { // of frames that are gone
		t.Errorf("symbols %v", symbols)
	}
	if st := f.Stats(); st.Pending != 130 || st.Watermark != 13 || st.Published != 20 {
		t.Errorf("%+v", st)
	}
	do(t, settleAll(f))
	do(t, f.Close())
	if got := names(t, mem); !slices.Equal(got, []string{".lock", ".lock.pid"}) {
		t.Errorf("left: %v", got)
	}
}

// readRows returns the ids of pending rows, and how often each symbol stands in
// them.
func readRows(t testing.TB, f *slot.Foreign) (ids []int64, symbols map[string]int) {
	t.Helper()
	var view qwp.View
	symbols = map[string]int{}
	for c := f.NewCursor(); ; {
		e, ok, err := c.Next()
		do(t, err)
		if !ok {
			slices.Sort(ids)
			return ids, symbols
		}
		do(t, view.Parse(e.Bytes, e.Dict))
		for i := range view.Tables() {
			table := &view.Tables()[i]
			var row qwp.Row
			for r := range table.All(0, table.Rows, &row) {
				for k := range r.Cells {
					switch c := &r.Cells[k]; {
					case c.Type == qwp.TypeSymbol:
						symbols[string(c.Text)]++
					case c.Name == "row_id":
						ids = append(ids, c.Int())
					}
				}
			}
		}
	}
}
