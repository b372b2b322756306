// SPDX-License-Identifier: MIT

package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/questdb-sf/questdb_sf/testutil/gen"
	"github.com/questdb-sf/questdb_sf/testutil/questdb"
	"github.com/questdb-sf/questdb_sf/testutil/qwpserver"
)

func TestRowsPassOverAQuestDBThatOnlyReads(t *testing.T) {
	t.Parallel() // it waits for QuestDB to start
	ctx := realParts(t)
	readOnly := startQuestDB(ctx, t, questdb.Options{Settings: map[string]string{"http.security.readonly": "true"}})
	primary := startQWP(t, qwpserver.Options{})
	set := gen.Set{Seed: 21}
	one := fmt.Sprintf("[%q]", readOnly.HTTP())
	both := fmt.Sprintf("[%q, %q]", readOnly.HTTP(), primary.URL())
	conf := strings.Replace(config(readOnly.HTTP(), t.TempDir(), stayUntilSent), one, both, 1)
	p := runExecd(ctx, t, conf, set.Lines(0, 1000))
	logged(t, p, "transport=ilp")
	logged(t, p, "transport=qwp")
	none(t, set.Check(readBackQWP(primary), 0, 1000), 0)
}
