"""The memory that `recmesh-sidecar` forecasts for a file, beside what it then takes.

Taken is the greatest anonymous memory, looked at every few milliseconds: pages of mapped files can be had back at any time, and
kill nobody. `train` measures, refits and writes; `evaluate` only measures.
"""

import argparse
import json
import os
import re
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import results
from data import as_csv

MEBIBYTE = 1 << 20


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("train", type=Path, help="train.txt of the Gowalla split; see `run`")
    parser.add_argument("--factors", type=int, nargs="+", default=[16, 64, 256])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        rows = Path(directory) / "train.csv"
        as_csv(options.train, rows)
        for factors in options.factors:
            for command in ("train", "evaluate"):
                arguments = [command, str(rows), "--factors", str(factors), "--iterations", "2"]
                arguments += ["--output", str(Path(directory) / "model")] if command == "train" else []
                forecast, peak = forecast_and_peak(arguments)
                results.add({
                    "name": "memory_forecast",
                    "setting": f"gowalla, {command}, {factors} factors; ours is the forecast",
                    "ours": f"{forecast / MEBIBYTE:.0f} MiB",
                    "peer": f"{peak / MEBIBYTE:.0f} MiB",
                    "peer_name": "measured peak",
                    "ratio": {name: forecast / peak for name in ("median", "min", "max")},
                    "pairs": 1,
                    "command": "tests/bench/core/run memory train.txt",
                })  # fmt: skip
                print(f"{command}, {factors} factors: forecast {forecast / peak:.2f} of the peak", flush=True)


if __name__ == "__main__":
    main()
