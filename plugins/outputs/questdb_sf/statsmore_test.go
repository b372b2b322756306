// SPDX-License-Identifier: MIT

package questdb_sf_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/influxdata/telegraf"
	"github.com/influxdata/telegraf/metric"
	"github.com/stretchr/testify/require"
)

func TestLettersDamageVerdictsAndOutagesAreShown(t *testing.T) {
	dir := t.TempDir()
	learned := `[{"host":"db:9000","table":"cpu","column":"usage","type":"DOUBLE","to":"usage__double","words":"cast error"}]`
	require.NoError(t, os.WriteFile(filepath.Join(dir, "default.verdicts.json"), []byte(learned), 0o600))
	o := output(t, dead(dir))
	ro := running(t, o, "memory")
	batch := append(series(10), metric.New("m", nil, map[string]interface{}{"v": 1}, time.Unix(12, 0)))
	require.NoError(t, ro.Output.Write(batch))
	require.Eventually(t, func() bool { return !o.Stats().Slots[0].OutageSince.IsZero() }, waitLong, pollOften)
	require.NoError(t, ro.Output.Write(series(1)))
	require.Positive(t, stat(t, "outage_ns"))
	require.Positive(t, stat(t, "dead_letter_bytes"))
	for field, want := range map[string]int64{
		"dead_letters_final": 1, "dead_letters_refused": 0, "dead_letters_removed": 0, "types_refused": 1, "tables_barred": 0,
		"incidents": 0, "quarantine_removed": 0,
	} {
		require.Equal(t, want, stat(t, field), field)
	}
	require.NoError(t, o.Close())

	flipInSlot(t, filepath.Join(dir, "default-0"))
	o = output(t, dead(dir))
	running(t, o, "memory")
	require.Equal(t, int64(1), stat(t, "incidents"))
	require.Equal(t, int64(1), stat(t, "types_refused"), "kept across a restart")
}

// flipInSlot damages the first frame of a slot.
func flipInSlot(t *testing.T, dir string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.sfa"))
	require.NoError(t, err)
	for _, name := range files {
		data, err := os.ReadFile(name)
		require.NoError(t, err)
		if at := strings.Index(string(data), "QWP"); at > 0 {
			data[at+20] ^= 1
			require.NoError(t, os.WriteFile(name, data, 0o600))
			return
		}
	}
	t.Fatal("no frame found")
}

func TestEveryFigureStandsInTheReadme(t *testing.T) {
	text, err := os.ReadFile("README.md")
	require.NoError(t, err)
	_, told, _ := strings.Cut(string(text), "## Metrics")
	told, _, _ = strings.Cut(told, "## Troubleshooting")
	o := output(t, dead(t.TempDir()))
	ro := running(t, o, "memory")
	require.NoError(t, ro.Output.Write([]telegraf.Metric{numbered(1)}))
	names := shown(t, "")
	require.NotEmpty(t, names)
	for name := range names {
		require.Regexp(t, `\b`+name+`\b`, told)
	}
	t.Logf("%d figures", len(names))
}
