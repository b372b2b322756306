// SPDX-License-Identifier: MIT

package qwpserver_test

import (
	"fmt"

	"github.com/questdb-sf/questdb_sf/internal/qwp"
	"github.com/questdb-sf/questdb_sf/testutil/qwpserver"
)

// A server that refuses the third message once and every message with a row for
// the table "poison".
func ExampleServer_Script() {
	srv, err := qwpserver.Start(qwpserver.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer srv.Close()
	srv.Script(
		qwpserver.Reject(qwp.StatusWriteError, "disk is full").When(qwpserver.Number(2)),
		qwpserver.Reject(qwp.StatusSchemaMismatch, "no").When(qwpserver.Table("poison")).Always(),
	)
	fmt.Println(srv.Total())
	// Output: 0
}
