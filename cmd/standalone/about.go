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
		about:    "Reads FILE as the agent would and says what is wrong with it. No file of the store is\nopened and no server is asked; exit code 2 if something is wrong.",
		examples: []string{"questdb_sf check-config /etc/telegraf/questdb_sf.conf"},
		prepare: func(*flag.FlagSet) func(context.Context, *call) error {
			return func(_ context.Context, k *call) error {
				if len(k.args) != 1 {
					return misuse("name one FILE")
				}
				k.config = k.args[0]
				if _, err := k.pool(); err != nil {
					return err
				}
				if k.json {
					return k.writeJSON(map[string]any{"file": k.config, "valid": true})
				}
				_, err := fmt.Fprintln(k.stdout, k.config, "is valid")
				return err
			}
		},
	}
}
