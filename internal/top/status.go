// SPDX-License-Identifier: MIT

package top

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/status/api"
)

// Status reads what a running agent tells at its status_address.
type Status struct {
	URL string
	// Store is the sf_dir to show where the agent has several; "" shows all as one.
	Store string
}

// maxStatus bounds what is read of an answer, statusTimeout how long it is waited for.
const (
	maxStatus     = 8 << 20
	statusTimeout = 5 * time.Second
)

// StatusURL completes what somebody typed: 8090 and host:8090 are enough.
func StatusURL(typed string) (string, error) {
	if !strings.Contains(typed, "://") {
		if !strings.Contains(typed, ":") {
			typed = "127.0.0.1:" + typed
		} else if strings.HasPrefix(typed, ":") {
			typed = "127.0.0.1" + typed
		}
		typed = "http://" + typed
	}
	u, err := url.Parse(typed)
	if err != nil || u.Hostname() == "" || strings.HasSuffix(u.Host, ":") || u.Scheme != "http" && u.Scheme != "https" {
		return "", errors.New("this is no address of a status page: write it as http://127.0.0.1:8090")
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = "/api/status"
	}
	return u.String(), nil
}

// Read asks once.
func (s *Status) Read(ctx context.Context) (Reading, error) {
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL, nil)
	if err != nil {
		return Reading{}, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return Reading{}, fmt.Errorf("ask the agent: %w; does it run, with status_address?", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxStatus))
	if err != nil {
		return Reading{}, fmt.Errorf("ask the agent at %s: %w", s.URL, err)
	}
	var d api.Document
	if err := json.Unmarshal(body, &d); err != nil || resp.StatusCode != http.StatusOK || d.Now.IsZero() {
		return Reading{}, fmt.Errorf("%s is no status of an agent (HTTP %d): give the address of status_address", s.URL, resp.StatusCode)
	}
	if d.Version > api.Version {
		return Reading{}, fmt.Errorf("the agent at %s tells its status in version %d, and this program knows %d: use one as new as the agent",
			s.URL, d.Version, api.Version)
	}
	return s.reading(&d)
}

func (s *Status) reading(d *api.Document) (Reading, error) {
	r := Reading{At: d.Now, Remote: true, Slots: []Slot{}, Agents: []int{}}
	var names []string
	for i := range d.Stores {
		one := &d.Stores[i]
		if s.Store == "" || one.Dir == s.Store {
			names = append(names, one.Dir)
			r.add(one)
		}
	}
	if len(names) == 0 && s.Store != "" {
		return r, fmt.Errorf("the agent at %s has no store %s", s.URL, s.Store)
	}
	r.Name = strings.Join(names, " ")
	return r, nil
}

func (r *Reading) add(d *api.Store) {
	r.StoreBytes += d.Figures["store_bytes"]
	r.MaxBytes += d.Figures["store_max_bytes"]
	r.LetterBytes += d.Figures["dead_letter_bytes"]
	if full := time.Duration(d.Figures["time_to_full_ns"]); full > 0 && (r.ToFull == 0 || full < r.ToFull) {
		r.ToFull = full
	}
	r.ToEmpty = max(r.ToEmpty, time.Duration(d.Figures["time_to_empty_ns"]))
	r.Trouble = append(r.Trouble, d.Why...)
	for i := range d.Slots {
		one := &d.Slots[i]
		l := &one.Ledger
		slot := Slot{
			Name: one.Name, State: one.State, Accepted: l.Accepted, Pending: l.Pending, Acked: l.Acked, Dead: l.DeadLettered,
			Lost: l.Evicted + l.Quarantined + l.Unknown, PendingBytes: one.Figures["bytes_pending"],
		}
		if one.InRAM {
			slot.Name += " (RAM)"
		}
		if one.Oldest != nil {
			slot.Oldest = *one.Oldest
		}
		if one.LastError != "" && l.Pending > 0 && len(d.Why) == 0 {
			r.Trouble = append(r.Trouble, one.Name+": "+one.LastError)
		}
		r.Slots = append(r.Slots, slot)
	}
	for _, o := range d.Orphans {
		slot := Slot{Name: o.Name, State: o.State, Accepted: o.Pending, Pending: o.Pending, PendingBytes: o.Bytes}
		if o.Oldest != nil && o.Pending > 0 {
			slot.Oldest = *o.Oldest
		}
		if o.Error != "" {
			r.Trouble = append(r.Trouble, fmt.Sprintf("slot %s cannot be read: %s", o.Name, o.Error))
		}
		r.Partial = r.Partial || o.Partial
		r.Slots = append(r.Slots, slot)
	}
}
