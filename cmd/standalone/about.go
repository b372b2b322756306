// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"flag"
	"fmt"
	"runtime"
)

func versionCommand() command {
	return command{
		name: "version", summary: "print the version", about: "Prints the version of the program and of Go.",
		examples: []string{"questdb_sf version", "questdb_sf version -json"},
		prepare: func(*flag.FlagSet) func(context.Context, *call) error {
			return func(_ context.Context, k *call) error {
				if k.json {
					return k.writeJSON(map[string]string{"version": version, "go": runtime.Version(), "os": runtime.GOOS, "arch": runtime.GOARCH})
				}
				_, err := fmt.Fprintf(k.stdout, "questdb_sf %s (%s, %s/%s)\n", version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
				return err
			}
		},
	}
}

func checkConfigCommand() command {
	return command{
		name: "check-config", args: "FILE", summary: "check a configuration and touch nothing",
		about: `Reads FILE as the agent would and says what is wrong with its blocks of this output. What
else is in it, the agent checks. No file of the store is opened and no server is asked;
exit code 2 if something is wrong. Below it says what only an agent can do with FILE, and
not this program behind [[outputs.execd]].`,
		examples: []string{"questdb_sf check-config /etc/telegraf/questdb_sf.conf"},
		prepare: func(*flag.FlagSet) func(context.Context, *call) error {
			return func(_ context.Context, k *call) error {
				if len(k.args) != 1 {
					return misuse("name one FILE")
				}
				k.config = k.args[0]
				return k.checkConfig()
			}
		},
	}
}

func (k *call) checkConfig() error {
	blocks, err := loadBlocks(k.config)
	if err == nil {
		err = checkBlocks(blocks)
	}
	if err != nil {
		return misuse("configuration %s: %w", k.config, err)
	}
	remarks := agentOnly(k.config, blocks)
	if k.json {
		return k.writeJSON(map[string]any{"file": k.config, "valid": true, "blocks": len(blocks), "agent_only": remarks})
	}
	fmt.Fprintln(k.stdout, k.config, "is valid")
	for _, r := range remarks {
		fmt.Fprintln(k.stdout, "for an agent only, not behind [[outputs.execd]]:", r)
	}
	return nil
}

// checkBlocks says what is wrong with a block, or with two of them.
func checkBlocks(blocks []*block) error {
	first := map[storeName]int{}
	for i, b := range blocks {
		if err := b.Init(); err != nil && len(blocks) > 1 {
			return fmt.Errorf("block %d of %d: %w", i+1, len(blocks), err)
		} else if err != nil {
			return err
		}
		other, shared := first[b.store()]
		if !shared {
			first[b.store()] = i
		} else if !b.MayShare(blocks[other].Output) {
			return fmt.Errorf("blocks %d and %d have sf_dir %s and sender_id %s, and differ in other settings: "+
				"make them equal, or give one of them another sender_id", other+1, i+1, b.SFDir, b.SenderID)
		}
	}
	return nil
}

// agentOnly says why the program refuses a file, if it is to take metrics on stdin.
func agentOnly(file string, blocks []*block) []string {
	list := []string{}
	for i, b := range blocks {
		if filters(b.agent) {
			list = append(list, fmt.Sprintf("block %d has filters, or a name_override, name_prefix or name_suffix", i+1))
		}
	}
	if len(blocks) > 1 {
		list = append(list, fmt.Sprintf("there are %d blocks", len(blocks)))
	}
	if len(list) == 0 {
		if _, err := load(file); err != nil {
			list = append(list, err.Error())
		}
	}
	return list
}
