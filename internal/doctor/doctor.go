// SPDX-License-Identifier: MIT

// Package doctor looks at what a store depends on, its disk, its clock, its servers
// and their tables, and says of each whether it will do, and what to do if not. From
// that it derives what a configuration should say, with the reason of each line.
//
// It writes one scratch file into the directory of the store, which it removes, and
// sends each server a write of no rows: that is what proves credentials. It takes no
// lock of a slot and may run beside an agent. No secret is in what it says.
package doctor

import (
	"context"
	"fmt"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/link"
	"github.com/questdb-sf/questdb_sf/internal/mounts"
	"github.com/questdb-sf/questdb_sf/internal/tables"
	"github.com/questdb-sf/questdb_sf/internal/vfs"
)

// Verdict says how bad a finding is.
type Verdict string

// The verdicts. A Warning costs something or will; with a Failure rows do not arrive, or
// are not safe.
const (
	OK      Verdict = "ok"
	Warning Verdict = "warn"
	Failure Verdict = "fail"
)

// Finding is what was found about one thing.
type Finding struct {
	Check   string  `json:"check"`
	Subject string  `json:"subject,omitempty"` // a directory, a server, a table
	Verdict Verdict `json:"verdict"`
	Found   string  `json:"found"`
	Remedy  string  `json:"remedy,omitempty"` // what to do; empty with OK
}

// Report is what an examination has found.
type Report struct {
	Findings []Finding `json:"findings"`
	Advice   []Advice  `json:"recommended"`
}

// Failed says whether there is a failure.
func (r *Report) Failed() bool { return r.Count(Failure) > 0 }

// Count returns how many findings have a verdict.
func (r *Report) Count(v Verdict) (n int) {
	for _, f := range r.Findings {
		if f.Verdict == v {
			n++
		}
	}
	return n
}

// Patient is a store and what it is configured with.
type Patient struct {
	FS     vfs.FS
	Mounts mounts.Tables
	Dir    string
	// Cap returns what the segments may occupy once Dir is there, Keep what is to be left
	// free of a filesystem of so many bytes.
	Cap  func() (int64, error)
	Keep func(total int64) int64
	// Segments is how many bytes of segments the store always may have.
	Segments int64

	Link link.Config
	// CAFile and CertFile are tls_ca and tls_cert; empty where there is none.
	CAFile, CertFile string

	ExactlyOnce bool
	// Create is who creates missing tables, TimestampColumn the designated one of theirs.
	Create          tables.Create
	TimestampColumn string
	// Tables are those that rows go to for certain; MoreTables says why there are more,
	// and is empty if there are none. TablePrefix, if set, tells what else may be of ours.
	Tables      []string
	MoreTables  string
	TablePrefix string
	// Durability is the present sf_durability; empty where that is not known.
	Durability string

	FlushInterval, IdleTimeout, AppendDeadline time.Duration
	// Rate is how many bytes of frames are expected a second; 0 is for what the segments
	// tell. Outage is how long a server may be away.
	Rate   float64
	Outage time.Duration

	// Now is the clock of this box, Tick one that nobody sets. Default time.Now.
	Now, Tick func() time.Time
	// Kind tells what filesystem a directory is on. Default: it is asked for.
	Kind func(dir string) (string, error)
}

// examination is one under way, with what later checks and the advice go by.
type examination struct {
	*Patient
	Report
	disk    diskFacts
	servers []serverFacts
}

// Examine looks at everything. It does not fail: what cannot be looked at is a finding.
func Examine(ctx context.Context, p Patient) Report {
	if p.Now == nil {
		p.Now = time.Now
	}
	if p.Tick == nil {
		p.Tick = time.Now
	}
	if p.Kind == nil {
		p.Kind = kindOf
	}
	x := &examination{Patient: &p, Report: Report{Advice: []Advice{}}}
	x.examineDisk()
	x.examineClock()
	if x.MoreTables != "" {
		x.add("tables", x.Dir, Warning, "name the others with -tables", "%s: %d tables are looked at", x.MoreTables, len(x.Tables))
	}
	if len(p.Link.URLs) == 0 {
		x.add("servers", "", OK, "", "none was named, so that none was looked at")
	}
	for _, url := range p.Link.URLs {
		x.examineServer(ctx, url)
	}
	x.advise()
	return x.Report
}

func (x *examination) add(check, subject string, v Verdict, remedy, format string, args ...any) {
	if v == OK {
		remedy = ""
	}
	x.Findings = append(x.Findings, Finding{check, subject, v, fmt.Sprintf(format, args...), remedy})
}

// examineClock judges the clock by itself; the servers are asked for theirs later.
func (x *examination) examineClock() {
	now := x.Now().UTC()
	if now.Year() < clockSet {
		x.add("clock", "", Failure, "set the clock, by NTP for example: rows get the time of this box, and times before time_min are set aside",
			"it reads %s: it was never set", now.Format(time.RFC3339))
		return
	}
	x.add("clock", "", OK, "", "it reads %s", now.Format(time.RFC3339))
}

// clockSet is the first year that a clock may read which was set.
const clockSet = 2020
