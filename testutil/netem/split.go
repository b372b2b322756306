// SPDX-License-Identifier: MIT

package netem

import "io"

// writeSplit writes b in pieces of at most size bytes; 0 writes it whole.
func writeSplit(w io.Writer, b []byte, size int) error {
	if size <= 0 {
		size = max(1, len(b))
	}
	for len(b) > 0 {
		n := min(size, len(b))
		if _, err := w.Write(b[:n]); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}
