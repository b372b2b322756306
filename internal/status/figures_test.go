// SPDX-License-Identifier: MIT

package status

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/questdb-sf/questdb_sf/internal/latency"
	"github.com/questdb-sf/questdb_sf/sfpool"
)

// family is a metric in the text format of Prometheus.
type family struct {
	kind    string
	samples map[string]float64 // by name and labels as they stand
	order   []string
}

var (
	sampleLine = regexp.MustCompile(`^([a-zA-Z_:][a-zA-Z0-9_:]*)\{((?:[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*",?)*)\} (\S+)$`)
	headLine   = regexp.MustCompile(`^# (HELP|TYPE) ([a-zA-Z_:][a-zA-Z0-9_:]*) (.+)$`)
)

// parseMetrics reads the text format as strictly as promtool: HELP and TYPE once and
// before the samples, families together, no sample twice.
func parseMetrics(t testing.TB, text string) map[string]*family {
	t.Helper()
	require.True(t, strings.HasSuffix(text, "\n"))
	all, name := map[string]*family{}, ""
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if m := headLine.FindStringSubmatch(line); m != nil {
			if m[1] == "HELP" {
				require.NotContains(t, all, m[2], "twice")
				name, all[m[2]] = m[2], &family{samples: map[string]float64{}}
			} else {
				require.Equal(t, name, m[2], "TYPE without HELP")
				require.Contains(t, []string{"counter", "gauge", "histogram"}, m[3])
				all[name].kind = m[3]
			}
			continue
		}
		m := sampleLine.FindStringSubmatch(line)
		require.NotNil(t, m, "%q", line)
		base := m[1]
		if all[name].kind == "histogram" {
			base = regexp.MustCompile(`_(bucket|sum|count)$`).ReplaceAllString(base, "")
		}
		require.Equal(t, name, base, "a sample outside its family")
		id := m[1] + "{" + m[2] + "}"
		require.NotContains(t, all[name].samples, id, "twice")
		v, err := strconv.ParseFloat(m[3], 64)
		require.NoError(t, err)
		all[name].samples[id], all[name].order = v, append(all[name].order, id)
	}
	return all
}

// lint is what promtool says of names.
func lint(t testing.TB, all map[string]*family) {
	for name, f := range all {
		require.Equal(t, f.kind == "counter", strings.HasSuffix(name, "_total"), name)
		require.NotRegexp(t, `_(ns|ms|us|nanoseconds|kb|mb)(_|$)`, name)
		require.Regexp(t, `^questdb_sf_[a-z0-9_]+$`, name)
		if f.kind == "histogram" {
			lintHistogram(t, name, f)
		}
	}
}

func lintHistogram(t testing.TB, name string, f *family) {
	last, bound := 0.0, -1.0
	for _, id := range f.order {
		le := regexp.MustCompile(`le="([^"]+)"`).FindStringSubmatch(id)
		switch {
		case le != nil:
			b, err := strconv.ParseFloat(strings.Replace(le[1], "+Inf", "Inf", 1), 64)
			require.NoError(t, err)
			require.Greater(t, b, bound)
			require.GreaterOrEqual(t, f.samples[id], last, "%s is not cumulative", name)
			last, bound = f.samples[id], b
		case strings.Contains(id, "_count"):
			require.True(t, math.IsInf(bound, 1))
			require.Equal(t, last, f.samples[id])
			last, bound = 0, -1
		}
	}
}

// exampleView has a value of its own in everything that is shown.
func exampleReport() report {
	f := newFake(`/sf "x"\y`)
	f.stats.Accepted, f.stats.Acked, f.stats.Pending, f.stats.Evicted = 1000, 700, 200, 100
	f.stats.Lasts, f.stats.TimeToFull, f.stats.TimeToEmpty = 3*time.Hour, 2*time.Hour, 90*time.Second
	f.stats.OldestPending = time.Now().Add(-time.Minute)
	var h latency.Histogram
	h.Observe(3 * time.Millisecond)
	h.Observe(time.Hour)
	f.stats.AckTimes = h.Snapshot()
	f.stats.Slots[0].Pending, f.stats.Slots[0].Connected = 200, true
	w := newWatch()
	return w.look([]*Source{source(f, Block{FullFor: time.Second, Dropped: 7, Changes: Changes{Altered: 3}})})
}

func metricsOf(t testing.TB, reports ...report) map[string]*family {
	t.Helper()
	var b bytes.Buffer
	writeMetrics(&b, reports)
	return parseMetrics(t, b.String())
}

func TestTheThreeFormsHaveTheSameFigures(t *testing.T) {
	r := exampleReport()
	all := metricsOf(t, r)
	lint(t, all)
	labels := `{sf_dir="/sf \"x\"\\y",sender_id="default"}`
	d := r.document()
	require.Len(t, d.Figures, len(Figures), "a name is there twice")
	for _, f := range Figures {
		value := f.Value(&r.view)
		require.Equal(t, value, d.Figures[f.Name], f.Name)
		metric := all[prefix+f.Metric()]
		require.NotNil(t, metric, f.Name)
		require.Equal(t, f.Kind.String(), metric.kind, f.Name)
		want := float64(value)
		if strings.HasSuffix(f.Name, "_ns") {
			want /= 1e9
		}
		require.InDelta(t, want, metric.samples[prefix+f.Metric()+labels], 1e-9, f.Name)
		delete(all, prefix+f.Metric())
	}
	for _, f := range SlotFigures {
		require.Equal(t, f.Value(&r.view.Slots[0]), d.Slots[0].Figures[f.Name])
		name := prefix + "slot_" + f.Metric()
		require.Len(t, all[name].samples, 1)
		delete(all, name)
	}
	for _, h := range Histograms {
		l := h.Of(&r.view)
		require.Equal(t, l.Count(), d.Latencies[h.Name].Count)
		require.Equal(t, float64(l.Count()), all[prefix+inSeconds(h.Name)].samples[prefix+inSeconds(h.Name)+"_count"+labels])
		delete(all, prefix+inSeconds(h.Name))
	}
	require.Len(t, all, 2, "durability_info and healthy, and nothing else that has no name in the table")
}

func TestNamesTellTheirUnits(t *testing.T) {
	for _, f := range append(append([]Figure[View]{}, Figures...), Summary()...) {
		require.Regexp(t, `^[a-z0-9_]+$`, f.Name)
		require.NotZero(t, f.Kind, f.Name)
		require.True(t, strings.HasSuffix(f.Help, "."), f.Name)
	}
	lasts := Figure[View]{Name: "store_full_ns", Kind: Counter}
	require.Equal(t, "store_full_seconds_total", lasts.Metric())
}

func TestTwoStoresStandInOneFamilyWithLabels(t *testing.T) {
	a, b := exampleReport(), exampleReport()
	b.look.SenderID = "second"
	all := metricsOf(t, a, b)
	require.Len(t, all["questdb_sf_rows_pending"].samples, 2)
	require.Len(t, all["questdb_sf_ack_latency_seconds"].samples, 2*(len(latency.Bounds)+3))
}

func TestALabelMayHoldAnything(t *testing.T) {
	r := exampleReport()
	r.look.SenderID = "a\n\"b\"\\\xff} 1"
	all := metricsOf(t, r)
	lint(t, all)
	require.Contains(t, all["questdb_sf_rows_acked_total"].order[0], `sender_id="a\n\"b\"\\`+"\uFFFD"+`} 1"`)
}

func TestDurabilityIsTheOneInForce(t *testing.T) {
	r := exampleReport()
	for d, want := range map[sfpool.Durability]string{
		sfpool.DurabilityFlush: "3 flush", sfpool.DurabilityPeriodic: "2 periodic", sfpool.DurabilityMemory: "1 memory",
	} {
		r.view.Durability = d
		require.Equal(t, want, fmt.Sprint(durability(&r.view), " ", durabilities[durability(&r.view)]))
	}
	r.view.RAM = true
	require.Equal(t, "ram", durabilities[durability(&r.view)])
}

func TestTheDocumentHasNoNulls(t *testing.T) {
	f := newFake("/sf")
	f.stats.Slots, f.state.Details.Segments = nil, nil
	b, err := json.Marshal(documentOf([]report{newWatch().look([]*Source{source(f, Block{})})}))
	require.NoError(t, err)
	require.NotContains(t, string(b), "null")
}
