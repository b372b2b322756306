// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"

	"github.com/questdb-sf/questdb_sf/internal/link"
	"github.com/questdb-sf/questdb_sf/testutil/qwpserver"
)

// wire counts what goes over the network for frames without and with the id.
func wire(ctx context.Context) error {
	srv, err := qwpserver.Start(qwpserver.Options{KeepRows: -1, Fallback: http.HandlerFunc(take)})
	if err != nil {
		return err
	}
	defer srv.Close()
	for _, c := range []struct {
		name string
		link.Transport
		link.Compression
	}{{"QWP", link.QWP, link.CompressionNone}, {"ILP", link.ILP, link.CompressionNone}, {"ILP with gzip", link.ILP, link.CompressionGzip}} {
		var perRow [2]float64
		for i := range perRow {
			conf := link.Config{URLs: []string{srv.URL()}, Transport: c.Transport, Compression: c.Compression}
			if perRow[i], err = wireBytes(ctx, conf, i == 1); err != nil {
				return err
			}
		}
		fmt.Printf("%s: %.1f bytes a row on the wire, with the id %.1f\n", c.name, perRow[0], perRow[1])
	}
	return nil
}

// take acks a write without a look at it.
func take(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	w.Header().Set("Server", "questDB/1.0")
	w.WriteHeader(http.StatusNoContent)
}

func wireBytes(ctx context.Context, c link.Config, id bool) (float64, error) {
	const frames = 20
	var sent atomic.Int64
	c.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, addr)
		return &counted{conn, &sent}, err
	}
	l, err := link.New(c)
	if err != nil {
		return 0, err
	}
	var list [][]byte
	for i := range frames {
		list = append(list, frame("cpu", i*perFrame))
	}
	err = send(ctx, l, list, func(string, string) (bool, error) { return id, nil })
	return float64(sent.Load()) / (frames * perFrame), err
}

// counted counts the bytes that are written.
type counted struct {
	net.Conn
	sent *atomic.Int64
}

func (c *counted) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.sent.Add(int64(n))
	return n, err
}
