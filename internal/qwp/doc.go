// SPDX-License-Identifier: MIT

// Package qwp encodes, reads, splits and translates QWP messages. It does no I/O.
//
// # Bytes of a message
//
// What follows is the QWP ingress specification, version 1, with the points it
// leaves open settled. All numbers are little-endian; a varint is unsigned LEB128;
// a text is a varint length in bytes and UTF-8.
//
//	message    magic "QWP1", version 0x01, flags u8, tables u16, payload length u32,
//	           payload
//	payload    dictionary if FlagDeltaDict, then the table blocks
//	dictionary first id varint, entries varint, a text for each entry
//	block      name text, rows varint, columns varint, a schema for each column,
//	           the data of each column in the same order
//	schema     name text, type u8; an empty name is the designated timestamp
//	data       null flag u8: 0 none, else a bitmap of ceil(rows/8) bytes follows,
//	           lowest bit first, 1 is null; then the values that are not null
//
// The values of a column, n of them:
//
//	BOOLEAN                     ceil(n/8) bytes, lowest bit first
//	BYTE SHORT INT LONG CHAR    1, 2, 4, 8, 2 bytes each
//	FLOAT DOUBLE DATE IPV4      4, 8, 8, 4 bytes each
//	UUID LONG256                16, 32 bytes each, lowest 64 bits first
//	DECIMAL64 128 256           scale u8, then 8, 16, 32 bytes each
//	GEOHASH                     precision in bits varint (1 to 60), then
//	                            ceil(precision/8) bytes each
//	TIMESTAMP, TIMESTAMP_NANOS  with FlagGorilla an encoding byte; then 8 bytes each,
//	                            or with encoding 1 a gorilla stream
//	VARCHAR BINARY              n+1 offsets u32, the first 0, then the bytes
//	SYMBOL                      an id varint each; without FlagDeltaDict these come
//	                            behind a dictionary of the column: entries varint, a
//	                            text for each
//	DOUBLE_ARRAY LONG_ARRAY     each: dimensions u8 (1 to 32), a length i32 for each,
//	                            8 bytes for each element
//
// A gorilla stream has the first two values in full, and for each further one the
// change of the step to it as bits, lowest first: 0; 1 0 and 7 bits; 1 1 0 and 9;
// 1 1 1 0 and 12; 1 1 1 1 and 32. The last byte is padded with zeros.
//
// # Nulls
//
// QuestDB has no room for a null beside a value: the smallest INT, LONG, DATE and
// timestamp, NaN, 0.0.0.0, and a UUID or LONG256 whose every word is the smallest
// int64 are its nulls, and clients send them as such. They read as null here,
// bitmap or not; so does a GEOHASH of all ones, only without a bitmap. A BOOLEAN
// that is absent is sent as false.
//
// # Frames
//
// A frame is a message that can be read alone: its dictionary begins at id 0 and
// holds what the frame uses. Builder and View.AppendPart write frames; ConnDict
// turns them into messages of a connection, on which each string is sent once.
package qwp
