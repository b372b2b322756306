// SPDX-License-Identifier: MIT

// Package questdb_sf is the Telegraf output that stores metrics on disk first
// and forwards them to QuestDB from there.
package questdb_sf

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/influxdata/telegraf"
	"github.com/influxdata/telegraf/plugins/outputs"

	"github.com/questdb-sf/questdb_sf/internal/intake"
	"github.com/questdb-sf/questdb_sf/internal/mapping"
	"github.com/questdb-sf/questdb_sf/sfpool"
)

//go:embed sample.conf
var sampleConfig string

// Output is one [[outputs.questdb_sf]] block.
type Output struct {
	Options
	Log telegraf.Logger `toml:"-"`
	// Logger replaces Log where there is no Telegraf around.
	Logger *slog.Logger `toml:"-"`

	pool   *sfpool.Pool
	intake *intake.Intake
}

// SampleConfig returns the documented options.
func (*Output) SampleConfig() string { return sampleConfig }

// Init checks the options. It touches neither disk nor network, because it also
// runs for a configuration check beside a live agent.
func (o *Output) Init() error {
	if o.Logger == nil {
		o.Logger = newLogger(o.Log)
	}
	cfg, err := o.poolConfig()
	if err != nil {
		return err
	}
	return cfg.Validate()
}

// Connect opens the store. QuestDB need not be there. A directory that is held
// or unusable now is tried again at each Write, so that Telegraf and its other
// outputs go on.
func (o *Output) Connect() error {
	if err := o.openWithin(time.Duration(o.LockTimeout)); err != nil {
		o.Logger.Error("the store cannot be opened yet; metrics stay in Telegraf and each write tries again",
			"error", err)
	}
	return nil
}

// openWithin opens the store and waits for a lock that a previous process may
// still hold.
func (o *Output) openWithin(wait time.Duration) error {
	deadline := time.Now().Add(wait)
	for {
		_, err := o.Intake()
		var locked *sfpool.LockedError
		if !errors.As(err, &locked) || !time.Now().Before(deadline) {
			return err
		}
		time.Sleep(lockPoll)
	}
}

// lockPoll is how often a held lock is tried.
const lockPoll = 200 * time.Millisecond

// Intake returns the way into the store, which it opens if necessary.
func (o *Output) Intake() (*intake.Intake, error) {
	if o.intake != nil {
		return o.intake, nil
	}
	cfg, err := o.poolConfig()
	if err != nil {
		return nil, err
	}
	pool, err := sfpool.Open(context.Background(), cfg)
	if err != nil {
		return nil, err
	}
	o.pool = pool
	o.intake = intake.New(pool, mapping.Options{Nanos: o.TimestampPrecision == "ns"}, o.Logger)
	return o.intake, nil
}

// Write stores a batch. It returns nil when all of it is in the store at the
// configured durability; with an error nothing is, and Telegraf keeps the batch.
func (o *Output) Write(metrics []telegraf.Metric) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("bug: panic in Write: %v\n%s", p, debug.Stack())
		}
	}()
	in, err := o.Intake()
	if err != nil {
		return err
	}
	in.Reset()
	for _, m := range metrics {
		o.add(in, m)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(o.SFAppendDeadline))
	defer cancel()
	return in.Commit(ctx)
}

func (o *Output) add(in *intake.Intake, m telegraf.Metric) {
	in.Start(m.Name())
	for _, t := range m.TagList() {
		in.Tag(t.Key, t.Value)
	}
	for _, f := range m.FieldList() {
		switch v := f.Value.(type) {
		case float64:
			in.Float(f.Key, v)
		case int64:
			in.Int(f.Key, v)
		case uint64:
			in.Uint(f.Key, v)
		case string:
			in.String(f.Key, v)
		case bool:
			in.Bool(f.Key, v)
		}
		// Telegraf converts everything else on the way in; a nil is no value.
	}
	in.End(m.Time())
}

// Stats returns what the store holds; the zero Stats while it is not open.
func (o *Output) Stats() sfpool.Stats {
	if o.pool == nil {
		return sfpool.Stats{}
	}
	return o.pool.Stats()
}

// Close sends what it can within close_flush_timeout, keeps the rest on disk and
// releases the slots. It may be called without Connect, and twice.
func (o *Output) Close() error {
	if o.pool == nil {
		return nil
	}
	pool := o.pool
	o.intake.SayRejected()
	o.pool, o.intake = nil, nil
	return pool.Close(context.Background())
}

func init() {
	outputs.Add("questdb_sf", func() telegraf.Output { return New() })
}
