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
	"github.com/influxdata/telegraf/selfstat"

	"github.com/questdb-sf/questdb_sf/internal/intake"
	"github.com/questdb-sf/questdb_sf/internal/status"
	"github.com/questdb-sf/questdb_sf/internal/store"
)

//go:embed sample.conf
var sampleConfig string

// Output is one [[outputs.questdb_sf]] block. Telegraf calls its methods one at a
// time.
type Output struct {
	Options
	Log telegraf.Logger `toml:"-"`
	// Logger replaces Log where there is no Telegraf around.
	Logger *slog.Logger `toml:"-"`
	// Version is told in rows of status; empty is that of the module.
	Version string `toml:"-"`
	// Statistics is set by Telegraf before Init; nil without it.
	Statistics *selfstat.Collector `toml:"-"`

	store    *store.Store // nil until connected
	intake   *intake.Intake
	full     *backpressure
	dropped  func() int64 // metrics by Telegraf's buffer since Connect; nil before
	stats    *statistics
	hide     func() // ends what status_address shows
	panicked bool   // a stack is in the log
}

// SampleConfig returns the documented options.
func (*Output) SampleConfig() string { return sampleConfig }

// Init checks the options. It touches neither disk nor network, because it also
// runs for a configuration check beside a live agent.
func (o *Output) Init() error {
	if o.Logger == nil {
		o.Logger = newLogger(o.Log)
	}
	if _, err := o.poolConfig(); err != nil {
		return err
	}
	_, err := o.mappingOptions()
	return err
}

// Connect opens the store. QuestDB need not be there, and a directory that is
// held or unusable now is tried again at each Write, so that Telegraf and its
// other outputs go on: the store says so itself. The error is a contradiction
// between two blocks; then nothing is held.
func (o *Output) Connect() error {
	o.sayTimestamp()
	err := o.share()
	if errors.As(err, new(*store.ConflictError)) {
		return err
	}
	if err != nil {
		o.Logger.Error("the store is not opened yet; metrics stay in Telegraf and each write tries again", "error", err)
		return nil
	}
	_ = o.Open(context.Background())
	return nil
}

// sayTimestamp tells what table_create = "server" makes of timestamp_column.
func (o *Output) sayTimestamp() {
	if o.TimestampColumn != "timestamp" && o.TableCreate == "server" && !o.ExactlyOnce {
		o.Logger.Warn(`QuestDB calls the designated timestamp "timestamp" in tables it creates itself; `+
			`for another name in new tables write table_create = "sql"`, "timestamp_column", o.TimestampColumn)
	}
}

// Open opens the store and waits up to lock_timeout, or until ctx ends, for a
// lock that another process holds. It may be called again after an error.
func (o *Output) Open(ctx context.Context) error {
	if err := o.share(); err != nil {
		return err
	}
	defer o.stats.renew()
	return o.store.Open(ctx)
}

// share takes part in the store of this block's sf_dir and sender_id.
func (o *Output) share() error {
	if o.store != nil {
		return nil
	}
	if o.dropped == nil { // also where the store comes later only: what is dropped until then is lost
		o.dropped = bufferOf(o.Statistics).since()
	}
	set, err := o.settings()
	if err != nil {
		return err
	}
	rows, err := o.mappingOptions()
	if err != nil {
		return err
	}
	if o.store, err = o.join(set); err != nil {
		return err
	}
	o.intake = intake.New(o.store, set.Pool.MaxSegmentBytes, rows, o.Logger)
	o.full = &backpressure{log: o.Logger, buffer: bufferOf(o.Statistics), policy: set.Pool.Full, told: o.store.Full}
	o.store.LostBefore(o.dropped)
	o.stats = &statistics{collector: o.Statistics}
	o.stats.look = look(o.store, o.block())
	o.stats.start()
	o.show()
	return nil
}

// show has the block shown at status_address, which Init has checked.
func (o *Output) show() {
	o.hide = func() {}
	if address, err := status.ParseAddress(o.StatusAddress); err == nil && address != "" {
		o.hide = status.Show(address, &status.Source{Store: o.store, Block: o.block(), Version: version(o.Version)}, o.Logger)
	}
}

// block returns what says what is true of this block alone.
func (o *Output) block() func() status.Block {
	full, stats := o.full, o.stats
	return func() status.Block {
		return status.Block{
			FullFor: full.total(), FullNow: full.isFull(), FullWhy: full.why(), Dropped: full.buffer.dropped(), Changes: stats.mapped.total(),
		}
	}
}

// join takes part in a store. Settings that differ from another block's only
// because a secret cannot be read now are no contradiction yet.
func (o *Output) join(set store.Settings) (*store.Store, error) {
	st, err := store.Share(set)
	if err == nil {
		return st, nil
	}
	if _, unread := o.auth(); unread != nil {
		return nil, fmt.Errorf("another block has this store, and whether this one may share it shows when a secret can be read: %w", unread)
	}
	return nil, err
}

// look returns what is true of a store and of one of its blocks.
func look(st *store.Store, block func() status.Block) func() status.View {
	return func() status.View {
		v := status.View{Stats: st.Stats(), Now: time.Now(), Block: block()}
		v.DiskTotal, v.DiskFree = st.Space()
		return v
	}
}

// Intake returns the way into the store, which it opens if necessary. The error
// says why nothing can be stored now.
func (o *Output) Intake() (*intake.Intake, error) {
	if err := o.share(); err != nil {
		return nil, err
	}
	_, release, err := o.store.Pool()
	if err != nil {
		return nil, err
	}
	release()
	return o.intake, nil
}

// Write stores a batch. It returns nil when all of it is in the store at the
// configured durability; with an error nothing is, and Telegraf keeps the batch.
// It waits for room for sf_append_deadline at most.
func (o *Output) Write(metrics []telegraf.Metric) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = o.panicError(p)
		}
	}()
	in, err := o.Intake()
	if err == nil {
		err = o.write(in, metrics)
		o.full.wrote(err, o.store.Stats)
	}
	if o.store != nil {
		o.stats.renew()
	}
	return err
}

func (o *Output) write(in *intake.Intake, metrics []telegraf.Metric) error {
	before := changesOf(in.Counts())
	in.Reset()
	in.Expect(len(metrics))
	for _, m := range metrics {
		add(in, m)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(o.SFAppendDeadline))
	defer cancel()
	if err := in.Commit(ctx); err != nil {
		return err
	}
	o.stats.mapped.stored(before, changesOf(in.Counts()))
	return nil
}

// panicError logs the stack of the first panic only: Telegraf tries the same
// batch again and again.
func (o *Output) panicError(p any) error {
	if !o.panicked {
		o.panicked = true
		o.Logger.Error("bug: panic in Write; the batch stays in Telegraf. Please report this", "panic", p, "stack", string(debug.Stack()))
	}
	return fmt.Errorf("bug: panic in Write: %v", p)
}

// add maps one metric. It keeps nothing of it but strings, which do not change.
func add(in *intake.Intake, m telegraf.Metric) {
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

// Stats returns what the store holds; the zero Stats while there is none.
func (o *Output) Stats() store.Stats {
	if o.store == nil {
		return store.Stats{}
	}
	return o.store.Stats()
}

// Close sends what it can within close_flush_timeout, keeps the rest on disk and
// releases the slots, unless another block shares them. It may be called without
// Connect, and twice.
func (o *Output) Close() error {
	if o.store == nil {
		return nil
	}
	o.hide()
	o.stats.close()
	o.full.close()
	o.intake.SayRejected()
	st := o.store
	o.store, o.intake, o.dropped = nil, nil, nil
	return st.Release(context.Background())
}

func init() {
	outputs.Add("questdb_sf", func() telegraf.Output { return New() })
}
