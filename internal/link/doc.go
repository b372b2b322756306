// SPDX-License-Identifier: MIT

// Package link is one connection to QuestDB. The same stored frames go out in
// one of two ways, and the sender sees only [Conn]:
//
//   - QWP over WebSocket: GET <prefix>/write/v4 is upgraded, every request is
//     one binary message whose symbols are translated to the dictionary of the
//     connection, and the server answers with cumulative acknowledgements.
//   - ILP over HTTP: POST <prefix>/write carries the rows of several frames as
//     line protocol, and each request is answered before the next one.
//
// With Config.RequestDurableAck the acknowledgements of QWP are those of rows that
// would survive the loss of the server: an OK is progress, no outcome. There is no
// settling for less.
//
// A [Link] knows the endpoints and which of them was last found well. It makes
// no attempt to wait or to retry: the sender owns backoff, and decides what a
// [Refusal] means for the rows. Nothing is acked unless the answer proves that
// QuestDB gave it.
//
// No error and no log line of this package contains a credential.
package link
