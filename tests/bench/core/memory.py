"""Memory forecast of `recmesh-sidecar` for each kind of fit, compared with the measured peak.

The peak is the maximum of the anonymous memory, sampled every 2 ms. Pages of mapped files are
excluded, because the kernel can reclaim them at any time and they do not cause an OOM kill. `train`
evaluates, refits and writes; `evaluate` only evaluates. Ratings are `stars.stars()`. Iterations and
samples are few, because more of them take time, not memory.
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
from data import as_csv, visits
from stars import stars

MEBIBYTE = 1 << 20
# Data set and arguments of each kind of fit.
KINDS = {
    "ALS": ("gowalla", ["--degree-exponent", "0"]),
    "ALS with degreeExponent 0.5": ("gowalla", ["--degree-exponent", "0.5"]),
    "SVD": ("gowalla", ["--algorithm", "svd"]),
    "BPR": ("gowalla", ["--algorithm", "bpr"]),
    "explicit ALS": ("generated star ratings", ["--signal", "explicit"]),
    "explicit ALS with samples": ("generated star ratings", ["--signal", "explicit", "--samples", "3"]),
}


def anonymous(process: int) -> int:
    """Returns the anonymous memory of a process in bytes; 0 if it has ended."""
    try:
        found = re.search(r"RssAnon:\s+(\d+) kB", Path(f"/proc/{process}/status").read_text())
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return int(found[1]) * 1024 if found else 0


def forecast_and_peak(arguments: list[str]) -> tuple[int, int]:
    process = subprocess.Popen(
        [os.environ["RECMESH_SIDECAR"], "--log", "debug", "--log-format", "json", *arguments],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    lines: list[str] = []
    reader = threading.Thread(target=lambda: lines.extend(process.stderr))
    reader.start()
    peak = 0
    while process.poll() is None:
        peak = max(peak, anonymous(process.pid))
        time.sleep(0.002)
    reader.join()
    if process.returncode:
        raise RuntimeError("".join(lines[-5:]))
    records = (json.loads(line) for line in lines)
    return next(line["bytes"] for line in records if line["message"] == "memory forecast"), peak


def measure(kind: str, command: str, rows: Path, factors: list[int]) -> None:
    """Adds one entry to the results, with a pair for each number of factors."""
    data, settings = KINDS[kind]
    both = []
    for count in factors:
        arguments = [command, str(rows), "--factors", str(count), "--iterations", "2", *settings]
        arguments += ["--output", str(rows.with_name("model"))] if command == "train" else []
        forecast, peak = forecast_and_peak(arguments)
        both.append((forecast, peak))
        print(f"{kind}, {command}, {count} factors: forecast {forecast / peak:.2f} × the peak", flush=True)
    in_mebibytes = lambda bytes_each: ", ".join(f"{b / MEBIBYTE:.0f}" for b in bytes_each) + " MiB"
    ratios = [forecast / peak for forecast, peak in both]
    results.add({
        "name": "memory_forecast",
        "setting": f"{data}, {kind}, {command}; {', '.join(map(str, factors))} factors; ours is the forecast",
        "ours": in_mebibytes(forecast for forecast, _ in both),
        "peer": in_mebibytes(peak for _, peak in both),
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
        files = {data: Path(directory) / f"{data}.csv" for data in ("gowalla", "generated star ratings")}
        as_csv(visits(options.train), files["gowalla"])
        stars_as_csv(files["generated star ratings"])
        for kind in options.kinds:
            for command in ("train", "evaluate"):
                measure(kind, command, files[KINDS[kind][0]], options.factors)


if __name__ == "__main__":
    main()
