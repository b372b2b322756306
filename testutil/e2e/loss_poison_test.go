// SPDX-License-Identifier: MIT

package e2e

import (
	"errors"
	"fmt"
	"net"
	"strings"
)

// poisonID is the id of the row that a server does not take as it is.
const poisonID = -1

// poisonCases give one poisoned row among 10,000 to a server that has the tables:
// the baseline loses the batch around it. Its value must be in a column of the table.
var poisonCases = []lossCase{
	poisoned("s6a a string where the column is LONG", `mem,host=x row_id=-1i,used="many"`, "mem", "used__varchar", "many"),
	poisoned("s6b a float where the column is LONG", `mem,host=x row_id=-1i,used=1.5`, "mem", "used__double", "1.5"),
	poisoned("s6c a field called timestamp", `mem,host=x row_id=-1i,timestamp=7i`, "mem", "timestamp_", "7"),
	poisoned("s6d a string with a line break", `diskio,host=x row_id=-1i,model="two`+"\n"+`lines"`, "diskio", "model", "two\nlines"),
	poisoned("s6e a field name with a dash and a dot", `cpu,host=x row_id=-1i,cpu-usage.5m=0.5`, "cpu", "cpu_usage_5m", "0.5"),
}

func poisoned(name, line, table, column, value string) lossCase {
	return lossCase{name: name, play: func(b *lossBed) {
		b.up()
		a := b.start()
		b.feed(a, 3000)
		waitRows(b.ctx, b, b.srv, 3000) // the columns have their types
		packet := must(net.Dial("udp", a.addr))(b)
		_, err := fmt.Fprintf(packet, "%s %d\n", line, b.set.Row(0).Time)
		check(b, errors.Join(err, packet.Close()))
		b.feed(a, 7000)
		b.drained()
		b.wasTaken(table, column, value)
		b.end(a)
	}, judge: (*lossBed).nothingRefused}
}

// wasTaken waits for the poisoned row.
func (b *lossBed) wasTaken(table, column, value string) {
	b.Helper()
	query := fmt.Sprintf("SELECT %s v FROM %s WHERE row_id = %d", column, table, poisonID)
	await(b.ctx, b, "the poisoned row", func() bool {
		res, err := b.srv.Query(b.ctx, query)
		return err == nil && len(res.Rows) == 1 && text(res.Rows[0][0]) == value
	})
}

// nothingRefused fails if a row of a poison case left otherwise than to the server.
func (b *lossBed) nothingRefused(o *outcome) {
	if o.books.Acked != b.rows+1 {
		b.Errorf("%d rows acked, want %d and the poisoned one: %s", o.books.Acked, b.rows, strings.Join(o.told, "\n"))
	}
}
