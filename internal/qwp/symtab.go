// SPDX-License-Identifier: MIT

package qwp

import "hash/maphash"

// symtab numbers strings in the order they come. Their text is kept as it stands
// in a dictionary section, so that any run of ids can be sent by one copy. It
// holds no pointers per string, and once grown it allocates nothing. The zero
// value is ready.
type symtab struct {
	seed  maphash.Seed
	text  []byte   // varint length and bytes of each string
	at    []uint32 // where in text each string begins
	hash  []uint32
	slots []uint32 // open addressing, linear probing: id + 1, 0 is free
}

const minSlots = 64

func (s *symtab) len() int { return len(s.at) }

// intern returns the id of a string, a new one if it has none.
func (s *symtab) intern(text []byte) (id int, isNew bool) {
	if 4*(len(s.at)+1) > 3*len(s.slots) {
		s.grow()
	}
	h := uint32(maphash.Bytes(s.seed, text))
	i := s.first(h)
	for ; s.slots[i] != 0; i = s.after(i) {
		id := int(s.slots[i] - 1)
		if s.hash[id] == h && string(textAt(s.text, s.at[id])) == string(text) {
			return id, false
		}
	}
	s.slots[i] = uint32(len(s.at) + 1)
	s.at = append(s.at, uint32(len(s.text)))
	s.hash = append(s.hash, h)
	s.text = append(appendUvarint(s.text, len(text)), text...)
	return len(s.at) - 1, true
}

func (s *symtab) first(hash uint32) int { return int(hash) & (len(s.slots) - 1) }

func (s *symtab) after(i int) int { return (i + 1) & (len(s.slots) - 1) }

func (s *symtab) grow() {
	if s.slots == nil {
		s.seed = maphash.MakeSeed()
	}
	size := max(minSlots, 2*len(s.slots))
	if size <= cap(s.slots) {
		s.slots = s.slots[:size]
		clear(s.slots)
	} else {
		s.slots = make([]uint32, size)
	}
	for id, h := range s.hash {
		i := s.first(h)
		for s.slots[i] != 0 {
			i = s.after(i)
		}
		s.slots[i] = uint32(id + 1)
	}
}

// truncate forgets the strings from id n on. Going backwards it frees only slots
// that no older string was moved along by, so no chain breaks.
func (s *symtab) truncate(n int) {
	if n == len(s.at) {
		return
	}
	for id := len(s.at) - 1; id >= n; id-- {
		i := s.first(s.hash[id])
		for s.slots[i] != uint32(id+1) {
			i = s.after(i)
		}
		s.slots[i] = 0
	}
	s.text = s.text[:s.at[n]]
	s.at, s.hash = s.at[:n], s.hash[:n]
}

// reset forgets everything and keeps the memory. A table much too large shrinks,
// so that one wide frame does not make each later reset dear.
func (s *symtab) reset() {
	if size := len(s.slots); size > 16*(len(s.at)+minSlots) {
		s.slots = s.slots[:size/2]
	}
	clear(s.slots)
	s.text, s.at, s.hash = s.text[:0], s.at[:0], s.hash[:0]
}

// from returns the dictionary text of the strings from id n on, which must exist.
func (s *symtab) from(n int) []byte { return s.text[s.at[n]:] }
