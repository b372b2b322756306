// SPDX-License-Identifier: MIT

package fleet

import (
	"cmp"
	"time"

	"github.com/questdb-sf/questdb_sf/sfpool"
)

// Status is how a store is at one moment, disk and RAM together.
type Status struct {
	Now, Started time.Time // by the clock on the wall
	// Every is the time to the next one.
	Every   time.Duration
	Version string
	// PendingRows and PendingBytes wait, the oldest of them for OldestAge.
	PendingRows, PendingBytes int64
	OldestAge                 time.Duration
	// Appended and Acked are bytes since the start, from which the rates follow.
	Appended, Acked int64
	// Lost rows, Incidents of damage count since Started; DeadLetters are in their files.
	Lost, Incidents, DeadLetters int64
	StoreBytes, MaxBytes         int64
	TimeToFull                   time.Duration // 0 is unknown
	// DiskFree is in bytes; -1 is unknown.
	DiskFree int64
	Server   sfpool.ServerStats
}

// rates returns the bytes a second since an earlier status.
func (u *Status) rates(last *Status) (in, out float64) {
	passed := u.Now.Sub(last.Now).Seconds() // of a clock that nobody sets
	if passed <= 0 {
		return 0, 0
	}
	return float64(u.Appended-last.Appended) / passed, float64(u.Acked-last.Acked) / passed
}

// never is the end of a certificate that is not there.
var never = time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)

// Row adds the row to a batch. The rates are those since last. Each row has all
// columns, whatever is known: QuestDB makes a column when the first value comes, and
// what asks for one that is not there yet fails.
func (u *Status) Row(b *sfpool.Batch, s Source, last *Status) error {
	in, out := u.rates(last)
	full, cert := int64(-1), never
	if u.TimeToFull > 0 {
		full = seconds(u.TimeToFull)
	}
	if !u.Server.CertNotAfter.IsZero() {
		cert = u.Server.CertNotAfter
	}
	return s.end(s.begin(b, StatusTable).
		Symbol("version", cmp.Or(u.Version, "unknown")).
		TimestampColumn("started", u.Started).
		Int64Column("every_s", seconds(u.Every)).
		Int64Column("pending_rows", u.PendingRows).
		Int64Column("pending_bytes", u.PendingBytes).
		Int64Column("oldest_age_s", seconds(u.OldestAge)).
		Float64Column("in_bytes_s", in).
		Float64Column("out_bytes_s", out).
		Int64Column("lost", u.Lost).
		Int64Column("incidents", u.Incidents).
		Int64Column("dead_letters", u.DeadLetters).
		Int64Column("store_bytes", u.StoreBytes).
		Int64Column("store_max_bytes", u.MaxBytes).
		Int64Column("time_to_full_s", full).
		Int64Column("disk_free_bytes", u.DiskFree).
		Int64Column("clock_ahead_s", seconds(u.Server.ClockAhead)).
		TimestampColumn("cert_not_after", cert), u.Now)
}
