// SPDX-License-Identifier: MIT

package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/questdb-sf/questdb_sf/internal/mounts"
)

// storeName names a store, which blocks may share.
type storeName struct{ dir, senderID string }

func (b *block) store() storeName {
	if b.SFDir == "" { // Init refuses it
		return storeName{"", b.SenderID}
	}
	return storeName{mounts.Resolved(b.SFDir), b.SenderID}
}

// block returns the block of the configuration whose store is meant: the only one there
// is, or that of -sf-dir and -sender-id.
func (k *call) block() (*block, error) {
	all, err := loadBlocks(k.config)
	if err != nil {
		return nil, misuse("configuration %s: %w", k.config, err)
	}
	var found []*block
	for _, b := range all {
		meant := (k.dir == "" || mounts.Resolved(k.dir) == b.store().dir) && (k.sender == "" || k.sender == b.SenderID)
		if meant && !slices.ContainsFunc(found, func(o *block) bool { return o.store() == b.store() }) {
			found = append(found, b)
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) == 0:
		return nil, misuse("configuration %s: it has no [[outputs.questdb_sf]] block with %s; its stores are %s", k.config, k.typed(), storeList(all))
	case slices.ContainsFunc(found, func(b *block) bool { return b.store().dir != found[0].store().dir }):
		return nil, misuse("configuration %s: it has %d stores, %s: choose one with -sf-dir DIR", k.config, len(found), storeList(found))
	}
	return nil, misuse("configuration %s: it has %d stores in one directory, %s: choose one with -sender-id ID", k.config, len(found), storeList(found))
}

// typed is what was typed to choose a block.
func (k *call) typed() string {
	var list []string
	if k.dir != "" {
		list = append(list, "sf_dir "+k.dir)
	}
	if k.sender != "" {
		list = append(list, "sender_id "+k.sender)
	}
	return strings.Join(list, " and ")
}

// storeList names the stores of blocks, each once.
func storeList(blocks []*block) string {
	var list []string
	for _, b := range blocks {
		one := fmt.Sprintf("%s (sender_id %s)", b.SFDir, b.SenderID)
		if !filepath.IsAbs(b.SFDir) { // the agent may run elsewhere
			one = fmt.Sprintf("%q, from here %s (sender_id %s)", b.SFDir, b.store().dir, b.SenderID)
		}
		if !slices.Contains(list, one) {
			list = append(list, one)
		}
	}
	return strings.Join(list, ", ")
}
