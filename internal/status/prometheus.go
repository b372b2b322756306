// SPDX-License-Identifier: MIT

package status

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/questdb-sf/questdb_sf/internal/latency"
)

// prefix is before every name in Prometheus.
const prefix = "questdb_sf_"

// writeMetrics writes the text format of Prometheus, 0.0.4: each name once, with the
// samples of all stores below it.
func writeMetrics(w io.Writer, reports []report) {
	for i := range Figures {
		f := &Figures[i]
		writeHead(w, f.Metric(), f.Kind.String(), f.Help)
		for r := range reports {
			writeSample(w, f.Metric(), reports[r].labels(), number(f.Name, f.Value(&reports[r].view)))
		}
	}
	writeHead(w, "durability_info", "gauge", "The durability in force, as a label.")
	for r := range reports {
		labels := append(reports[r].labels(), label{"durability", durabilities[durability(&reports[r].view)]})
		writeSample(w, "durability_info", labels, "1")
	}
	writeHead(w, "healthy", "gauge", "1 where /healthz has nothing to say against the store.")
	for r := range reports {
		writeSample(w, "healthy", reports[r].labels(), strconv.FormatInt(oneIf(len(reports[r].why) == 0), 10))
	}
	writeSlots(w, reports)
	writeHistograms(w, reports)
}

func writeSlots(w io.Writer, reports []report) {
	for i := range SlotFigures {
		f := &SlotFigures[i]
		name := "slot_" + f.Metric()
		writeHead(w, name, f.Kind.String(), f.Help)
		for r := range reports {
			slots := reports[r].view.Slots
			for s := range slots {
				writeSample(w, name, append(reports[r].labels(), label{"slot", slots[s].Name}), number(f.Name, f.Value(&slots[s])))
			}
		}
	}
}

func writeHistograms(w io.Writer, reports []report) {
	for i := range Histograms {
		h := &Histograms[i]
		name := inSeconds(h.Name)
		writeHead(w, name, "histogram", h.Help)
		for r := range reports {
			l, sum := h.Of(&reports[r].view), int64(0)
			labels := reports[r].labels()
			for b := range l.Buckets {
				le := "+Inf"
				if b < len(latency.Bounds) {
					le = seconds(int64(latency.Bounds[b]))
				}
				sum += l.Buckets[b]
				writeSample(w, name+"_bucket", append(labels, label{"le", le}), strconv.FormatInt(sum, 10))
			}
			writeSample(w, name+"_sum", labels, seconds(int64(l.Sum)))
			writeSample(w, name+"_count", labels, strconv.FormatInt(sum, 10))
		}
	}
}

// label is a name with its value.
type label struct{ name, value string }

// labels say which store it is.
func (r *report) labels() []label {
	return []label{{"sf_dir", r.look.Dir}, {"sender_id", r.look.SenderID}}
}

func writeHead(w io.Writer, name, kind, help string) {
	help = strings.NewReplacer(`\`, `\\`, "\n", `\n`).Replace(help)
	fmt.Fprintf(w, "# HELP %s%s %s\n# TYPE %s%s %s\n", prefix, name, help, prefix, name, kind)
}

var labelEscapes = strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`)

func writeSample(w io.Writer, name string, labels []label, value string) {
	list := make([]string, len(labels))
	for i, l := range labels {
		list[i] = l.name + `="` + labelEscapes.Replace(strings.ToValidUTF8(l.value, "\uFFFD")) + `"`
	}
	fmt.Fprintf(w, "%s%s{%s} %s\n", prefix, name, strings.Join(list, ","), value)
}

// number writes a figure in the unit of its name in Prometheus.
func number(name string, value int64) string {
	if strings.HasSuffix(name, "_ns") {
		return seconds(value)
	}
	return strconv.FormatInt(value, 10)
}

func seconds(nanos int64) string { return strconv.FormatFloat(float64(nanos)/1e9, 'g', -1, 64) }
