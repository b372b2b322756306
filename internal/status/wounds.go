// SPDX-License-Identifier: MIT

package status

import (
	"cmp"
	"encoding/json"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/slot"
	"github.com/questdb-sf/questdb_sf/internal/status/api"
	"github.com/questdb-sf/questdb_sf/internal/vfs"
	"github.com/questdb-sf/questdb_sf/sfpool"
)

const (
	// maxTold bounds the incidents that are shown, and the receipts that one look reads;
	// maxReceipt the bytes of one.
	maxTold    = 64
	maxReceipt = 64 << 10
)

// receipt is a file that tells of an incident. It never changes.
type receipt struct {
	slot, name string
	at         time.Time
}

func (r *receipt) key() string { return r.slot + "/" + r.name }

// wounds reads the newest receipts of all slots, and weighs what is kept because of them.
// More are those that it did not read, or could not.
func (d *disk) wounds(dir string) (list []api.Incident, more map[string]bool, kept api.Kept) {
	slots, err := d.fs.ReadDir(dir)
	if err != nil {
		return nil, nil, api.Kept{Error: problem(err)}
	}
	var receipts []receipt
	sizes := map[string]int64{}
	for _, s := range slots {
		if !s.IsDir() || strings.HasPrefix(s.Name(), ".") {
			continue
		}
		entries, err := d.fs.ReadDir(filepath.Join(dir, s.Name()))
		if err != nil && kept.Error == "" {
			kept.Error = problem(err)
		}
		for _, e := range entries {
			switch name := e.Name(); {
			case !e.Type().IsRegular():
			case strings.Contains(name, ".corrupt"):
				sizes[s.Name()+"/"+name] = weigh(e, &kept)
			case strings.HasPrefix(name, "incident-") && strings.HasSuffix(name, ".json"):
				if info, err := e.Info(); err == nil {
					receipts = append(receipts, receipt{s.Name(), name, info.ModTime()})
				}
			}
		}
	}
	list, more = d.newest(dir, receipts)
	for i := range list {
		list[i].KeptBytes = sizes[list[i].Slot+"/"+list[i].KeptAs]
	}
	return list, more, kept
}

// newest reads the receipts that were written last.
func (d *disk) newest(dir string, receipts []receipt) (list []api.Incident, more map[string]bool) {
	slices.SortFunc(receipts, func(a, b receipt) int { return cmp.Or(b.at.Compare(a.at), strings.Compare(a.key(), b.key())) })
	before := d.told
	d.told, more = map[string]api.Incident{}, map[string]bool{}
	for n, r := range receipts {
		one, ok := before[r.key()]
		if !ok && n < maxTold {
			ok = readJSON(d.fs, filepath.Join(dir, r.slot, r.name), &one) == nil
		}
		if !ok || n >= maxTold {
			more[r.key()] = true
			continue
		}
		one.Slot, one.Receipt = r.slot, r.name
		d.told[r.key()] = one
		list = append(list, one)
	}
	return list, more
}

// weigh adds a file to those that are kept.
func weigh(e fs.DirEntry, kept *api.Kept) (bytes int64) {
	info, err := e.Info()
	if err != nil {
		return 0 // it went
	}
	kept.Files++
	kept.Bytes += info.Size()
	if at := info.ModTime().UTC(); !at.IsZero() && (kept.Oldest == nil || at.Before(*kept.Oldest)) {
		kept.Oldest = &at
	}
	return info.Size()
}

func readJSON(fsys vfs.FS, path string, to any) error {
	f, err := fsys.OpenFile(path, os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	b, err := io.ReadAll(io.NewSectionReader(f, 0, maxReceipt))
	if err != nil {
		return err
	}
	return json.Unmarshal(b, to)
}

// incidents returns those that the files tell of and, of those since the start, those that
// they do not: their disk may have failed. More is how many there are besides.
func (r *report) incidents() (all []api.Incident, more int64) {
	all, have := list(r.files.wounds), map[string]bool{}
	for i := range all {
		have[all[i].Slot+"/"+all[i].Receipt] = true
	}
	more = int64(len(r.files.untold))
	for _, i := range append(r.look.Details.Incidents, r.look.RAMDetails.Incidents...) {
		one := incidentOf(i)
		key := one.Slot + "/" + one.Receipt
		if have[key] {
			continue
		}
		all = append(all, one)
		if r.files.untold[key] {
			more-- // it is told here
		}
	}
	slices.SortStableFunc(all, func(a, b api.Incident) int { return cmp.Compare(a.Found, b.Found) })
	over := max(0, len(all)-maxTold)
	return all[over:], more + int64(over)
}

func incidentOf(i sfpool.Incident) api.Incident {
	return api.Incident{
		Slot: i.Slot, What: i.What, File: i.File, KeptAs: i.KeptAs, Offset: i.Offset, Bytes: i.Bytes,
		FirstFSN: int64(i.FirstFSN), LastFSN: int64(i.LastFSN), Frames: i.Frames, Rows: i.Rows, RowsKnown: i.RowsKnown,
		Earliest: i.Earliest, Latest: i.Latest, Found: i.Found, WhatToDo: i.WhatToDo, Receipt: slot.IncidentFile(i.Incident),
	}
}
