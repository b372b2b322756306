// SPDX-License-Identifier: MIT

package store

// Took is what a pool tells when the server takes rows: tests in simulated time have
// no server.
func (s *Store) Took() { s.shared.heard(nil) }
