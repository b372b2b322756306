// SPDX-License-Identifier: MIT

package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"regexp"
	"sync"
	"time"

	"github.com/influxdata/telegraf"
	"github.com/influxdata/telegraf/config"
	"github.com/influxdata/telegraf/models"
	"github.com/influxdata/telegraf/plugins/aggregators"
	"github.com/influxdata/telegraf/plugins/processors"

	"github.com/questdb-sf/questdb_sf/plugins/outputs/questdb_sf"
)

// block is one [[outputs.questdb_sf]] of a configuration.
type block struct {
	*questdb_sf.Output
	every time.Duration // between two flushes of the agent
	agent *models.OutputConfig
}

// load reads the one block of the configuration of a binary that takes metrics on stdin.
// Nothing in the file may be for an agent to do: here is none.
func load(file string) (*questdb_sf.Output, error) {
	loading.Lock()
	defer loading.Unlock()
	blocks, err := readConfig(file, nil)
	switch {
	case err != nil:
		return nil, err
	case len(blocks) != 1:
		return nil, fmt.Errorf("it has %d [[outputs.questdb_sf]] blocks; exactly one is needed", len(blocks))
	}
	for option, s := range blocks[0].secrets() {
		if len(s.GetUnlinked()) > 0 {
			return nil, fmt.Errorf("%s stands in a secret store: %w", option, errNoStores)
		}
	}
	return blocks[0].Output, filterFree(blocks[0].agent)
}

// loadBlocks reads the blocks of the configuration of an agent, for commands that look
// at what it stores. What else is in the file, they do not mind.
func loadBlocks(file string) ([]*block, error) {
	loading.Lock()
	defer loading.Unlock()
	blocks, err := readConfig(file, func(c *config.Config, text []byte) {
		c.SecretStoreFilters = []string{"-"}
		standIn(text)
	})
	if err != nil {
		return nil, err
	}
	if len(blocks) == 0 {
		return nil, errors.New("it has no [[outputs.questdb_sf]] block: name the one file that has it")
	}
	for _, b := range blocks {
		for _, s := range b.secrets() {
			if err := withoutStore(s); err != nil {
				return nil, err
			}
		}
	}
	return blocks, nil
}

// loading guards what Telegraf keeps for the whole process while it reads a file: the
// plugins there are, and the secrets that wait for their store.
var loading sync.Mutex

// errNoStores says why a secret of a secret store cannot be read, and what to do.
var errNoStores = errors.New("only the agent has those: write a configuration for this program that takes it from an environment variable")

func (b *block) secrets() map[string]*config.Secret {
	return map[string]*config.Secret{"token": &b.Token, "username": &b.Username, "password": &b.Password}
}

// readConfig reads a file with Telegraf's own reader, so that durations, sizes,
// environment variables and the complaint about an unknown option are what users know.
// WARNING: the caller must hold loading.
func readConfig(file string, prepare func(*config.Config, []byte)) ([]*block, error) {
	if info, err := os.Stat(file); err == nil && info.IsDir() {
		return nil, errors.New("it is a directory: name the one file that has the [[outputs.questdb_sf]] block")
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	c := config.NewConfig()
	c.OutputFilters = []string{"questdb_sf"}
	c.InputFilters = []string{"-"} // inputs belong to the agent; none has this name
	if prepare != nil {
		prepare(c, text)
	}
	if err := c.LoadConfigData(text, file); err != nil {
		return nil, err
	}
	var blocks []*block
	for _, o := range c.Outputs {
		out, ok := o.Output.(*questdb_sf.Output)
		if !ok {
			return nil, errors.New("bug: another plugin is called questdb_sf")
		}
		blocks = append(blocks, &block{out, cmp.Or(o.Config.FlushInterval, time.Duration(c.Agent.FlushInterval)), o.Config})
	}
	return blocks, nil
}

// filterFree refuses what Telegraf would do before the output sees a metric: here
// is no Telegraf to do it.
func filterFree(c *models.OutputConfig) error {
	if filters(c) {
		return errors.New("filters and name_override, name_prefix, name_suffix work in the agent only: put them into the [[outputs.execd]] block")
	}
	return nil
}

func filters(c *models.OutputConfig) bool {
	return c.Filter.IsActive() || c.NameOverride != "" || c.NamePrefix != "" || c.NameSuffix != ""
}

// standIn has Telegraf's reader take whatever processors and aggregators a file has: it
// refuses what it does not know, and this binary has none. A name too many does no harm.
func standIn(text []byte) {
	for _, m := range pluginHead.FindAllSubmatch(text, -1) {
		switch name := string(m[2]); string(m[1]) {
		case "processors":
			if _, known := processors.Processors[name]; !known {
				processors.Add(name, func() telegraf.Processor { return new(stranger) })
			}
		case "aggregators":
			if _, known := aggregators.Aggregators[name]; !known {
				aggregators.Add(name, func() telegraf.Aggregator { return new(stranger) })
			}
		}
	}
}

var pluginHead = regexp.MustCompile(`(?m)^\s*\[\[?\s*(processors|aggregators)\s*\.\s*["']?([\w-]+)`)

// stranger stands for a plugin of the agent. It takes any options, and does nothing.
type stranger struct{}

func (*stranger) SampleConfig() string                          { return "" }
func (*stranger) UnmarshalTOML([]byte) error                    { return nil }
func (*stranger) Apply(in ...telegraf.Metric) []telegraf.Metric { return in }
func (*stranger) Add(telegraf.Metric)                           {}
func (*stranger) Push(telegraf.Accumulator)                     {}
func (*stranger) Reset()                                        {}

// withoutStore has a secret that stands in a secret store fail when it is read, which
// only commands do that send: secret stores belong to the agent.
func withoutStore(s *config.Secret) error {
	resolvers := map[string]telegraf.ResolveFunc{}
	for _, ref := range s.GetUnlinked() {
		linked := false
		resolvers[ref] = func() ([]byte, bool, error) {
			if !linked { // Link only asks whether it is to be read each time
				linked = true
				return nil, true, nil
			}
			return nil, true, errNoStores
		}
	}
	if len(resolvers) == 0 {
		return nil
	}
	return s.Link(resolvers)
}
