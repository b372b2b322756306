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

// wounds reads the receipts in all slots, and weighs what is kept because of them.
func (d *disk) wounds(dir string) (list []api.Incident, kept api.Kept) {
	slots, err := d.fs.ReadDir(dir)
	if err != nil {
		return nil, api.Kept{Error: problem(err)}
	}
	before := d.told
	d.told = map[string]api.Incident{}
	for _, s := range slots {
		if !s.IsDir() || strings.HasPrefix(s.Name(), ".") {
			continue
		}
		entries, err := d.fs.ReadDir(filepath.Join(dir, s.Name()))
		if err != nil && kept.Error == "" {
			kept.Error = problem(err)
		}
		sizes := map[string]int64{}
		for _, e := range entries {
			if strings.Contains(e.Name(), ".corrupt") && e.Type().IsRegular() {
				sizes[e.Name()] = weigh(e, &kept)
			}
		}
		for _, e := range entries {
			if one, ok := d.receipt(filepath.Join(dir, s.Name(), e.Name()), e, before); ok {
				one.Slot, one.KeptBytes = s.Name(), sizes[one.KeptAs]
				list = append(list, one)
			}
		}
	}
	return list, kept
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

// receipt reads a file that tells of an incident. It never changes.
func (d *disk) receipt(path string, e fs.DirEntry, before map[string]api.Incident) (i api.Incident, ok bool) {
	if !strings.HasPrefix(e.Name(), "incident-") || !strings.HasSuffix(e.Name(), ".json") || !e.Type().IsRegular() {
		return i, false
	}
	if i, ok = before[path]; !ok {
		if len(d.told) >= maxTold || readJSON(d.fs, path, &i) != nil {
			return i, false
		}
		i.Receipt = e.Name()
	}
	d.told[path] = i
	return i, true
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
// they do not: their disk may have failed.
func (r *report) incidents() []api.Incident {
	all, have := list(r.files.wounds), map[string]bool{}
	for i := range all {
		have[all[i].Slot+"/"+all[i].Receipt] = true
	}
	for _, i := range append(r.look.Details.Incidents, r.look.RAMDetails.Incidents...) {
		one := incidentOf(i)
		if !have[one.Slot+"/"+one.Receipt] {
			all = append(all, one)
		}
	}
	slices.SortStableFunc(all, func(a, b api.Incident) int { return cmp.Compare(a.Found, b.Found) })
	return all[max(0, len(all)-maxTold):]
}

func incidentOf(i sfpool.Incident) api.Incident {
	return api.Incident{
		Slot: i.Slot, What: i.What, File: i.File, KeptAs: i.KeptAs, Offset: i.Offset, Bytes: i.Bytes,
		FirstFSN: int64(i.FirstFSN), LastFSN: int64(i.LastFSN), Frames: i.Frames, Rows: i.Rows, RowsKnown: i.RowsKnown,
		Earliest: i.Earliest, Latest: i.Latest, Found: i.Found, WhatToDo: i.WhatToDo, Receipt: slot.IncidentFile(i.Incident),
	}
}
