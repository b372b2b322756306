// SPDX-License-Identifier: MIT

// Package tables knows what a server says of its tables, creates those that are
// missing, and tells which rows have to wait (DESIGN.md 17).
//
// # What is asked
//
// One question a table, host and minute: its designated timestamp, and which columns
// are its DEDUP keys. Everything follows from the answer:
//
//	the row id is a key       rows get it, whatever the configuration says: without
//	                          it 200 rows of 200 hosts at one time become one
//	other keys                somebody's choice: no row id, nothing waits
//	no keys                   no row id; with exactly_once the rows wait, or the keys
//	                          are set (dedup_lost)
//	no such table             created here, or by the server, or waited for
//	no designated timestamp   rows wait: QuestDB could not take them
//	no answer                 with exactly_once rows wait; else two minutes, and then
//	                          they go with a row id if one was wanted before
//	SQL refused (401, 403,    with exactly_once rows wait; else as before
//	404, 405)
//
// # Who may do what at the same time
//
// There is one question about a table on a host at a time; who needs the same answer
// waits for it. No lock is held while a server is asked, and no goroutine outlives a
// call. Many programs may create the same table: who comes second finds it there.
package tables
