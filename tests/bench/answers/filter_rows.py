"""Records the rows of `filter` from the lines of the example `filtered`."""

import json
import os
import statistics
import sys

import results

# As LISTED_DIVISOR of crate answering. Larger sets of at most three quarters are tested first.
LISTED_DIVISOR = 40
ROWS = {100: "filter_search_1pct", 10: "filter_search_10pct", 2: "filter_search_50pct"}

for line in sys.stdin:
    run = json.loads(line)
    name = ROWS.get(run["divisor"])
    if name is None:
        continue
    everything, few, listed, prepared = run["ms"]
    once = listed if run["divisor"] >= LISTED_DIVISOR else few
    results.add({
        "name": name,
        "setting": f"search alone, 1000000 × 64, {run['items']}, kept {run['kept']}, top 10, one thread; median ms",
        "ours": {
            "prepared": round(statistics.median(prepared), 3),
            "first": round(statistics.median(once), 3),
            "preparation": round(run["preparation_ms"], 3),
            "kib": run["kib"],
        },
        "peer": f"{statistics.median(everything):.3f}",
        "peer_name": "the same search of all items",
        **results.ratio([a / b for a, b in zip(prepared, everything)]),
        "load": os.getloadavg()[1],
        "command": "tests/bench/answers/filter",
    })  # fmt: skip
