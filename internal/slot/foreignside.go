// SPDX-License-Identifier: MIT

package slot

import (
	"bytes"
	"errors"
	"hash/crc32"
	"io/fs"
	"path/filepath"
)

const (
	manifestName   = "sf-manifest.bin"
	dualSize       = 8192 // two records of 64 bytes at 0 and 4096
	dualSizeBefore = 128  // of a build of the Java client: at 0 and 64
	dualRecord     = 64
	dualVersion    = 1
)

var manifestMagic = []byte("SFM1")

// dual is what a side file of G3 says, .ack-watermark or sf-manifest.bin: the
// record with the larger generation, of two that are written in turn. Numbers
// are little-endian.
//
//	 0  "AKW1" or "SFM1", u32 version 1, i64 generation, from 1 on
//	16  i64 FSN of the last acked frame, or of the first that must be there
//	24  0, or i64 FSN of the first frame of the segment that is appended to
//	60  u32 CRC-32C of the 60 bytes before
//
// A record belongs to the first place if its generation is even.
type dual struct {
	size          int64 // of the file; 0 when it is absent
	generation    int64 // 0: it has no record
	first, second FSN   // at 16 and at 24
}

func (d dual) valid() bool { return d.generation > 0 }

// readDual reads a side file. A file of another size has no record.
func readDual(o Options, name string, magic []byte, lowest FSN) (dual, []byte, error) {
	path := filepath.Join(o.Dir, name)
	info, err := o.FS.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return dual{}, nil, nil
	} else if err != nil {
		return dual{}, nil, err
	}
	b, err := readSmall(o.FS, path, dualSize)
	if err != nil {
		return dual{}, nil, err
	}
	d := dual{size: info.Size()}
	if step := d.step(); step > 0 && len(b) == int(d.size) {
		d.pick(b[:dualRecord], magic, lowest)
		d.pick(b[step:step+dualRecord], magic, lowest)
	}
	return d, b, nil
}

// step is how far the records are apart; 0 if the file has no such size.
func (d dual) step() int64 {
	if d.size == dualSize || d.size == dualSizeBefore {
		return d.size / 2
	}
	return 0
}

// pick takes a record if it is a later one.
func (d *dual) pick(b, magic []byte, lowest FSN) {
	generation := int64(little.Uint64(b[8:]))
	first, second := int64(little.Uint64(b[16:])), int64(little.Uint64(b[24:]))
	switch {
	case !bytes.Equal(b[:4], magic), little.Uint32(b[4:]) != dualVersion,
		crc32.Checksum(b[:dualRecord-4], castagnoli) != little.Uint32(b[dualRecord-4:]):
	case generation < max(1, d.generation), first < int64(lowest), first > maxFSN, second < 0, second > maxFSN:
	default:
		d.generation, d.first, d.second = generation, FSN(first), FSN(second)
	}
}

// next returns the record of the next generation, and where it belongs.
func (d dual) next(magic []byte, first, second FSN) (record []byte, at int64) {
	b := append(make([]byte, 0, dualRecord), magic...)
	b = little.AppendUint32(b, dualVersion)
	for _, n := range []int64{d.generation + 1, int64(first), int64(second)} {
		b = little.AppendUint64(b, uint64(n))
	}
	b = append(b, make([]byte, dualRecord-4-len(b))...)
	return little.AppendUint32(b, crc32.Checksum(b, castagnoli)), (d.generation + 1) & 1 * d.step()
}

// readManifest reads sf-manifest.bin.
func readManifest(o Options) (dual, error) {
	d, _, err := readDual(o, manifestName, manifestMagic, 0)
	if d.second < d.first {
		d.generation = 0
	}
	return d, err
}

// readAckFile reads .ack-watermark in either form; -1 where it says nothing.
func readAckFile(o Options) (dual, FSN, error) {
	d, b, err := readDual(o, ackName, ackMagic, -1)
	switch {
	case err != nil:
		return d, -1, err
	case d.valid():
		return d, d.first, nil
	case d.size == ackSize:
		return d, parseAck(b), nil
	}
	return d, -1, nil
}
