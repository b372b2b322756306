// SPDX-License-Identifier: MIT

package questdb_sf_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Rows whose table nobody creates would wait for ever.
func TestWhereNobodyCreatesTablesRowsAboutTheStoreHaveToBeAskedFor(t *testing.T) {
	for text, want := range map[string]struct {
		events bool
		status time.Duration
	}{
		``:                       {true, 0},
		`table_create = "sql"`:   {true, 0},
		`status_rows = "1m"`:     {true, time.Minute},
		`table_create = "never"`: {false, 0},
		"table_create = \"never\"\nstatus_rows = \"30s\"": {true, 30 * time.Second},
	} {
		o := output(t, dead(t.TempDir(), text))
		o.Version = "v9"
		require.NoError(t, o.Init())
		tells, err := o.Tells()
		require.NoError(t, err)
		require.Equal(t, want.events, tells.Events, text)
		require.Equal(t, want.status, tells.StatusEvery, text)
		require.Equal(t, "v9", tells.Version)
	}
}
