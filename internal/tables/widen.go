// SPDX-License-Identifier: MIT

package tables

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/sqlhttp"
)

// Widen makes a column DOUBLE, so that it takes any number: type_conflict = "widen". A
// column that somebody else has made so meanwhile is success. Columns of whole numbers
// and FLOAT are widened, others are left as they are, with an error.
func (k *Keeper) Widen(ctx context.Context, host, table, column string) error {
	limited, cancel := context.WithTimeoutCause(ctx, askTimeout, errSlow)
	defer cancel()
	for look := range maxLooks {
		// What another box has altered is in the log of the table before it is seen.
		if err := waitFor(limited, time.Duration(look)*lookPause); err != nil {
			return err
		}
		kind, err := k.typeOf(limited, host, table, column)
		switch {
		case err != nil:
			return err
		case kind == "DOUBLE":
			return nil
		case !widens[kind]:
			return fmt.Errorf("it is %s, which is not made DOUBLE", kind)
		}
		_, err = k.cfg.SQL.Exec(limited, host, widen(table, column))
		var said *sqlhttp.Error
		if err == nil {
			return nil
		}
		if !errors.As(err, &said) || !said.QuestDB || said.Definite() {
			return err
		} // else another box may have been faster: look again
	}
	return errors.New("it is changed by somebody else again and again")
}

// lookPause is how much longer each look waits than the one before.
const lookPause = time.Second

func waitFor(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// widens are the types that DOUBLE holds, LONG beyond 2^53 with fewer digits.
var widens = map[string]bool{"BYTE": true, "SHORT": true, "INT": true, "LONG": true, "FLOAT": true}

// typeOf returns the type of a column as QuestDB names it.
func (k *Keeper) typeOf(ctx context.Context, host, table, column string) (string, error) {
	r, err := k.cfg.SQL.Exec(ctx, host, `SELECT "type" FROM table_columns(`+sqlhttp.Literal(table)+
		`) WHERE lower("column") = `+sqlhttp.Literal(strings.ToLower(column)))
	if err != nil {
		return "", err
	}
	if len(r.Rows) != 1 || len(r.Rows[0]) != 1 {
		return "", fmt.Errorf("%s describes the column in %d rows", host, len(r.Rows))
	}
	kind, ok := r.Rows[0][0].(string)
	if !ok {
		return "", fmt.Errorf("%s describes the type as %v", host, r.Rows[0][0])
	}
	return strings.ToUpper(kind), nil
}

// widen returns the statement that makes a column DOUBLE.
func widen(table, column string) string {
	return "ALTER TABLE " + sqlhttp.Quote(table) + " ALTER COLUMN " + sqlhttp.Quote(column) + " TYPE DOUBLE"
}
