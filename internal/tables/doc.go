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
//	a column for the row id,  rows get it, so that it can become a key
//	no keys with it
//	no keys                   with exactly_once the rows wait, or the keys are set
//	                          (dedup_lost)
//	no such table             created here, or by the server, or waited for
//	no designated timestamp   rows wait: QuestDB could not take them
//	no answer about it        with exactly_once rows wait; else two minutes, and then
//	                          they go with a row id if one was wanted before
//	no answer at all          the same, but as an error of the host: no table's fault
//	SQL refused (403, 404,    with exactly_once rows wait; else as before
//	405)
//
// What else there is to know is asked for all tables of a host at once, every five
// minutes, and nothing waits for the answer but the first rows of a table, for two
// seconds at most: TTLs, which the sender compares with the times of rows; tables that
// are suspended, which is said; views and tables without WAL, so that they are called by
// their name. Where the server is to create a table that is missing, it is asked whether
// it creates any; if not, the rows wait.
//
// # How keys come to a table that is written to
//
// Rows without the id that meet the keys become one row for each time. So the column
// comes first, and the key 90 s later: by then every program of ours that writes to
// the table has asked about it again and sends ids. In the same way a table that the
// server is to create is asked about again before its first rows are settled.
//
// # Who may do what at the same time
//
// There is one question about a table on a host at a time; who needs the same answer
// waits for it. No lock is held while a server is asked, and no goroutine outlives a
// call. Many programs may create the same table: who comes second finds it there.
package tables
