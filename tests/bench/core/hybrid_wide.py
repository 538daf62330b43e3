"""Time of the two-hop term on a generated catalogue of the shape of MovieLens 20M.

The example `wide` generates the data, fits few factors, and times the term alone, in one thread, for
users drawn at random.
"""

import argparse
import json
import os
import subprocess

import results

ANSWERS = 4000
# The most that an answer may take, in milliseconds.
BAR_MS = 2.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    load = f"load average of the machine before: {os.getloadavg()[0]:.0f}"
    command = [os.environ["RECMESH_WIDE"], str(ANSWERS), str(options.seed)]
    found = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    milliseconds = {name: found[f"{name}Micros"] / 1000 for name in ("mean", "p50", "p90", "p99", "max")}
    results.replace({
        "name": "hybrid_wide_p99_ms",
        "setting": f"the two-hop term alone, 138,493 users × 26,744 items, {found['likes']:,} likes with degrees like those of MovieLens 20M, seed {options.seed}; "
        f"{found['answers']} users drawn at random, one thread; mean {milliseconds['mean']:.2f} ms, median {milliseconds['p50']:.2f}, "
        f"p90 {milliseconds['p90']:.2f}, maximum {milliseconds['max']:.2f}; {found['meanItems']:,.0f} items reached in the mean; {load}",
        "ours": {"p99_ms": milliseconds["p99"]},
        "peer": {"p99_ms": BAR_MS},
        "peer_name": "limit",
        "command": "tests/bench/core/run hybrid_wide",
    })  # fmt: skip
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
