// SPDX-License-Identifier: MIT

package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/influxdata/telegraf/config"
	"github.com/influxdata/telegraf/models"

	"github.com/questdb-sf/questdb_sf/plugins/outputs/questdb_sf"
)

// load reads the one [[outputs.questdb_sf]] block of a Telegraf configuration
// with Telegraf's own reader, so that durations, sizes, environment variables
// and the complaint about an unknown option are what users know.
func load(file string) (*questdb_sf.Output, error) {
	out, _, err := loadPaced(file)
	return out, err
}

// loadPaced is load, and returns how often the agent flushes the block.
func loadPaced(file string) (*questdb_sf.Output, time.Duration, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, 0, err
	}
	c := config.NewConfig()
	c.OutputFilters = []string{"questdb_sf"}
	c.InputFilters = []string{"-"} // inputs belong to the agent; none has this name
	if err := c.LoadConfigData(data, file); err != nil {
		return nil, 0, err
	}
	if err := c.LinkSecrets(); err != nil {
		return nil, 0, err
	}
	if len(c.Outputs) != 1 {
		return nil, 0, fmt.Errorf("it has %d [[outputs.questdb_sf]] blocks; exactly one is needed", len(c.Outputs))
	}
	out, ok := c.Outputs[0].Output.(*questdb_sf.Output)
	if !ok {
		return nil, 0, errors.New("bug: another plugin is called questdb_sf")
	}
	every := cmp.Or(c.Outputs[0].Config.FlushInterval, time.Duration(c.Agent.FlushInterval))
	return out, every, filterFree(c.Outputs[0].Config)
}

// filterFree refuses what Telegraf would do before the output sees a metric: here
// is no Telegraf to do it.
func filterFree(c *models.OutputConfig) error {
	if c.Filter.IsActive() || c.NameOverride != "" || c.NamePrefix != "" || c.NameSuffix != "" {
		return errors.New("filters and name_override, name_prefix, name_suffix work in the agent only: put them into the [[outputs.execd]] block")
	}
	return nil
}
