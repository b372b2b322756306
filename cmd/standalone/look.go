// SPDX-License-Identifier: MIT

package main

import (
	"fmt"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/look"
)

// sight returns the store that read-only commands look at.
func (k *call) sight() (look.Store, error) {
	cfg, err := k.pool()
	if err != nil {
		return look.Store{}, err
	}
	if cfg.Dir == "" {
		return look.Store{}, misuse("the configuration %s has no sf_dir: its rows are in the RAM of the agent only", k.config)
	}
	s := look.Store{Dir: cfg.Dir}
	if k.config == "" {
		return s, nil // then nothing is known of the agent
	}
	s.SenderID, s.Senders, s.DrainOrphans = cfg.SenderID, cfg.MaxSenders, cfg.DrainOrphans
	s.Target, s.Takes = cfg.Target(), cfg.Takes
	return s, nil
}

// bytesText writes a size for people.
func bytesText(n int64) string {
	const unit = 1024
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	v, at := float64(n)/unit, 0
	for v >= unit && at < len(sizeUnits)-1 {
		v /= unit
		at++
	}
	return fmt.Sprintf("%.1f %s", v, sizeUnits[at])
}

var sizeUnits = [...]string{"KiB", "MiB", "GiB", "TiB"}

// ageText writes how long something takes or is ago, for people.
func ageText(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second))
	switch {
	case d < 0:
		return "in the future"
	case d < time.Minute:
		return d.Round(time.Second).String()
	case d < 48*time.Hour:
		return d.Round(time.Minute).String()
	}
	return fmt.Sprintf("%dd%dh", int(d.Hours())/24, int(d.Hours())%24)
}
