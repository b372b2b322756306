// SPDX-License-Identifier: MIT

package status

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/questdb-sf/questdb_sf/internal/slot"
	"github.com/questdb-sf/questdb_sf/internal/status/api"
	"github.com/questdb-sf/questdb_sf/sfpool"
)

// leaves writes receipts of incidents that were found at a time.
func leaves(t testing.TB, dir, name string, n int, found time.Time) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Join(dir, name), 0o750))
	for i := range n {
		file := filepath.Join(dir, name, fmt.Sprintf("incident-sf-%d-01234567.json", i))
		require.NoError(t, os.WriteFile(file, []byte(`{"what": "its header is damaged", "found": "`+found.Format(time.RFC3339)+`"}`), 0o600))
		require.NoError(t, os.Chtimes(file, found, found))
	}
}

func TestTheNewestIncidentsAreShownAndTheOthersCounted(t *testing.T) {
	dir, now := t.TempDir(), time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	leaves(t, dir, "default-0", maxTold+6, now.Add(-time.Hour))
	leaves(t, dir, "default-1", 1, now)
	f, w := newFake(dir), newWatch()
	document := func() api.Store {
		r := w.lookAtAll([]*Source{source(f, Block{})})
		return r.document()
	}
	d := document()
	require.Len(t, d.Incidents, maxTold)
	require.Equal(t, "default-1", d.Incidents[maxTold-1].Slot)
	require.Equal(t, int64(7), d.MoreIncidents)
	require.Contains(t, plain(drawn(t, &api.Document{Stores: []api.Store{d}})), "7 more are told in the files incident-*.json of the slots")

	// One of those that were not read is known to the pool, which is no reason to count it twice.
	known := sfpool.Incident{Slot: "default-0"}
	known.What, known.File, known.Found = "its header is damaged", "sf-0.sfa", now.Format(time.RFC3339)
	name := slot.IncidentFile(known.Incident)
	leaves(t, dir, "old", 1, now.Add(-2*time.Hour))
	require.NoError(t, os.Rename(filepath.Join(dir, "old", "incident-sf-0-01234567.json"), filepath.Join(dir, "default-0", name)))
	f.state.Details.Incidents = []sfpool.Incident{known}
	w.disk.at = time.Time{} // the next look is due
	d = document()
	require.Equal(t, name, d.Incidents[maxTold-1].Receipt)
	require.Len(t, d.Incidents, maxTold)
	require.Equal(t, int64(8), d.MoreIncidents, "of 72")
}
