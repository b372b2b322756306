// SPDX-License-Identifier: MIT

package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/steward"
	"github.com/questdb-sf/questdb_sf/internal/vfs"
	"github.com/questdb-sf/questdb_sf/sfpool"
)

// store returns what a command works on that sends nothing.
func (k *call) store() (*steward.Store, sfpool.Config, error) {
	cfg, err := k.pool()
	if err != nil {
		return nil, cfg, err
	}
	fsys, err := vfs.Guard(vfs.OS, cfg.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, cfg, noStore(cfg.Dir)
	} else if err != nil {
		return nil, cfg, fmt.Errorf("look at sf_dir %s: %w", cfg.Dir, err)
	}
	inUse := func(slot string) error { return sfpool.InUse(fsys, cfg.Dir, slot) }
	return &steward.Store{FS: fsys, Dir: cfg.Dir, InUse: inUse, Now: time.Now}, cfg, nil
}

func noStore(dir string) error {
	return fmt.Errorf("there is no directory %s: nothing was stored there yet, or the store is elsewhere", dir)
}

// sending returns what a pool is opened with by a command that sends.
func (k *call) sending() (sfpool.Config, error) {
	if k.config == "" {
		return sfpool.Config{}, misuse("it sends, so it has to know where to: give -config FILE")
	}
	cfg, err := k.pool()
	if err != nil {
		return cfg, err
	}
	if _, err := cfg.Auth(); err != nil { // else each attempt would fail without a word
		return cfg, misuse("configuration %s: %w", k.config, err)
	}
	return cfg, nil
}

// isTerminal says whether somebody is looking.
func isTerminal(v any) bool {
	f, ok := v.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && f.Name() != os.DevNull
}

// confirm has somebody at a terminal type yes, or -yes been given.
func (k *call) confirm(given bool, question string) error {
	if given {
		return nil
	}
	if !isTerminal(k.stdin) {
		return misuse("nothing was changed: nobody is there to be asked; give -yes to do it")
	}
	return k.ask(question)
}

func (k *call) ask(question string) error {
	fmt.Fprint(k.stderr, question+" Type yes: ")
	answer, err := bufio.NewReader(k.stdin).ReadString('\n')
	if err != nil && err != io.EOF {
		return err
	}
	if strings.TrimSpace(answer) != "yes" {
		return fmt.Errorf("nothing was changed: the answer was not yes")
	}
	return nil
}

// span says from when to when rows are.
func span(from, to time.Time) string {
	if from.IsZero() {
		return "without a time"
	}
	return "from " + from.UTC().Format(time.RFC3339) + " to " + to.UTC().Format(time.RFC3339)
}

// counted says how many rows there are and from when.
func counted(c steward.Count) string {
	return fmt.Sprintf("%d rows in %d frames, %s", c.Rows, c.Frames, span(c.Earliest, c.Latest))
}
