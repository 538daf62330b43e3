"""The rows of catalogues: requests with a filter over HTTP, the size of a catalogue, and the Job that
writes the lists of all users.
"""

import argparse
import hashlib
import http.client
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import results
from interactions import csv_of
from job_rows import PORT, serving, sidecar, train

# As the example `wide_model`.
ITEMS, FACTORS = 1_000_000, 64
USERS = 1000
SEED = 1
N = 10
QUERIES = 300
# Items of a list of a batch, as the bars of time and memory state it.
BATCH_ITEMS = 20
# Kept fractions, as divisors, with the name of the row.
KEPT = {100: "filter_1pct", 10: "filter_10pct", 2: "filter_50pct"}
# Models by the power of the rank with which the norms of their items fall.
POWERS = {"Gaussian": 0.0, "norms as of popularity": 0.35}
# Columns of the example `wide_model`, without the divisor.
COLUMNS = {"at random": "random", "of least norm": "least"}


def item_table(to: Path) -> None:
    """Writes a table with a title, a stock and six filter columns."""
    drawn = random.Random(SEED)
    with to.open("w") as file:
        file.write("item_id,title,stock,part100,part10,part2,brand,price,added\n")
        for item in range(ITEMS):
            parts = ",".join(f"v{drawn.randrange(divisor)}" for divisor in KEPT)
            brand, price = drawn.randrange(5000), drawn.randrange(100_000) / 100
            stock, added = int(drawn.random() < 0.97), 1_500_000_000 + drawn.randrange(200_000_000)
            file.write(f"i{item},Item number {item},{stock},{parts},brand{brand},{price},{added}\n")


def catalogue(table: Path, model: Path, *options: str) -> None:
    """Writes the catalogue beside the model."""
    command = sidecar("catalogue", table, "--model", model, "--title", "title", *options)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def wide_model(work: Path, power: float) -> Path:
    """A model of a million items with its catalogue beside it; made once."""
    model = work / f"wide-{power}.safetensors"
    if not model.with_suffix(".catalogue").exists():
        table = work / "items.csv"
        subprocess.run([os.environ["WIDE_MODEL"], str(power), model, table], check=True)
        catalogue(table, model, "--filters", ",".join(f"{column}{divisor}" for column in COLUMNS.values() for divisor in KEPT))
    return model


def memory_mib(process: int, field: str) -> float:
    """A field of the memory of a process."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:")) / 1024


def milliseconds(connection: http.client.HTTPConnection, body: dict) -> float:
    """Duration of a request on an open connection, until the answer is parsed."""
    data = json.dumps(body).encode()
    begin = time.perf_counter()
    connection.request("POST", "/recommend", data, {"content-type": "application/json"})
    answer = json.loads(connection.getresponse().read())
    took = 1e3 * (time.perf_counter() - begin)
    if len(answer.get("items", [])) != N:
        sys.exit(f"{answer} for {body}")
    return took


def filters_over_http(_: argparse.Namespace, work: Path) -> None:
    """Requests with and without a filter in turns, of users in a seeded order."""
    for norms, power in POWERS.items():
        model = wide_model(work, power)
        with serving("u0", "--model", model, "--cache-mib", 0):
            connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=5)
            for which, column in COLUMNS.items():
                for divisor, name in KEPT.items():
                    filter_row(connection, name, f"{norms}, {which}", f"{column}{divisor}", divisor)


def filter_row(connection: http.client.HTTPConnection, name: str, setting: str, column: str, divisor: int) -> None:
    """One row: filters with any of the values of a column, so that each repeats after a while."""
    drawn = random.Random(SEED)
    plain, kept = [], []
    for _ in range(QUERIES):
        body = {"user": f"u{drawn.randrange(USERS)}", "n": N}
        value = "yes" if column.startswith("least") else f"v{drawn.randrange(divisor)}"
        plain.append(milliseconds(connection, body))
        kept.append(milliseconds(connection, {**body, "where": {column: [value]}}))
    ratios = [a / b for a, b in zip(kept, plain)]
    results.add({
        "name": name,
        "setting": f"over HTTP and parsed, {ITEMS} × {FACTORS}, {setting}, top {N}; median ms",
        "ours": f"{statistics.median(kept):.3f}",
        "peer": f"{statistics.median(plain):.3f}",
        "peer_name": "the same request without a filter",
        **results.ratio(ratios),
        "load": os.getloadavg()[1],
        "command": "tests/bench/answers/catalogue … filter",
    })  # fmt: skip


def size(_: argparse.Namespace, work: Path) -> None:
    """The file of a catalogue, and the resident memory of a server with it less that without it."""
    model, table = work / "sized.safetensors", work / "sized.csv"
    model.unlink(missing_ok=True)
    os.link(wide_model(work, 0.0), model)
    item_table(table)
    filters = "part100,part10,part2,brand,price:number,added:time"
    catalogue(table, model, "--available", "stock", "--filters", filters)
    file = model.with_suffix(".catalogue")
    resident = {}
    for name in ("with", "without"):
        alone = work / "alone.safetensors"
        alone.unlink(missing_ok=True)
        os.link(model, alone)
        flags = ("--catalogue", file) if name == "with" else ()
        with serving("u0", "--model", alone, "--cache-mib", 0, *flags) as (process, _):
            resident[name] = memory_mib(process, "VmRSS")
        alone.unlink()
    results.add({
        "name": "catalogue_mib",
        "setting": f"{ITEMS} items with titles, availability and 6 filter columns (4 categories, a number, a time)",
        "ours": {"file_mib": round(file.stat().st_size / (1 << 20), 1), "memory_mib": round(resident["with"] - resident["without"], 1)},
        "command": "tests/bench/answers/catalogue … catalogue_mib",
    })  # fmt: skip


def batch(options: argparse.Namespace, work: Path) -> None:
    """The Job of spec.batch with files in place of buckets, and its anonymous memory."""
    model = work / "gowalla.safetensors"
    if not model.exists():
        rows = work / "gowalla.csv"
        csv_of(options.gowalla, rows)
        train(rows, model, "--factors", FACTORS)
    digest = hashlib.sha256(model.read_bytes()).hexdigest()
    seconds, memory = [], []
    for run in range(options.runs):
        stored, lists = work / "store", work / "lists"
        for directory in (stored, lists):
            shutil.rmtree(directory, ignore_errors=True)
        key = stored / "x" / "snapshots" / f"{digest}.safetensors"
        key.parent.mkdir(parents=True)
        lists.mkdir()
        shutil.copy(model, key)
        config = {
            "id": f"{1_764_370_000 + run}-{digest[:10]}",
            "name": "bench",
            "revision": digest,
            "snapshotBytes": model.stat().st_size,
            "n": BATCH_ITEMS,
            "destination": f"file://{lists}",
            "specHash": digest,
            "store": {"url": f"file://{stored}", "region": "us-east-1", "prefix": "x/"},
        }
        begin = time.perf_counter()
        job = subprocess.Popen(sidecar("batch", "--config", json.dumps(config)))
        anonymous = 0.0
        while job.poll() is None:
            try:
                anonymous = max(anonymous, memory_mib(job.pid, "RssAnon"))
            except (OSError, StopIteration):
                pass
            time.sleep(0.005)
        if job.returncode:
            sys.exit(f"the batch ended with {job.returncode}")
        seconds.append(time.perf_counter() - begin)
        memory.append(anonymous)
        (written,) = lists.iterdir()
        mib = written.stat().st_size / (1 << 20)
    results.add({
        "name": "batch_s",
        "setting": f"gowalla, {FACTORS} factors, {BATCH_ITEMS} items for all users: the Job, from its start to the result, files in place of buckets",
        "ours": {
            "s": round(statistics.median(seconds), 3),
            "s_max": round(max(seconds), 3),
            "anonymous_mib": round(max(memory), 1),
            "model_mib": round(model.stat().st_size / (1 << 20), 1),
            "lists_mib": round(mib, 1),
        },
        "command": "tests/bench/answers/catalogue … batch_s",
    })  # fmt: skip


def main() -> None:
    """Measures the rows that are named, or all; `prepare` makes the models only."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--gowalla", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("rows", nargs="*")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    rows: dict[str, Callable[[argparse.Namespace, Path], None]] = {
        "prepare": lambda _, work: print(*(wide_model(work, power) for power in POWERS.values())),
        "filter": filters_over_http,
        "catalogue_mib": size,
        "batch_s": batch,
    }
    if unknown := set(options.rows) - set(rows):
        sys.exit(f"unknown rows {sorted(unknown)}; valid are {list(rows)}")
    for name in options.rows or rows:
        rows[name](options, options.work)


if __name__ == "__main__":
    main()
