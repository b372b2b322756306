// SPDX-License-Identifier: MIT

package mapping

import (
	"encoding/binary"
	"fmt"
	"math"
	"text/template"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/qwp"
)

// Template makes the name of a table from a metric. It is made by ParseTable and
// may be shared.
type Template struct {
	text  string
	tmpl  *template.Template
	plain bool // it makes the name of the measurement
	// tags are those that the name depends on; with any set, on anything else too.
	tags []string
	any  bool
}

// DefaultTable is the text of the Template that makes the name of the measurement.
const DefaultTable = "{{ .Name }}"

// ParseTable reads the option table_template: a template of text/template that
// sees a metric as Telegraf shows it to templates, by {{ .Name }},
// {{ .Tag "key" }}, {{ .Field "key" }} and {{ .Time }}. A tag or field that the
// metric does not have is empty; the time is in UTC.
func ParseTable(text string) (*Template, error) {
	tmpl, err := template.New("").Parse(text)
	t := &Template{text: text, tmpl: tmpl}
	if err == nil {
		err = t.inspect()
	}
	if err != nil {
		return nil, fmt.Errorf("table_template %q: %w", text, err)
	}
	return t, nil
}

// table returns the table of the metric. With an error it is the table that the
// measurement would have.
func (m *Mapper) table() (*tableName, error) {
	n, err := m.chooseTable()
	if n.why != "" {
		m.renamed(saidKey{n.clean, n.raw, saidTable}, n.clean, n.why, "")
	}
	if m.opts.TableTag != "" && m.tableTag == "" {
		m.counts.Untagged++
		m.note(n.clean, saidUntagged)
	}
	return n, err
}

func (m *Mapper) chooseTable() (*tableName, error) {
	switch {
	case m.tableTag != "":
		return m.names.table(m.tableTag), nil
	case m.opts.Table != nil:
		return m.templated(m.opts.Table)
	case m.measurement == "":
		return m.names.table(""), m.fail("the metric has no name; give it one with name_override")
	}
	return m.names.table(m.measurement), nil
}

// templated returns the name that the template makes, remembered where it
// depends on nothing but measurement and tags.
func (m *Mapper) templated(t *Template) (*tableName, error) {
	if t.any {
		return m.execute(t)
	}
	m.key = appendText(m.key[:0], m.measurement)
	for _, tag := range t.tags {
		m.key = appendText(m.key, m.tagText(tag))
	}
	if n, ok := m.names.made[string(m.key)]; ok {
		return n, nil
	}
	n, err := m.execute(t)
	if err == nil {
		m.names.keepMade(m.key, n)
	}
	return n, err
}

func appendText[T string | []byte](dst []byte, s T) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

func (m *Mapper) execute(t *Template) (*tableName, error) {
	m.name.Reset()
	err := t.tmpl.Execute(&m.name, &m.view)
	if err == nil && m.name.Len() > 0 {
		return m.names.tableBytes(m.name.Bytes()), nil
	}
	reason := fmt.Sprintf("table_template %q makes an empty name of it", t.text)
	if err != nil {
		reason = fmt.Sprintf("table_template %q fails: %v", t.text, err)
	}
	return m.names.table(m.measurement), m.fail(reason)
}

// tagText returns the value of a tag, nil without it.
func (m *Mapper) tagText(key string) []byte {
	for i := range m.tags {
		if m.tags[i].name == key {
			return m.tags[i].text
		}
	}
	return nil
}

// metricView is what a template sees of the metric.
type metricView struct{ m *Mapper }

// Name returns the name of the measurement.
func (v *metricView) Name() string { return v.m.measurement }

// Tag returns the value of a tag, empty without it.
func (v *metricView) Tag(key string) string { return string(v.m.tagText(key)) }

// Time returns the time of the metric in UTC.
func (v *metricView) Time() time.Time { return v.m.time.UTC() }

// Field returns the value of a field as it will be stored, empty without it.
func (v *metricView) Field(key string) any {
	for i := range v.m.fields {
		if f := &v.m.fields[i]; f.name == key {
			return f.value()
		}
	}
	return ""
}

func (c *input) value() any {
	switch c.kind {
	case qwp.TypeLong:
		return int64(c.num)
	case qwp.TypeDouble:
		return math.Float64frombits(c.num)
	case qwp.TypeBoolean:
		return c.num != 0
	}
	return string(c.text)
}
