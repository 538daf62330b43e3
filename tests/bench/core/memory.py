"""The memory that `recmesh-sidecar` forecasts for each kind of fit, beside what it then takes.

Taken is the greatest anonymous memory, looked at every few milliseconds: pages of mapped files can be had back at any time, and
kill nobody. `train` measures, refits and writes; `evaluate` only measures. Ratings are `stars.stars()`. Sweeps and samples are few: more of
them take time, not memory.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import results
from data import as_csv
from stars import stars

MEBIBYTE = 1 << 20
# Kinds of fit by name: the data, and what makes the kind.
KINDS = {
    "ALS": ("gowalla", ["--degree-exponent", "0"]),
    "ALS with degreeExponent 0.5": ("gowalla", ["--degree-exponent", "0.5"]),
    "SVD": ("gowalla", ["--algorithm", "svd"]),
    "BPR": ("gowalla", ["--algorithm", "bpr"]),
    "explicit ALS": ("generated stars", ["--signal", "explicit"]),
    "explicit ALS with samples": ("generated stars", ["--signal", "explicit", "--samples", "3"]),
}


def anonymous(process: int) -> int:
    """Bytes; 0 once the process has ended."""
    try:
        found = re.search(r"RssAnon:\s+(\d+) kB", Path(f"/proc/{process}/status").read_text())
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return int(found[1]) * 1024 if found else 0


def forecast_and_peak(arguments: list[str]) -> tuple[int, int]:
    process = subprocess.Popen(
        [os.environ["RECMESH_SIDECAR"], "--log", "debug", *arguments],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    lines: list[str] = []
    reading = threading.Thread(target=lambda: lines.extend(process.stderr))
    reading.start()
    peak = 0
    while process.poll() is None:
        peak = max(peak, anonymous(process.pid))
        time.sleep(0.002)
    reading.join()
    if process.returncode:
        raise RuntimeError("".join(lines[-5:]))
    said = (json.loads(line) for line in lines)
    return next(line["bytes"] for line in said if line["message"] == "memory forecast"), peak


def measure(kind: str, command: str, rows: Path, factors: list[int]) -> None:
    """One entry of the results, with a pair for each number of factors."""
    data, settings = KINDS[kind]
    both = []
    for count in factors:
        arguments = [command, str(rows), "--factors", str(count), "--iterations", "2", *settings]
        arguments += ["--output", str(rows.with_name("model"))] if command == "train" else []
        forecast, peak = forecast_and_peak(arguments)
        both.append((forecast, peak))
        print(f"{kind}, {command}, {count} factors: forecast {forecast / peak:.2f} of the peak", flush=True)
    say = lambda bytes_each: ", ".join(f"{b / MEBIBYTE:.0f}" for b in bytes_each) + " MiB"
    ratios = [forecast / peak for forecast, peak in both]
    results.add({
        "name": "memory_forecast",
        "setting": f"{data}, {kind}, {command}; {', '.join(map(str, factors))} factors; ours is the forecast",
        "ours": say(forecast for forecast, _ in both),
        "peer": say(peak for _, peak in both),
        "peer_name": "measured peaks",
        "ratio": {"median": statistics.median(ratios), "min": min(ratios), "max": max(ratios)},
        "pairs": len(both),
        "command": "tests/bench/core/run memory train.txt",
    })  # fmt: skip


def stars_as_csv(out: Path) -> None:
    with out.open("w") as file:
        file.write("user_id,item_id,rating\n")
        file.writelines(f"{user},{item},{rating:g}\n" for user, item, rating in zip(*stars()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("train", type=Path, help="train.txt of the Gowalla split; see `run`")
    parser.add_argument("--factors", type=int, nargs="+", default=[16, 64, 256])
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        files = {data: Path(directory) / f"{data}.csv" for data in ("gowalla", "generated stars")}
        as_csv(options.train, files["gowalla"])
        stars_as_csv(files["generated stars"])
        for kind in options.kinds:
            for command in ("train", "evaluate"):
                measure(kind, command, files[KINDS[kind][0]], options.factors)


if __name__ == "__main__":
    main()
