"""Reading a report: the exporter's reader beside others, in CPU time and in memory."""

import json

from figures import medians, ratios
from processes import run
from reports import Floor

READERS = {"exporter": "report", "sonic-rs DOM": "sonic-dom", "serde_json": "serde-json", "read(2)": "read"}
GO = {"Go encoding/json": "stream", "Go encoding/json, whole, no times": "whole"}


def measure(tools, folder, rows, rounds):
    """A report with this number of rows, twenty of each agent."""
    file = folder / "report.json"
    begin = 1_700_000_000_000
    file.write_bytes(Floor(rows // 20, 1).report((begin, begin + 3_600_000), rows=20))
    size = file.stat().st_size
    taken = {who: [] for who in [*READERS, *GO]}
    for _ in range(rounds):
        for who in taken:
            command = [tools["go"]["ingest"], GO[who], file] if who in GO else [tools["suite"], "ingest", READERS[who], file]
            taken[who].append(json.loads(run(command))["cpu_ns"])
    memory = json.loads(run([tools["suite"], "ingest-memory", file]))
    file.unlink()
    state, over = memory["after_kb"] - memory["before_kb"], memory["highest_kb"] - memory["after_kb"]
    return {
        "rows": rows,
        "bytes": size,
        "rounds": rounds,
        "mb_per_s": {who: size * 1000 / ns for who, ns in medians(taken).items()},
        # Of speeds, not of times.
        "speed_ratio": {who: 1 / times for who, times in ratios(taken).items()},
        "memory": {"state_mb": state * 1.024e-3, "over_mb": over * 1.024e-3},
    }
