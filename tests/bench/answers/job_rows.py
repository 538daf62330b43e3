"""The rows of a whole job: from a file of interactions to the first answer over HTTP, with the
quality of the lists; the size of a snapshot with and without codes; and the start of a serving pod.
"""

import argparse
import collections
import contextlib
import csv
import hashlib
import json
import os
import random
import statistics
import struct
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import results
from interactions import csv_of

PORT = 18080
LIST_ITEMS = 20
SEED = 1
# Factors with defaults otherwise, for a recall of 0.178.
BEST_FACTORS = 32
# A snapshot of 1 GiB: factors of users and items, and what belongs to each.
LARGE_USERS, LARGE_ITEMS, LARGE_FACTORS = 2_000_000, 20_000, 128
# Items and factors of the second row of sizes.
WIDE_ITEMS, WIDE_FACTORS = 1_000_000, 64


def sidecar(*arguments: object) -> list[str]:
    """A command of the sidecar."""
    return [os.environ["RECMESH_SIDECAR"], "--log", "warn", *map(str, arguments)]


def random_interactions(users: int, items: int, rows: int, out: Path) -> None:
    """Writes rows that name every user and every item."""
    drawn = random.Random(SEED)
    with out.open("w") as file:
        file.write("user_id,item_id\n")
        file.writelines(f"u{row % users},i{row % items if row < items else drawn.randrange(items)}\n" for row in range(rows))


def train(source: Path, model: Path, *options: object) -> tuple[float, float]:
    """Trains a model with its evaluation and refit. Returns seconds, and peak memory in MiB."""
    begin = time.perf_counter()
    trainer = subprocess.Popen(sidecar("train", source, "--output", model, *options), stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(trainer.pid, 0)
    if status:
        sys.exit(f"training ended with {os.waitstatus_to_exitcode(status)}")
    return time.perf_counter() - begin, usage.ru_maxrss / 1024


def answer(user: str) -> dict:
    """Asks for the items of a user."""
    body = json.dumps({"user": user, "n": LIST_ITEMS}).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{PORT}/recommend", body, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=5) as response:
        return json.load(response)


@contextlib.contextmanager
def serving(user: str, *options: object) -> Iterator[tuple[int, float]]:
    """Runs a server until the end of the block. Yields its process id, and the seconds until its
    first answer by the model to this user."""
    begin = time.perf_counter()
    server = subprocess.Popen(sidecar("serve", "--listen", f"127.0.0.1:{PORT}", "--admin-listen", "127.0.0.1:0", *options))
    try:
        while True:
            with contextlib.suppress(OSError):
                if answer(user)["items"][0]["source"] == "model":
                    break
            if server.poll() is not None:
                sys.exit(f"the server ended with {server.returncode}")
            time.sleep(0.001)
        yield server.pid, time.perf_counter() - begin
    finally:
        server.kill()
        server.wait()


def peak_mib(process: int) -> float:
    """Peak resident memory of a process."""
    status = Path(f"/proc/{process}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")) / 1024


def recall(model: Path, test: Path, work: Path) -> float:
    """Mean over the users of the test part of the fraction of its items in the lists of all users."""
    lists_file = work / "lists.csv"
    command = sidecar("recommend", "--model", model, "--all", "-n", LIST_ITEMS, "--output", lists_file)
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    lists: dict[str, set[str]] = collections.defaultdict(set)
    with lists_file.open() as file:
        for row in csv.DictReader(file):
            lists[row["user"]].add(row["item"])
    lists_file.unlink()
    relevant = {user: set(items) for user, *items in map(str.split, test.read_text().splitlines()) if items}
    return statistics.mean(len(lists[user] & items) / len(items) for user, items in relevant.items())


def whole_job(name: str, options: argparse.Namespace, work: Path, *flags: object) -> None:
    """From the file to answers over HTTP, several times."""
    source, model = work / "train.csv", work / f"{name}.safetensors"
    csv_of(options.train, source)
    seconds, memory = [], []
    for _ in range(options.runs):
        trained, trainer_mib = train(source, model, *flags)
        with serving("0", "--model", model) as (server, started):
            seconds.append(trained + started)
            memory.append(max(trainer_mib, peak_mib(server)))
    results.add({
        "name": name,
        "setting": f"gowalla, {' '.join(map(str, flags)) or 'all defaults'}: from CSV to the first answer over HTTP, with gate and refit",
        "ours": {
            "s": round(statistics.median(seconds), 3),
            "s_max": round(max(seconds), 3),
            "peak_mib": round(max(memory), 1),
            "recall_20": round(recall(model, options.test, work), 4),
        },
        "command": f"tests/bench/answers/job … {name}",
    })  # fmt: skip


def tensor_bytes(model: Path) -> dict[str, int]:
    """Size of each tensor of a safetensors file, with the padding before it."""
    with model.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
    sizes = {name: tensor["data_offsets"] for name, tensor in header.items() if name != "__metadata__"}
    return {name: end - start for name, (start, end) in sizes.items()}


def snapshot_size(options: argparse.Namespace, work: Path) -> None:
    """Size of a snapshot divided by its size without codes."""
    narrow, wide = work / "train.csv", work / "wide.csv"
    csv_of(options.train, narrow)
    random_interactions(WIDE_ITEMS // 10, WIDE_ITEMS, 2 * WIDE_ITEMS, wide)
    cases = [("gowalla, 64 factors", narrow, ()), (f"{WIDE_ITEMS} × {WIDE_FACTORS}", wide, ("--iterations", 1))]
    for setting, source, flags in cases:
        model = work / "size.safetensors"
        train(source, model, "--factors", WIDE_FACTORS, *flags)
        codes = sum(size for tensor, size in tensor_bytes(model).items() if "item_codes." in tensor)
        size = model.stat().st_size
        results.add({
            "name": "snapshot_size",
            "setting": setting,
            "ours": {"mib": round(size / (1 << 20), 2)},
            "peer": {"mib": round((size - codes) / (1 << 20), 2)},
            "peer_name": "the same snapshot without codes",
            "ratio": f"{size / (size - codes):.3f}",
            "command": "tests/bench/answers/job … snapshot_size",
        })  # fmt: skip


def start_mapped(options: argparse.Namespace, work: Path) -> None:
    """Time from the start of a process to its first answer, where an earlier process of the pod has
    opened its copy of a large snapshot before, and the page cache has it."""
    source, model = work / "large.csv", work / "large.safetensors"
    random_interactions(LARGE_USERS, LARGE_ITEMS, 2 * LARGE_USERS, source)
    train(source, model, "--factors", LARGE_FACTORS, "--iterations", 1)
    source.unlink()
    with model.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    config, cache, store = work / "config", work / "cache", work / "store"
    key = store / "x" / "snapshots" / f"{digest}.safetensors"
    for directory in (config, cache, key.parent):
        directory.mkdir(parents=True)
    size = model.stat().st_size
    model.rename(key)
    (config / "serving.json").write_text(json.dumps({
        "namespace": "bench",
        "name": "bench",
        "revisions": [{"digest": digest, "snapshotBytes": size, "role": "desired"}],
        "store": {"url": f"file://{store}", "region": "us-east-1", "prefix": "x/"},
    }))  # fmt: skip
    flags = ("--config-dir", config, "--cache-dir", cache, "--credentials-dir", work / "none")
    with serving("u0", *flags):
        key.unlink()
    times = []
    for _ in range(options.runs):
        with serving("u0", *flags) as (_, seconds):
            times.append(seconds * 1e3)
    results.add({
        "name": "start_ready_ms",
        "setting": f"{LARGE_USERS} users, {LARGE_ITEMS} items, {LARGE_FACTORS} factors: a mapped snapshot of {size >> 20} MiB that was opened before",
        "ours": {"ms": round(statistics.median(times), 1), "ms_max": round(max(times), 1)},
        "command": "tests/bench/answers/job … start_ready_ms",
    })  # fmt: skip


def main() -> None:
    """Measures the rows that are named, or all."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--train", type=Path, required=True)
    parser.add_argument("--test", type=Path, required=True)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--work", type=Path, help="directory for temporary files; default: that of the system")
    parser.add_argument("rows", nargs="*")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.work) as directory:
        work = Path(directory)
        rows: dict[str, Callable[[], None]] = {
            "snapshot_size": lambda: snapshot_size(options, work),
            "whole_job_s": lambda: whole_job("whole_job_s", options, work),
            "whole_job_best_s": lambda: whole_job("whole_job_best_s", options, work, "--factors", BEST_FACTORS),
            "start_ready_ms": lambda: start_mapped(options, work),
        }
        if unknown := set(options.rows) - set(rows):
            sys.exit(f"unknown rows {sorted(unknown)}; valid are {list(rows)}")
        for name in options.rows or rows:
            rows[name]()


if __name__ == "__main__":
    main()
