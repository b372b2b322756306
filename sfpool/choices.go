// SPDX-License-Identifier: MIT

package sfpool

import (
	"github.com/questdb-sf/questdb_sf/internal/link"
	"github.com/questdb-sf/questdb_sf/internal/sender"
	"github.com/questdb-sf/questdb_sf/internal/slot"
)

// Transport says how rows travel.
type Transport = link.Transport

// The transports. Auto asks each server for QWP and falls back to ILP.
const (
	Auto = link.Auto
	QWP  = link.QWP
	ILP  = link.ILP
)

// Durability says what a Flush that returned nil survives.
type Durability = slot.Durability

// The durabilities.
const (
	// DurabilityFlush syncs before Flush returns: a power cut loses nothing.
	DurabilityFlush = slot.Flush
	// DurabilityPeriodic syncs in the background: a power cut loses at most
	// SyncInterval or 4 MiB, whichever is less.
	DurabilityPeriodic = slot.Periodic
	// DurabilityMemory never syncs: a crash of the process loses nothing, a
	// power cut what the kernel had not written.
	DurabilityMemory = slot.Memory
)

// ReplayOrder says what goes first when there is a backlog.
type ReplayOrder = sender.Order

// The orders. LiveFirst sends what is new at once, and leaves the backlog a quarter of
// what goes out at least.
const (
	LiveFirst   = sender.LiveFirst
	OldestFirst = sender.OldestFirst
)

// Auth holds the credentials of one connection. Token excludes the others.
type Auth = link.Auth

// Compression says how ILP requests are encoded.
type Compression = link.Compression

// The compressions. CompressionAuto is gzip except on loopback.
const (
	CompressionAuto = link.CompressionAuto
	CompressionGzip = link.CompressionGzip
	CompressionNone = link.CompressionNone
)
