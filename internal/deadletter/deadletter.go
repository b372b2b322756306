// SPDX-License-Identifier: MIT

// Package deadletter keeps rows that can never be stored: as line protocol that
// line-protocol/v2 decodes, each behind a comment that says why, in a file that
// is synced before anybody relies on it.
//
//	# 2026-11-22T12:00:00Z table "cpu": its time … is not between 1970 and 9999
//	cpu,host=a usage=1.5 1795348800000000000
//
// Such a line can be fed back: mapping it again changes nothing.
package deadletter

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/influxdata/line-protocol/v2/lineprotocol"
	"github.com/questdb-sf/questdb_sf/internal/qwp"
	"github.com/questdb-sf/questdb_sf/internal/vfs"
)

// AppendLetter appends a row and the reason why it stays here to dst. A row that
// line protocol cannot express is written into the comment.
func AppendLetter(dst []byte, now time.Time, row *qwp.Row, reason string) []byte {
	dst = fmt.Appendf(dst, "# %s table %s: %s\n", now.UTC().Format(time.RFC3339),
		strconv.Quote(row.Table), oneLine(reason))
	line, err := encode(row)
	if err != nil {
		return fmt.Appendf(dst, "# not line protocol (%s): %s\n", oneLine(err.Error()), describe(row))
	}
	return append(dst, line...)
}

// oneLine escapes line breaks: a comment ends with its line.
func oneLine(s string) string {
	return strings.NewReplacer("\n", `\n`, "\r", `\r`).Replace(s)
}

func encode(row *qwp.Row) ([]byte, error) {
	at := timeOf(row)
	if at.IsZero() && row.TimeType != 0 {
		return nil, errors.New("its time is the year 1") // a line without time would be replayed as now
	}
	var e lineprotocol.Encoder
	e.StartLine(row.Table)
	tags, fields := split(row)
	for _, c := range tags {
		e.AddTag(c.Name, string(c.Text))
	}
	for _, c := range fields {
		v, err := value(c)
		if err != nil {
			return nil, err
		}
		e.AddField(c.Name, v)
	}
	e.EndLine(at)
	return e.Bytes(), e.Err()
}

// split parts the cells into tags, which the encoder wants sorted, and fields.
func split(row *qwp.Row) (tags, fields []qwp.Cell) {
	for _, c := range row.Cells {
		if c.Type == qwp.TypeSymbol {
			tags = append(tags, c)
		} else {
			fields = append(fields, c)
		}
	}
	slices.SortFunc(tags, func(a, b qwp.Cell) int { return cmp.Compare(a.Name, b.Name) })
	return tags, fields
}

func value(c qwp.Cell) (lineprotocol.Value, error) {
	var v any
	switch c.Type {
	case qwp.TypeLong:
		v = c.Int()
	case qwp.TypeDouble:
		v = c.Float()
	case qwp.TypeBoolean:
		v = c.Bool()
	case qwp.TypeVarchar:
		v = string(c.Text)
	default:
		return lineprotocol.Value{}, fmt.Errorf("column %q is a %s", c.Name, c.Type)
	}
	lv, ok := lineprotocol.NewValue(v)
	if !ok {
		return lv, fmt.Errorf("column %q holds %v", c.Name, v)
	}
	return lv, nil
}

func timeOf(row *qwp.Row) time.Time {
	switch row.TimeType {
	case qwp.TypeTimestamp:
		return time.UnixMicro(row.Time)
	case qwp.TypeTimestampNanos:
		return time.Unix(0, row.Time)
	}
	return time.Time{}
}

func describe(row *qwp.Row) string {
	var b strings.Builder
	for i := range row.Cells {
		c := &row.Cells[i]
		fmt.Fprintf(&b, "%q=%s(%q,%d) ", c.Name, c.Type, c.Text, c.Int())
	}
	fmt.Fprintf(&b, "time=%d", row.Time)
	return b.String()
}

// File is an append-only file of dead letters. It is created by the first
// Append and safe for concurrent use.
type File struct {
	disk vfs.FS
	path string

	// mu guards what follows. Appends are rare, so the sync runs under it.
	mu     sync.Mutex
	f      vfs.File
	end    int64
	closed bool
}

// New returns the file at path without touching the disk.
func New(disk vfs.FS, path string) *File { return &File{disk: disk, path: path} }

// Path returns where the letters are.
func (d *File) Path() string { return d.path }

// Append writes letters behind those already there and returns when the device
// has them. After an error the file ends where it ended before.
func (d *File) Append(letters []byte) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.open(); err != nil {
		return fmt.Errorf("open dead-letter file %s: %w", d.path, err)
	}
	_, err := d.f.WriteAt(letters, d.end)
	if err == nil {
		err = d.f.Sync()
	}
	if err != nil {
		_ = d.f.Truncate(d.end) // best effort: the next append overwrites it anyway
		return fmt.Errorf("append to dead-letter file %s: %w", d.path, err)
	}
	d.end += int64(len(letters))
	return nil
}

func (d *File) open() error {
	if d.closed {
		return fs.ErrClosed
	}
	if d.f != nil {
		return nil
	}
	f, err := d.disk.OpenFile(d.path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	end, err := f.Size()
	if err == nil {
		err = d.disk.SyncDir(filepath.Dir(d.path))
	}
	if err != nil {
		_ = f.Close()
		return err
	}
	d.f, d.end = f, end
	return nil
}

// Close closes the file for good: the next owner of the directory appends to it.
func (d *File) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	if d.f == nil {
		return nil
	}
	f := d.f
	d.f = nil
	return f.Close()
}
