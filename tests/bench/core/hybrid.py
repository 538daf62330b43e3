"""Recall@20, NDCG@20 and times of a decomposition with the two-hop term on the Gowalla split.

The example `hybrid` chooses parameters on parts of the training set, for each of three seeds, and
measures the test set once for each. The row is that of the first seed.
"""

import argparse
import json
import os
import subprocess
from pathlib import Path

import results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("train", type=Path, help="train.txt of the Gowalla split; see `run`")
    parser.add_argument("test", type=Path, help="test.txt of the Gowalla split")
    parser.add_argument("--factors", type=int, default=128)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    options = parser.parse_args()
    load = f"load average of the machine before: {os.getloadavg()[0]:.0f}"
    command = [os.environ["RECMESH_HYBRID"], options.train, options.test, options.factors, *options.seeds]
    printed = subprocess.run([str(word) for word in command], check=True, stdout=subprocess.PIPE, text=True).stdout
    runs = json.loads(printed)["runs"]
    first = runs[0]
    figures = [f"{run['recall20']:.4f}/{run['ndcg20']:.4f}" for run in runs]
    setting = (
        f"SVD with the two-hop term, {options.factors} factors, userDegreeExponent {first['userDegreeExponent']:g} and "
        f"coOccurrenceWeight {first['coOccurrenceWeight']:g} by validation; recall/NDCG of {len(runs)} validation seeds: "
        f"{', '.join(figures)}; {load}"
    )
    seeds = " ".join(map(str, options.seeds))
    shown = f"tests/bench/core/run hybrid train.txt test.txt --factors {options.factors} --seeds {seeds}"
    name = f"gowalla_hybrid_f{options.factors}"
    replace({
        "name": name,
        "setting": setting,
        "ours": {
            "recall20": first["recall20"], "ndcg20": first["ndcg20"], "seconds": first["seconds"],
            "search_seconds": first["searchSeconds"],
        },
        "peer": {"recall20": 0.1830, "ndcg20": 0.1554},
        "peer_name": "LightGCN as published, He et al. 2020",
        "command": shown,
    })  # fmt: skip
    best = [entry["name"] for entry in results.read() if entry["name"].startswith("gowalla_hybrid_f")]
    results.copy_best("gowalla_hybrid", best, "ndcg20")
    if options.factors == 128:
        answers = first["answers"]
        replace({
            "name": "hybrid_answer_time",
            "setting": f"gowalla, 128 factors, 10 items of 40,981, one thread in process; peer: the decomposition alone; {load}",
            "ours": {"micros": answers["micros"]},
            "peer": {"micros": answers["flatAloneMicros"]},
            "peer_name": "flat scan without the term",
            "codes_alone_micros": answers["codesAloneMicros"],
            "command": shown,
        })  # fmt: skip
    print(json.dumps(runs, indent=1))


def replace(entry: dict) -> None:
    """Adds an entry in place of all others of its name."""
    results.write([e for e in results.read() if e["name"] != entry["name"]])
    results.add(entry)


if __name__ == "__main__":
    main()
