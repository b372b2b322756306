// SPDX-License-Identifier: MIT

package status

import (
	"errors"
	"html"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/questdb-sf/questdb_sf/internal/deadletter"
	"github.com/questdb-sf/questdb_sf/internal/latency"
	"github.com/questdb-sf/questdb_sf/internal/status/api"
	"github.com/questdb-sf/questdb_sf/sfpool"
)

func drawn(t testing.TB, d *api.Document) string {
	t.Helper()
	p := page()
	text, err := p.draw(d)
	require.NoError(t, err)
	return string(text)
}

// plain is what is to be read of a page, without markup.
func plain(text string) string {
	text = regexp.MustCompile(`</?time[^>]*>`).ReplaceAllString(text, "") // it stands in a sentence
	text = regexp.MustCompile(`(?s)<(style|script)>.*?</(style|script)>|<[^>]*>`).ReplaceAllString(text, " ")
	return strings.Join(strings.Fields(html.UnescapeString(text)), " ")
}

// busyDocument is that of a store that has something of everything.
func busyDocument(t testing.TB, change func(*shop)) *api.Document {
	s := busy(t)
	if change != nil {
		change(s)
	}
	src := source(s.fake, Block{Dropped: 7})
	src.Version = "v1.2.3"
	s.w.sample([]*Source{src})
	time.Sleep(sampleEvery)
	return documentOf([]report{s.w.lookAtAll([]*Source{src})})
}

func TestThePageIsWholeAndItsPolicyLetsNothingElseRun(t *testing.T) {
	p, text := page(), drawn(t, &api.Document{})
	require.NotContains(t, text, "{{")
	require.NotRegexp(t, `(src|href)="?(https?:)?//|@import|url\(`, text)
	require.NotContains(t, pageJS, "innerHTML")
	require.NotContains(t, pageJS, "</script")
	require.NotContains(t, pageHTML+pageMain, "style=")
	require.NotRegexp(t, ` on[a-z]+=`, pageHTML+pageMain)
	require.Contains(t, p.policy, "default-src 'none'")
	require.Contains(t, p.policy, hashOf(pageJS))
	require.Contains(t, text, "<script>"+pageJS+"</script>")
	require.Contains(t, text, "<style>"+pageCSS+"</style>")
	for _, c := range cards {
		require.True(t, slices.ContainsFunc(Figures, func(f Figure[View]) bool { return f.Name == c[1] }), "%s is no figure", c[1])
	}
}

func TestThePageShowsEverythingWithoutAScript(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := busyDocument(t, nil)
		text := drawn(t, d)
		for name, value := range d.Stores[0].Figures {
			require.Contains(t, text, `data-figure="`+name+`">`+strconv.FormatInt(value, 10)+"<")
		}
		for _, c := range cards {
			require.Contains(t, text, `data-card="`+c[1]+`" data-value="`+strconv.FormatInt(d.Stores[0].Figures[c[1]], 10)+`"`)
		}
		words := plain(text)
		for _, want := range []string{
			"v1.2.3", "2000-01-01 00:00:30 UTC", "/sf (default)", "waiting",
			"default-0 live, not connected 50 rows pending the oldest for 30 s",                                    // the slot
			"old-0 other destination its rows belong to \"http://b:9000\" 0 6 B",                                   // the orphan
			"2 cpu cast error id as LONG refused",                                                                  // dead letters
			"questdb_sf dead-letter list -sf-dir /sf",                                                              //
			"2026-11-01 00:00:00 UTC default-0 its header is damaged sf-0.sfa sf-0.sfa.corrupt, 5 B 30 see repair", // the incident
			"What could not be read is kept in the slots, in 1 file(s) of 5 B",
			"mem permission denied db:9000", "cpu id LONG – cast error", "ack_latency_ns 1 mean 3 ms, 99 % within 5 ms",
			"60 min time to full",
		} {
			require.Contains(t, words, want)
		}
	})
}

func TestWhyNothingMovesIsTheFirstThingOneReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		well, stuck := newShop(t), busy(t)
		stuck.state.Dir = "/stuck"
		reports := []report{well.w.look([]*Source{source(well.fake, Block{})}), stuck.w.look([]*Source{source(stuck.fake, Block{})})}
		words := plain(drawn(t, documentOf(reports)))
		require.Regexp(t, `^questdb_sf questdb_sf as of \S+ \S+ UTC waiting 50 rows are pending; waiting for the server since 2000-01-01 00:00:00 UTC: `+
			`dial tcp: connection refused /stuck`, words, "before a store that is well")
		require.Contains(t, words, "healthy nothing is pending /sf (default)")
		require.Contains(t, words, "not in sight time to empty not in sight time to full", "0 is no time")
	})
}

const (
	evil      = `"><script>alert(1)</script><img src=x onerror='alert(2)'>{{.}}` + "\x00\xff\u202e"
	evilClean = "&lt;img src=x onerror="
)

func TestNothingFromADiskOrAServerIsMarkup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		empty := drawn(t, &api.Document{})
		text := drawn(t, busyDocument(t, func(s *shop) {
			s.state.Dir, s.state.SenderID = "/sf", evil
			s.stats.Slots[0].Name, s.stats.Slots[0].State, s.stats.Slots[0].Host = evil, evil, evil
			s.stats.Slots[0].Connected, s.stats.Slots[0].LastError = true, errors.New(evil)
			s.stats.Orphans = []sfpool.OrphanStats{{Name: evil, State: evil, Reason: evil}}
			s.state.Details.Barred = []sfpool.BarredTable{{Host: evil, Table: evil, Words: evil}}
			s.state.Details.Verdicts[0].Table, s.state.Details.Verdicts[0].Words, s.state.Details.Verdicts[0].To = evil, evil, evil
			i := sfpool.Incident{Slot: evil}
			i.What, i.File, i.KeptAs, i.Found, i.WhatToDo = evil, evil, evil, evil, evil
			s.state.Details.Incidents = []sfpool.Incident{i}
		}))
		require.Greater(t, strings.Count(text, evilClean), 15)
		require.Equal(t, strings.Count(empty, "<script"), strings.Count(text, "<script"))
		require.NotContains(t, text, "<img")
		require.NotContains(t, text, "\x00")
		require.NotRegexp(t, `<[^>]*\bonerror=`, regexp.MustCompile(`="[^"]*"`).ReplaceAllString(text, ""), "an attribute of its own")
	})
	synctest.Test(t, func(t *testing.T) {
		text := drawn(t, busyDocument(t, func(s *shop) {
			s.refuses(t, deadletter.Refused, `t<img src=x>`, evil, 1, "")
			s.keeps(t, "default-0/incident-evil-01234567.json", `{"what": "<script>alert(3)</script>", "found": "<b>"}`)
		}))
		require.Contains(t, text, "t&lt;img src=x&gt;")
		require.Contains(t, text, "&lt;script&gt;alert(3)")
		require.Contains(t, text, evilClean)
		require.NotContains(t, text, "<img")
	})
}

func TestPicturesHaveTheSameInWords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		text := drawn(t, busyDocument(t, nil))
		for _, svg := range regexp.MustCompile(`<svg[^>]*>`).FindAllString(text, -1) {
			require.Regexp(t, `role="img" aria-label="[^"]+"`, svg)
		}
		require.Contains(t, text, `aria-label="Backlog over the last hour: now 50 rows, at most 50 rows"`)
		require.Contains(t, text, `aria-label="1 segments, 1 of 4 frames acked"`)
		require.Contains(t, text, "<title>1 file(s) from frame 0: 40 rows, 1 of 4 frames acked, 900 B of 1000 B</title>")
		require.Equal(t, strings.Count(text, "<th "), strings.Count(text, "<th scope="))
		require.NotContains(t, text, "<th>")
		scrolls := regexp.MustCompile(`class="scroll" id="([^"]+)" tabindex="0" role="region" aria-label="[^"]`).FindAllStringSubmatch(text, -1)
		require.Len(t, scrolls, strings.Count(text, `class="scroll"`))
		for _, s := range scrolls {
			require.Equal(t, 1, strings.Count(text, `id="`+s[1]+`"`))
		}
		require.Contains(t, text, `<html lang="en">`)
	})
}

func TestALatencyBeyondAllBoundsIsNotSaidToBeWithinOne(t *testing.T) {
	var h latency.Histogram
	require.Equal(t, "–", latencyWords(new(latencyOf(h.Snapshot()))))
	for range 99 {
		h.Observe(3 * time.Millisecond)
	}
	h.Observe(time.Hour)
	require.Equal(t, "mean 36 s, 99 % within 5 ms", latencyWords(new(latencyOf(h.Snapshot()))))
	h.Observe(time.Hour)
	require.Equal(t, "mean 71 s, 2 of them over 60 s", latencyWords(new(latencyOf(h.Snapshot()))))
}

func TestTimesInATextAreTimes(t *testing.T) {
	words := func(text string) (all string) {
		for _, p := range piecesOf(text) {
			if all += p.Text; p.Time != nil {
				all += "<" + p.Time.Machine + "|" + p.Time.Words + ">"
			}
		}
		return all
	}
	for text, want := range map[string]string{
		"": "", "no time": "no time",
		"since 2026-11-01T01:00:00.5+01:00: refused": "since <2026-11-01T00:00:00Z|2026-11-01 00:00:00 UTC>: refused",
		"2026-11-01T00:00:00Z2026-11-01T00:00:00Z":   "<2026-11-01T00:00:00Z|2026-11-01 00:00:00 UTC><2026-11-01T00:00:00Z|2026-11-01 00:00:00 UTC>",
		"from 2026-13-01T00:00:00Z":                  "from 2026-13-01T00:00:00Z",
	} {
		require.Equal(t, want, words(text))
	}
	require.NotRegexp(t, `\d\d:\d\dZ`, plain(drawn(t, &api.Document{Stores: []api.Store{{Says: "since 2026-11-01T00:00:00Z"}}})))
}

func TestASlotIsDrawnAsItsSegmentsAre(t *testing.T) {
	require.Nil(t, pictureOf(nil))
	p := pictureOf([]api.Segment{{Frames: 4, Settled: 4, Used: 100, Size: 100}, {Frames: 4, Settled: 1, Used: 50, Size: 100}, {Size: 100}})
	require.Equal(t, 32.0, p.Cells[0].Acked)
	require.Zero(t, p.Cells[0].Pending)
	require.Equal(t, 4.0, p.Cells[1].Acked)
	require.Equal(t, 12.0, p.Cells[1].Pending)
	require.Zero(t, p.Cells[2].Acked+p.Cells[2].Pending)
	many := make([]api.Segment, 10*maxCells+1)
	for i := range many {
		many[i] = api.Segment{First: int64(i), Frames: 1, Rows: 1, Used: 1, Size: 1}
	}
	p = pictureOf(many)
	require.LessOrEqual(t, len(p.Cells), maxCells)
	require.Equal(t, "2401 segments, 0 of 2,401 frames acked", p.Alt)
}

func TestAChartIsAnHourWideAndEndsNow(t *testing.T) {
	now := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	rows := trace{class: "sent", of: func(s *api.Sample) int64 { return s.PendingRows }, in: whole}
	require.Empty(t, pathOf(nil, rows, 1))
	path := pathOf([]api.Sample{{At: now.Add(-2 * time.Hour)}, {At: now.Add(-30 * time.Minute), PendingRows: 5}, {At: now, PendingRows: 10}}, rows, 10)
	require.Equal(t, "M60.0 51.5 L120.0 4.0", path)
	rows.class = "area"
	require.Equal(t, "M120.0 100 L120.0 4.0 L120 100 Z", pathOf([]api.Sample{{At: now, PendingRows: 10}}, rows, 10))
}

func TestFiguresAreShownInTheirUnits(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", -1234567: "-1,234,567", -100: "-100"} {
		require.Equal(t, want, whole(n))
	}
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1536: "1.5 KiB", 300 << 20: "300 MiB", 5 << 40: "5.0 TiB", 5 << 50: "5120 TiB"} {
		require.Equal(t, want, size(n))
	}
	for d, want := range map[time.Duration]string{
		0: "–", 3 * time.Microsecond: "3 µs", 20 * time.Millisecond: "20 ms", 90 * time.Second: "90 s", 5 * time.Minute: "5 min",
		3 * time.Hour: "3.0 h", 60 * time.Hour: "2.5 d",
	} {
		require.Equal(t, want, span(d))
	}
}

// colours are the variables of a theme.
func colours(css string) map[string]string {
	all := map[string]string{}
	for _, m := range regexp.MustCompile(`--([a-z]+): (#[0-9a-f]+);`).FindAllStringSubmatch(css, -1) {
		all[m[1]] = m[2]
	}
	return all
}

// luminance is the relative one of WCAG 2.
func luminance(t testing.TB, colour string) (sum float64) {
	t.Helper()
	hex := strings.TrimPrefix(colour, "#")
	if len(hex) == 3 {
		hex = string([]byte{hex[0], hex[0], hex[1], hex[1], hex[2], hex[2]})
	}
	n, err := strconv.ParseUint(hex, 16, 32)
	require.NoError(t, err, colour)
	for i, weight := range []float64{0.2126, 0.7152, 0.0722} {
		c := float64(n>>(16-8*i)&0xff) / 255
		if c <= 0.04045 {
			sum += weight * c / 12.92
		} else {
			sum += weight * math.Pow((c+0.055)/1.055, 2.4)
		}
	}
	return sum
}

func TestColoursCanBeToldApartInBothThemes(t *testing.T) {
	light, dark, ok := strings.Cut(pageCSS, "@media (prefers-color-scheme: dark)")
	require.True(t, ok)
	dark, _, _ = strings.Cut(dark, "\n}\n")
	require.Equal(t, slices.Sorted(maps.Keys(colours(light))), slices.Sorted(maps.Keys(colours(dark))))
	for theme, c := range map[string]map[string]string{"light": colours(light), "dark": colours(dark)} {
		for pair, least := range map[string]float64{ // 4.5 for text, 3 for what is drawn
			"ink bg": 4.5, "dim bg": 4.5, "ink card": 4.5, "dim card": 4.5, "good card": 4.5, "wait card": 4.5, "bad card": 4.5, "bad bg": 4.5,
			"pending card": 3, "sent card": 3, "sent bg": 3, "pending acked": 3, "pending free": 3, "good free": 3, "good bg": 3, "wait bg": 3,
		} {
			a, b, _ := strings.Cut(pair, " ")
			x, y := luminance(t, c[a]), luminance(t, c[b])
			ratio := (max(x, y) + 0.05) / (min(x, y) + 0.05)
			t.Logf("%s: %s %.1f", theme, pair, ratio)
			require.GreaterOrEqual(t, ratio, least, "%s: %s on %s", theme, a, b)
		}
	}
}
