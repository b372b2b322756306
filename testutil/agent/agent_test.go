// SPDX-License-Identifier: MIT

package agent_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/questdb-sf/questdb_sf/testutil/agent"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const config = `
[agent]
  interval = "1s"
  flush_interval = "1s"
  omit_hostname = true
[[inputs.file]]
  files = [%q]
  data_format = "influx"
[[inputs.internal]]
[[outputs.file]]
  files = ["stdout", %q]
  namepass = ["probe", "internal_agent"]
`

// start runs an agent that copies metrics from one file to another.
func start(t testing.TB) (ctx context.Context, a *agent.Agent, out string) {
	t.Helper()
	if testing.Short() {
		t.Skip("builds Telegraf")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	t.Cleanup(cancel)
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in"), filepath.Join(dir, "out")
	if err := os.WriteFile(in, []byte(probe), 0o600); err != nil {
		t.Fatal(err)
	}
	a, err := agent.Start(ctx, fmt.Sprintf(config, in, out))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
	return ctx, a, out
}

const probe = "probe,host=a v=1i 1700000000000000000\n"

func TestAgentReloadsAndEndsInAnOrderlyWay(t *testing.T) {
	ctx, a, out := start(t)
	waitLog(ctx, t, a, "Loaded outputs: file\n")
	if err := a.SetConfig(fmt.Sprintf(config, os.DevNull, out) + "[[outputs.discard]]\n"); err != nil {
		t.Fatal(err)
	}
	if err := a.Hup(); err != nil {
		t.Fatal(err)
	}
	waitLog(ctx, t, a, "Loaded outputs: discard file\n")
	if err := a.Term(); err != nil {
		t.Fatal(err)
	}
	if err := a.Wait(ctx); err != nil {
		t.Fatal(err)
	}
}

func TestMetricsReachTheOutput(t *testing.T) {
	ctx, a, out := start(t)
	waitLog(ctx, t, a, probe)
	waitLog(ctx, t, a, "version="+agent.TelegrafVersion)
	if err := a.Term(); err != nil {
		t.Fatal(err)
	}
	if err := a.Wait(ctx); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(out)
	if err != nil || !strings.Contains(string(got), probe) {
		t.Fatalf("output is %q (%v)\n%s", got, err, a.Log())
	}
}

func TestWaitLogFailsWhenTheAgentEnds(t *testing.T) {
	ctx, a, _ := start(t)
	if err := a.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := a.WaitLog(ctx, "never said"); err == nil {
		t.Fatal("found what was never said")
	}
	if err := a.Wait(ctx); err == nil {
		t.Fatal("a killed agent ended well")
	}
}

func waitLog(ctx context.Context, t testing.TB, a *agent.Agent, text string) {
	t.Helper()
	if err := a.WaitLog(ctx, text); err != nil {
		t.Fatal(err)
	}
}
