// SPDX-License-Identifier: MIT

package questdb_sf_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/influxdata/telegraf"
	"github.com/influxdata/telegraf/config"
	"github.com/stretchr/testify/require"

	"github.com/questdb-sf/questdb_sf/plugins/outputs/questdb_sf"
	"github.com/questdb-sf/questdb_sf/sfpool"
	"github.com/questdb-sf/questdb_sf/testutil/qwpserver"
)

// dead is a block whose server is away and whose Close does not wait for it.
func dead(dir string, more ...string) string {
	return block("http://127.0.0.1:1", dir, append(more, `close_flush_timeout = "0s"`)...)
}

// connected returns a block that is connected; the test closes it.
func connected(t testing.TB, text string) *questdb_sf.Output {
	t.Helper()
	o := output(t, text)
	require.NoError(t, o.Init())
	require.NoError(t, o.Connect())
	t.Cleanup(func() { _ = o.Close() })
	return o
}

// grab takes the slot of a block as another process would.
func grab(t testing.TB, dir string) *sfpool.Pool {
	t.Helper()
	p, err := sfpool.Open(context.Background(), sfpool.Config{URLs: []string{"http://127.0.0.1:1"}, Dir: dir, CloseFlushTimeout: -1})
	require.NoError(t, err)
	return p
}

func TestBlocksWithEqualSettingsShareTheirSlots(t *testing.T) {
	srv := serve(t, qwpserver.Options{})
	dir := t.TempDir()
	text := block(srv.URL(), dir, `password = "x"`, `username = "y"`)
	one, two := connected(t, text), connected(t, text+"table_prefix = \"two_\"\n")
	require.NoError(t, one.Write([]telegraf.Metric{numbered(1)}))
	require.NoError(t, two.Write([]telegraf.Metric{numbered(2)}))
	require.Equal(t, one.Stats().Accepted, two.Stats().Accepted)
	require.Equal(t, []string{"default-0"}, slots(t, dir))
	require.NoError(t, one.Close())
	require.NoError(t, two.Write([]telegraf.Metric{numbered(3)}), "the other one goes on")
	waitRows(t, srv, 3)
	require.Len(t, srv.Rows("two_m"), 2)
}

// slots returns the names of the slots in a directory.
func slots(t testing.TB, dir string) (names []string) {
	t.Helper()
	list, err := filepath.Glob(filepath.Join(dir, "*", ".lock"))
	require.NoError(t, err)
	for _, lock := range list {
		names = append(names, filepath.Base(filepath.Dir(lock)))
	}
	return names
}

func TestBlocksThatContradictEachOtherFailConnectWithTheLineToAdd(t *testing.T) {
	dir := t.TempDir()
	one := connected(t, dead(dir, `username = "box"`, `password = "sesame"`))
	two := output(t, dead(dir, `username = "box"`, `password = "sesam"`, `transport = "ilp"`))
	require.NoError(t, two.Init())
	for range 2 { // Telegraf tries twice on one object
		err := two.Connect()
		require.ErrorContains(t, err, `sender_id = "default-2"`)
		require.ErrorContains(t, err, "password")
		require.ErrorContains(t, err, "transport")
		require.NotContains(t, err.Error(), "sesam")
		require.Equal(t, err, two.Write([]telegraf.Metric{numbered(1)}))
	}
	require.NoError(t, one.Close())
	require.NoError(t, two.Write([]telegraf.Metric{numbered(1)}), "a write after a failed connect tries again")
	require.NoError(t, two.Close())
	grab(t, dir).Close(context.Background())
}

func TestBlocksWithAnotherSenderIDDoNotContradictEachOther(t *testing.T) {
	dir := t.TempDir()
	connected(t, dead(dir))
	connected(t, dead(dir, `sender_id = "default-2"`, `transport = "ilp"`))
	require.Len(t, slots(t, dir), 2)
}

func TestASecretThatCannotBeReadStopsNothing(t *testing.T) {
	dir := t.TempDir()
	o := output(t, dead(dir, `username = "box"`))
	o.Password = config.NewSecret([]byte("@{store:key}"))
	require.NoError(t, o.Init())
	require.NoError(t, o.Connect())
	require.NoError(t, o.Write([]telegraf.Metric{numbered(1)}))
	two := output(t, dead(dir, `username = "box"`, `transport = "ilp"`))
	two.Password = config.NewSecret([]byte("@{store:key}"))
	said := listen(two)
	require.NoError(t, two.Init())
	require.NoError(t, two.Connect(), "it may yet turn out to be equal")
	require.Len(t, said.lines("read password from its secret store"), 1)
	require.Error(t, two.Write([]telegraf.Metric{numbered(1)}))
	require.NoError(t, two.Close())
	require.NoError(t, o.Close())
}

func TestAReloadHandsTheStoreOver(t *testing.T) {
	srv := serve(t, qwpserver.Options{})
	srv.Stop()
	dir := t.TempDir()
	for n := range 3 {
		o := connected(t, block(srv.URL(), dir, `close_flush_timeout = "0s"`, `lock_timeout = "1ms"`))
		require.NoError(t, o.Write([]telegraf.Metric{numbered(n)}))
		require.Equal(t, int64(n+1), o.Stats().Pending)
		require.NoError(t, o.Close())
		require.NoError(t, grab(t, dir).Close(context.Background()), "Close lets go of the slots")
	}
	require.NoError(t, srv.Restart())
	connected(t, block(srv.URL(), dir))
	waitRows(t, srv, 3)
}

func TestAHeldStoreKeepsMetricsInTelegrafUntilItIsFree(t *testing.T) {
	dir := t.TempDir()
	owner := grab(t, dir)
	o := output(t, dead(dir, `lock_timeout = "1ms"`))
	said := listen(o)
	ro := running(t, o, "memory")
	ro.AddMetric(numbered(1))
	for range 3 {
		require.ErrorContains(t, ro.Write(), fmt.Sprintf("pid=%d", os.Getpid()))
	}
	require.Equal(t, 1, ro.BufferLength())
	require.Len(t, said.lines("cannot be opened"), 1)
	require.NoError(t, owner.Close(context.Background()))
	require.Eventually(t, func() bool { return ro.Write() == nil }, waitLong, pollOften)
	require.Zero(t, ro.BufferLength())
	require.Equal(t, int64(1), o.Stats().Pending)
}

func TestAnUnusableDirectoryIsRAMOrAnError(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	srv := serve(t, qwpserver.Options{})
	ram := connected(t, block(srv.URL(), filepath.Join(file, "sf")))
	require.NoError(t, ram.Write([]telegraf.Metric{numbered(1)}))
	require.True(t, ram.Stats().RAM)
	waitRows(t, srv, 1)
	wait := connected(t, block(srv.URL(), filepath.Join(file, "sf"), `sf_unavailable = "wait"`, `sender_id = "b"`))
	require.ErrorContains(t, wait.Write([]telegraf.Metric{numbered(1)}), file)
}

func TestCloseWithoutConnectAndTwiceIsQuiet(t *testing.T) {
	o := questdb_sf.New()
	require.NoError(t, o.Close())
	o.URLs, o.SFDir = []string{"http://127.0.0.1:1"}, t.TempDir()
	require.NoError(t, o.Init())
	require.NoError(t, o.Close())
	require.NoError(t, o.Connect())
	require.NoError(t, o.Close())
	require.NoError(t, o.Close())
	require.NoError(t, o.Connect(), "a plugin that was closed connects again")
	require.NoError(t, o.Close())
}

func TestATimestampColumnThatQuestDBWillNotUseIsSaidOnce(t *testing.T) {
	for option, times := range map[string]int{`table_create = "server"`: 1, `table_create = "sql"`: 0, `exactly_once = true`: 0} {
		o := output(t, dead(t.TempDir(), `timestamp_column = "ts"`, option))
		said := listen(o)
		require.NoError(t, o.Init())
		require.Empty(t, said.lines(""))
		require.NoError(t, o.Connect())
		require.NoError(t, o.Close())
		require.Len(t, said.lines("timestamp_column"), times)
	}
}
