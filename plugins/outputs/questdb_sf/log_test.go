// SPDX-License-Identifier: MIT

package questdb_sf_test

import (
	"fmt"
	"testing"

	"github.com/influxdata/telegraf"
	"github.com/stretchr/testify/require"
)

// warnings is Telegraf's log, for warnings.
type warnings struct {
	telegraf.Logger
	said []string
}

func (w *warnings) Warn(args ...interface{}) { w.said = append(w.said, fmt.Sprint(args...)) }

// The statements that mend a table are copied out of the log.
func TestSQLIsLoggedAsItCanBePasted(t *testing.T) {
	o := output(t, dead(t.TempDir()))
	log := &warnings{}
	o.Log = log
	require.NoError(t, o.Init())
	o.Logger.With("host", "a").Warn("rows wait", "reason", `run ALTER TABLE "my cpu" DEDUP ENABLE`, "error", "a `b` \"c\"", "text", "two\nlines \"c\"", "none", "")
	require.Equal(t, []string{"rows wait host=a reason=`run ALTER TABLE \"my cpu\" DEDUP ENABLE` " +
		"error=\"a `b` \\\"c\\\"\" text=\"two\\nlines \\\"c\\\"\" none=\"\""}, log.said)
}
