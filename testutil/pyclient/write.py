# SPDX-License-Identifier: MIT
"""Write rows with the official client and print each as a line of JSON.

usage: write.py HOST:PORT

A printed row is {"table", "at", "values"}: the time in nanoseconds, and each
value as [type, value], where null stands for a column that the row lacks and
times are nanoseconds too.
"""

import json
import sys
import warnings

warnings.simplefilter("ignore", DeprecationWarning)

from questdb import Sender, TimestampMicros, TimestampNanos  # noqa: E402

START = 1_700_000_000_000_000_000
FLUSHES = 5
ROWS = 40


def rows(flush):
    """Rows of one flush. Nulls, late columns and new symbols are frequent."""
    for i in range(ROWS):
        n = flush * ROWS + i
        at = START + n * 1_234_567_891
        yield (
            "cpu",
            {"host": f"host-{n % 7}", "zone": None if n % 3 else "zürich, 2"},
            {
                "row_id": n,
                "usage": None if n % 5 == 0 else n / 8,
                "busy": n % 2 == 0,
                "note": None if n % 4 else f'line\none "{n}"',
            },
            at,
        )
        if n % 2:
            yield (
                "events",
                {"kind": "" if n % 9 == 0 else f"kind-{n}"},
                {
                    "row_id": -n,
                    "text": "" if n % 5 else "日本",
                    "big": (1 << 62) + n if flush else None,
                    "seen": TimestampMicros(at // 1000),
                    "exact": TimestampNanos(at) if n % 3 else None,
                },
                at + 1,
            )


def typed(symbols, columns):
    """The values of a row with the type that the client sends them in."""
    values = {k: None if v is None else ["symbol", v] for k, v in symbols.items()}
    for name, v in columns.items():
        if v is None:
            values[name] = None
        elif isinstance(v, bool):
            values[name] = ["bool", v]
        elif isinstance(v, int):
            values[name] = ["long", v]
        elif isinstance(v, float):
            values[name] = ["double", v]
        elif isinstance(v, str):
            values[name] = ["varchar", v]
        elif isinstance(v, TimestampMicros):
            values[name] = ["timestamp", v.value * 1000]
        elif isinstance(v, TimestampNanos):
            values[name] = ["timestamp", v.value]
    return values


def main(addr):
    with Sender.from_conf(f"ws::addr={addr};auto_flush=off;") as sender:
        fsn = None
        for flush in range(FLUSHES):
            for table, symbols, columns, at in rows(flush):
                sender.row(table, symbols=symbols, columns=columns, at=TimestampNanos(at))
                print(json.dumps({"table": table, "at": at, "values": typed(symbols, columns)}))
            fsn = sender.flush_and_get_fsn()
        if not sender.await_acked_fsn(fsn, 20_000):
            sys.exit(f"frame {fsn} was not acknowledged")


if __name__ == "__main__":
    main(sys.argv[1])
