"""Latency and rejections of a sidecar on one CPU, offered up to five times what it can answer.

The sidecar runs on CPU 0, the generator on the others. Its capacity is what it answers to clients that
send their next request at once. Above it, requests arrive at a constant rate, whatever becomes of earlier
ones, and the latency of a request counts from its scheduled time.
"""

import argparse
import datetime
import os
import platform
import random
import statistics
import tempfile
from pathlib import Path

import results
from http_rows import OURS, SEED, Case, attack_lines, running, sidecar, wrk

LOADS = (0.5, 1, 2, 3, 5)
# Items. Of fewer, a sidecar answers more than a generator on one CPU can send.
CATALOGUES = (50_000, 200_000)
LATENCY_BUDGET_MS = 100
HEADER = "| catalogue | load | offered/s | answered/s | p50 ms | p99 ms | max ms | 503 | p99 of 503, ms | failed |"


def generated(items: int, file: Path) -> Path:
    """Interactions of each item with two of 2,000 users."""
    draw = random.Random(SEED)
    rows = "".join(f"user{draw.randrange(2000)},item{index % items}\n" for index in range(2 * items))
    file.write_text("user_id,item_id\n" + rows)
    return file


def quantile(latencies: list[float], fraction: float) -> str:
    """A quantile of latencies in ms."""
    return f"{sorted(latencies)[min(int(len(latencies) * fraction), len(latencies) - 1)]:.1f}" if latencies else "–"


def row(title: str, load: float, lines: list[list[str]]) -> str:
    """The row of one load; `attack_lines` has the lines."""
    requests = [(int(time), int(status), int(latency) / 1e6) for time, status, latency in lines]
    seconds = (max(time for time, _, _ in requests) - min(time for time, _, _ in requests)) / 1e9
    of = {status: [latency for _, code, latency in requests if code == status] for status in (200, 503)}
    failed = len(requests) - sum(map(len, of.values()))
    answered = of[200]
    cells = [
        title, f"{load:g}×", f"{len(requests) / seconds:,.0f}", f"{len(answered) / seconds:,.0f}",
        quantile(answered, 0.5), quantile(answered, 0.99), quantile(answered, 1),
        f"{len(of[503]) / len(requests):.1%}", quantile(of[503], 0.99), str(failed),
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |"


def measure(title: str, case: Case, options: argparse.Namespace, work: Path) -> None:
    """Prints the rows of one catalogue."""
    command = ["taskset", "-c", "0", *sidecar(case, "--cache-mib", "0", "--latency-budget-ms", str(LATENCY_BUDGET_MS))]
    with running(command, OURS, case.users.read_text().splitlines()[0]) as ours:
        capacity = statistics.median(wrk(OURS, ours, case.users, options.seconds)["answers_per_s"] for _ in range(3))
        for load in LOADS:
            print(row(title, load, attack_lines(OURS, case.users, round(capacity * load), options.seconds, work)), flush=True)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=10)
    options = parser.parse_args()
    # Inherited by the generators; the sidecar is pinned by its command.
    os.sched_setaffinity(0, os.sched_getaffinity(0) - {0})
    print(f"{platform.machine()}, {results.machine()}, {datetime.datetime.now(datetime.UTC):%F}\n")
    print(f"{HEADER}\n|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|")
    with tempfile.TemporaryDirectory() as directory:
        for items in CATALOGUES:
            work = Path(directory) / str(items)
            work.mkdir()
            case = Case("case", generated(items, work / "rows.csv"), work, "--iterations", "1")
            measure(f"{items:,} items", case, options, work)


if __name__ == "__main__":
    main()
