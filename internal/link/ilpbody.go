// SPDX-License-Identifier: MIT

package link

import (
	"bytes"
	"io"
	"sync"
	"sync/atomic"
)

// requestBody is what goes out with a request. open counts the readers that
// net/http has not closed yet.
type requestBody struct {
	bytes  []byte
	zipped bool
	open   *atomic.Int32
}

// reader returns a reader from the start; net/http asks for a second one when
// an idle connection turned out to be closed before anything was sent.
func (b *requestBody) reader() (io.ReadCloser, error) {
	b.open.Add(1)
	return &countedBody{Reader: bytes.NewReader(b.bytes), open: b.open}, nil
}

type countedBody struct {
	*bytes.Reader
	open *atomic.Int32
	once sync.Once
}

func (b *countedBody) Close() error {
	b.once.Do(func() { b.open.Add(-1) })
	return nil
}

// watchedBody ends its request when the answer is closed.
type watchedBody struct {
	io.ReadCloser
	done func()
}

func (b *watchedBody) Close() error {
	err := b.ReadCloser.Close()
	b.done()
	return err
}
