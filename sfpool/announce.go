// SPDX-License-Identifier: MIT

package sfpool

import (
	"context"
	"fmt"
)

var promises = map[Durability]string{
	DurabilityFlush:  "rows are synced before they are accepted: a power cut loses none",
	DurabilityMemory: "rows are never synced: a killed process loses none, a power cut those of the last seconds",
}

func (p *Pool) announce(context.Context) error {
	p.sayOpen()
	p.mu.Lock()
	defer p.unlock()
	p.announced = true
	p.notes = append(p.notes, p.early...)
	p.early = nil
	return nil
}

func (p *Pool) sayOpen() {
	if p.cfg.inRAM() {
		p.cfg.Logger.Info("store open in RAM: the end of the process loses what is not acked", "slots", len(p.places),
			"ram_max_bytes", p.budget.Max())
		return
	}
	promise, ok := promises[p.cfg.Durability]
	if !ok {
		promise = fmt.Sprintf("rows are synced every %s or 4 MiB: a power cut loses at most that", p.cfg.SyncInterval)
	}
	p.findPace()
	st := p.Stats()
	args := []any{"sf_dir", p.cfg.Dir, "sender_id", p.cfg.SenderID, "slots", len(p.places),
		"durability", p.cfg.Durability.String(), "promise", promise,
		"sf_max_total_bytes", st.MaxBytes, "sf_full", p.cfg.Full.String(), "sf_min_free_space", p.cfg.MinFreeSpace.String(),
		"pending_rows_in_open_slots", st.Pending, "slots_to_recover", p.toRecover()}
	if st.Lasts > 0 {
		args = append(args, "lasts_hours", inHours(st.Lasts))
	}
	p.cfg.Logger.Info("store open", args...)
}

// toRecover counts the slots of ours that are not open and hold frames, or might.
func (p *Pool) toRecover() (n int) {
	if p.cfg.inRAM() {
		return 0
	}
	for _, g := range p.glimpses() {
		if has, err := holdsSegments(p.cfg.FS, p.path(g.name)); g.member == nil && (has || err != nil) {
			n++
		}
	}
	return n
}
