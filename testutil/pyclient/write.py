# SPDX-License-Identifier: MIT
"""Write rows with the official client and print each as a line of JSON.

usage: write.py CONF ROWS ACKED

The package testutil/client says what the arguments and the output mean.
"""

import json
import sys
import time
import warnings

warnings.simplefilter("ignore", DeprecationWarning)

from questdb import Sender, TimestampMicros, TimestampNanos  # noqa: E402

START = 1_700_000_000_000_000_000
FRAME_ROWS = 20
PATIENCE = 20  # seconds


def row(n):
    """The nth row. Nulls, late columns and new symbols are frequent."""
    at = START + n * 1_234_567_891
    if n % 4 == 2:
        return "events", *event(n, at), at
    if n % 4 == 3 and n > 100:
        return "disk", *disk(n), at
    return "cpu", *cpu(n), at


def cpu(n):
    symbols = {"host": f"host-{n % 7}", "zone": None if n % 3 else "zürich, 2"}
    return symbols, {
        "row_id": n,
        "usage": None if n % 5 == 0 else n / 8,
        "busy": n % 2 == 0,
        "note": None if n % 4 == 0 else f'line\none "{n}"',
    }


def event(n, at):
    return {"kind": "" if n % 9 == 0 else f"kind-{n % 300}"}, {
        "row_id": n,
        "text": "" if n % 5 else "日本",
        "big": (1 << 62) + n if n > 40 and n % 7 else None,
        "seen": TimestampMicros(at // 1000),
        "exact": None if n % 3 else TimestampNanos(at),
    }


def disk(n):
    symbols = {"host": f"host-{n % 7}", "device": f"sd{n // 60}"}
    return symbols, {"row_id": n, "used": 1 / n, "ok": n % 8 == 3}


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


def write(sender, rows):
    for n in range(rows):
        table, symbols, columns, at = row(n)
        sender.row(table, symbols=symbols, columns=columns, at=TimestampNanos(at))
        print(json.dumps({"table": table, "at": at, "values": typed(symbols, columns)}))
        if (n + 1) % FRAME_ROWS == 0 or n + 1 == rows:
            sender.flush()


def acked(sender):
    """How many frames the server has acknowledged."""
    fsn = sender.acked_fsn()
    return 0 if fsn is None else fsn + 1


def wait_acked(sender, frames):
    """Wait for the first frames. The client's own wait is for all of them."""
    end = time.monotonic() + PATIENCE
    while acked(sender) < frames:
        if time.monotonic() > end:
            sys.exit(f"{acked(sender)} frames were acknowledged, want {frames}")
        time.sleep(0.001)


def main(conf, rows, frames):
    sender = Sender.from_conf(conf)
    sender.establish()
    write(sender, rows)
    published = sender.published_fsn()
    if frames == "all":
        frames = 0 if published is None else published + 1
    wait_acked(sender, int(frames))
    print(json.dumps({"rows": rows}), flush=True)
    sys.stdin.read()  # whoever wants us killed does it here
    sender.close(flush=False)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
