// SPDX-License-Identifier: MIT

package sfpool

import (
	"path/filepath"

	"github.com/questdb-sf/questdb_sf/internal/slot"
)

// onIncident returns what a slot calls when it finds something that cannot be read.
func (p *Pool) onIncident(name string) func(slot.Incident) {
	return func(i slot.Incident) {
		p.incidents.Add(1)
		p.noteSetAside()
		p.noteWound(name, i)
		file := i.File
		if file == "" {
			file = "(missing)"
		}
		p.cfg.Logger.Warn("damage in a slot: what cannot be read was set aside, all else is sent",
			"slot", name, "what", i.What, "file", filepath.Join(p.path(name), file), "first_fsn", int64(i.FirstFSN),
			"last_fsn", int64(i.LastFSN), "frames", i.Frames, "rows", i.Rows, "rows_known", i.RowsKnown,
			"kept_as", i.KeptAs, "receipt", slot.IncidentFile(i), "what_to_do", i.WhatToDo)
	}
}

// targetOf returns what .target of a slot says. One that is damaged says what this
// pool wants if it said so before, or if the slot is one of ours: or else a flipped
// bit would hold back the rows for ever.
func (p *Pool) targetOf(name string, ours bool) (string, error) {
	target, err := slot.TargetOf(p.cfg.FS, p.path(name))
	if err != nil || p.belongs(target, ours) {
		return target, err
	}
	damaged, wasWant, err := slot.TargetDamaged(p.cfg.FS, p.path(name), p.target())
	if err == nil && damaged && (wasWant || ours) {
		return p.target(), nil
	}
	return target, err
}
