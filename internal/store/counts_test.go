// SPDX-License-Identifier: MIT

package store_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestDamageIsCountedThroughEveryChangeOfPools(t *testing.T) {
	inTime(t, func(t *testing.T, d *disk) {
		st := opened(t, d.settings())
		do(t, put(t, st, 1))
		do(t, put(t, st, 1))
		do(t, st.Release(context.Background()))
		d.flip(t, "/sf/default-0")
		st = opened(t, d.settings())
		openAllSlots(t, st)
		if n := st.Stats().Incidents; n != 1 {
			t.Fatalf("%d incidents", n)
		}
		d.fails(syscall.EIO, nil)
		do(t, put(t, st, 1)) // to RAM
		time.Sleep(15 * time.Second)
		d.fails(nil, nil)
		time.Sleep(20 * time.Minute)
		if s := st.Stats(); s.Incidents != 1 || s.RAM {
			t.Errorf("%d incidents, RAM: %t", s.Incidents, s.RAM)
		}
	})
}

// flip damages the first frame of a slot.
func (d *disk) flip(t testing.TB, dir string) {
	t.Helper()
	list, err := d.ReadDir(dir)
	do(t, err)
	for _, e := range list {
		if !strings.HasSuffix(e.Name(), ".sfa") {
			continue
		}
		f, err := d.OpenFile(filepath.Join(dir, e.Name()), os.O_RDWR, 0)
		do(t, err)
		head := make([]byte, 256)
		_, err = f.ReadAt(head, 0)
		do(t, err)
		if at := bytes.Index(head, []byte("QWP")); at > 0 {
			head[at+20] ^= 1
			_, err = f.WriteAt(head, 0)
			do(t, err)
			do(t, f.Close())
			return
		}
	}
	t.Fatal("no frame found")
}
