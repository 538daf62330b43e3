"""The rows of the serving path: answers per second and CPU time beside a bare server, latency at a
constant rate, memory, and the time from start to the first answer.

Both servers run all the time and get the same load in turns, from one generator on the same CPUs.
"""

import argparse
import contextlib
import functools
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import results
from interactions import csv_of
from plot_latency import latency_by_load

HERE = Path(__file__).resolve().parent
OURS, BARE = 18080, 18081
CONNECTIONS = 32
THREADS = len(os.sched_getaffinity(0))
# Connections of the load at a constant rate, fewer than the sidecar's limit. Without a maximum, the
# generator opens one for each waiting request, and spends its CPU on that.
CONNECTIONS_MAX = 1000
ITEMS = 10
HISTORY = 50
SEED = 1
# A rate is sustained if nothing fails and the p99 is at most this.
SUSTAINED_P99_MS = 10.0
# Loads of the plot, in highest sustained rates.
LOADS = (0.1, 0.25, 0.5, 0.75, 0.9, 1.0, 1.1)
PLOT = "http_latency.svg"
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


class Case:
    """A trained model, and requests for it."""

    def __init__(self, name: str, csv: Path, work: Path, *flags: str):
        self.model = work / f"{name}.safetensors"
        command = [os.environ["RECMESH_SIDECAR"], "--log", "warn", "train", csv, "--factors", "64", *flags]
        subprocess.run([*command, "--output", self.model], check=True, stdout=subprocess.DEVNULL)
        pairs = [line.split(",")[:2] for line in csv.read_text().splitlines()[1:]]
        users, self.items = (sorted({pair[column] for pair in pairs}) for column in (0, 1))
        shuffled = random.Random(SEED)
        shuffled.shuffle(users)
        self.users = self.write(work / f"{name}.users", [{"user": user, "n": ITEMS} for user in users])
        histories = (shuffled.sample(self.items, min(HISTORY, len(self.items))) for _ in range(10_000))
        rows = [{"history": [{"item": item} for item in history], "n": ITEMS} for history in histories]
        self.histories = self.write(work / f"{name}.histories", rows)

    @staticmethod
    def write(file: Path, bodies: list[dict]) -> Path:
        """Writes a file of bodies, one per line."""
        file.write_text("".join(json.dumps(body, separators=(",", ":")) + "\n" for body in bodies))
        return file


def post(port: int, body: str) -> bytes:
    """Sends one request, and returns the body of the response."""
    url, headers = f"http://127.0.0.1:{port}/recommend", {"content-type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(url, body.encode(), headers), timeout=5) as response:
        return response.read()


@contextlib.contextmanager
def running(command: list[str], port: int, body: str) -> Iterator[int]:
    """Runs a server until the end of the block; waits until it answers. Yields its process id."""
    server = subprocess.Popen(list(map(str, command)))
    try:
        for _ in range(1000):
            with contextlib.suppress(OSError):
                post(port, body)
                break
            if server.poll() is not None:
                sys.exit(f"{command[0]} ended with {server.returncode}")
            time.sleep(0.01)
        yield server.pid
    finally:
        server.kill()
        server.wait()


def sidecar(case: Case, *options: str) -> list[str]:
    """The command that serves a case."""
    command = [os.environ["RECMESH_SIDECAR"], "--log", "warn", "serve", "--model", str(case.model)]
    return [*command, "--listen", f"127.0.0.1:{OURS}", "--admin-listen", "127.0.0.1:0", *options]


def bare(runtime: str, body_bytes: int) -> list[str]:
    """The command of the bare server."""
    return [os.environ["BARE_SERVER"], f"127.0.0.1:{BARE}", runtime, str(THREADS), str(body_bytes)]


def cpu_seconds(process: int) -> float:
    """User and system time of a process."""
    fields = Path(f"/proc/{process}/stat").read_text().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND


def wrk(port: int, process: int, bodies: Path, seconds: float) -> dict[str, float]:
    """Loads a server; returns answers per second, and CPU time of the server per answer."""
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds:.0f}s", "-s", HERE / "http_users.lua", f"http://127.0.0.1:{port}"]
    before = cpu_seconds(process)
    printed = subprocess.run(
        command, check=True, stdout=subprocess.PIPE, text=True, env={**os.environ, "BODIES": str(bodies)}
    ).stdout
    spent = cpu_seconds(process) - before
    counted = json.loads(printed.splitlines()[-1])
    if counted["failed"]:
        sys.exit(f"{counted['failed']} of {counted['answers']} requests failed: {printed}")
    return {
        "answers_per_s": counted["answers"] / counted["seconds"],
        "cpu_us_per_answer": spent / counted["answers"] * 1e6,
        "p50_ms": counted["p50_us"] / 1e3,
        "p99_ms": counted["p99_us"] / 1e3,
    }


def medians(runs: list[dict[str, float]]) -> dict[str, float]:
    """The median of each figure."""
    return {figure: round(statistics.median(run[figure] for run in runs), 3) for figure in runs[0]}


def throughput(name: str, setting: str, case: Case, bodies: Path, options: argparse.Namespace, *flags: str) -> None:
    """Compares answers per second with those of the bare server in alternating runs."""
    lines = bodies.read_text().splitlines()
    with running(sidecar(case, *flags), OURS, lines[0]) as ours:
        length = round(statistics.mean(len(post(OURS, line)) for line in lines[:200]))
        # The faster runtime of the bare server counts.
        rates = {}
        for runtime in ("shared", "per-thread"):
            with running(bare(runtime, length), BARE, lines[0]) as peer:
                rates[runtime] = wrk(BARE, peer, bodies, options.seconds)["answers_per_s"]
        runtime = max(rates, key=rates.__getitem__)
        with running(bare(runtime, length), BARE, lines[0]) as peer:
            wrk(OURS, ours, bodies, options.warm_up)
            pairs = []
            for _ in range(options.pairs):
                pairs.append((wrk(OURS, ours, bodies, options.seconds), wrk(BARE, peer, bodies, options.seconds)))
    ratios = [a["answers_per_s"] / b["answers_per_s"] for a, b in pairs]
    more = [a["cpu_us_per_answer"] - b["cpu_us_per_answer"] for a, b in pairs]
    results.add({
        "name": name,
        "setting": f"{setting}; {CONNECTIONS} connections, responses of {length} bytes",
        "ours": medians([a for a, _ in pairs]),
        "peer": medians([b for _, b in pairs]),
        "peer_name": f"bare hyper server, {runtime} runtime",
        **results.ratio(ratios),
        "more_cpu_us_per_answer": round(statistics.median(more), 3),
        "command": f"tests/bench/answers/http … {name}",
    })  # fmt: skip


def vegeta(*arguments: str, stdin: bytes | None = None) -> bytes:
    """Runs the generator of constant rates, without the pauses of its garbage collector."""
    env = {**os.environ, "GOGC": "off", "GOMEMLIMIT": "1GiB"}
    return subprocess.run([os.environ["VEGETA"], *arguments], check=True, input=stdin, stdout=subprocess.PIPE, env=env).stdout


def sent(port: int, bodies: Path, rate: int, seconds: float, work: Path) -> bytes:
    """Sends requests at a constant rate, and returns the results of all of them."""
    targets = work / f"targets-{port}"
    if not targets.exists():
        http = f"POST http://127.0.0.1:{port}/recommend\nContent-Type: application/json\n"
        bodies_directory = work / "bodies"
        bodies_directory.mkdir(exist_ok=True)
        with targets.open("w") as file:
            for index, body in enumerate(bodies.read_text().splitlines()):
                (bodies_directory / str(index)).write_text(body)
                file.write(f"{http}@{bodies_directory}/{index}\n\n")
    connections = (f"-connections={CONNECTIONS_MAX}", f"-max-connections={CONNECTIONS_MAX}")
    return vegeta("attack", f"-rate={rate}", f"-duration={seconds}s", f"-targets={targets}", *connections)


def attack(port: int, bodies: Path, rate: int, seconds: float, work: Path) -> dict:
    """Sends requests at a constant rate, and returns a report of all of them."""
    return json.loads(vegeta("report", "-type=json", stdin=sent(port, bodies, rate, seconds, work)))


def attack_lines(port: int, bodies: Path, rate: int, seconds: float, work: Path) -> list[list[str]]:
    """Sends requests at a constant rate. A line per request: scheduled time and latency in ns, and the status between them."""
    encoded = vegeta("encode", "-to=csv", stdin=sent(port, bodies, rate, seconds, work))
    return [line.split(",", 3)[:3] for line in encoded.decode().splitlines()]


def is_sustained(report: dict) -> bool:
    """Whether nothing failed and the p99 is low."""
    return report["success"] == 1.0 and report["latencies"]["99th"] / 1e6 <= SUSTAINED_P99_MS


def latencies(report: dict) -> dict[str, float]:
    """Latencies of a report in ms, and the fraction of failed requests."""
    quantiles = {"p99_ms": "99th", "p50_ms": "50th", "max_ms": "max"}
    of = {name: round(report["latencies"][quantile] / 1e6, 3) for name, quantile in quantiles.items()}
    return {**of, "failed": 1.0 - report["success"]}


def cold_p99(case: Case, options: argparse.Namespace, work: Path) -> None:
    """Latency at half of the highest sustained rate, and that of the bare server at the same rate: what
    the generator and the scheduler add on the same CPUs."""
    first = case.users.read_text().splitlines()[0]
    with running(sidecar(case, "--cache-mib", "0"), OURS, first):
        low, high = 50, 100
        while is_sustained(attack(OURS, case.users, high, options.seconds, work)):
            low, high = high, 2 * high
        while high - low > max(20, low // 20):
            middle = (low + high) // 2
            if is_sustained(attack(OURS, case.users, middle, options.seconds, work)):
                low = middle
            else:
                high = middle
        length = len(post(OURS, first))
        with running(bare("shared", length), BARE, first):
            report, peer = (attack(port, case.users, low // 2, 60, work) for port in (OURS, BARE))
            curve = {
                round(low * load): [latencies(attack(port, case.users, round(low * load), options.seconds, work)) for port in (OURS, BARE)]
                for load in LOADS
            }
    lines = {
        f"{name}, {quantile}": [[rate, of[index][f"{quantile}_ms"]] for rate, of in curve.items()]
        for index, name in enumerate(("recmesh", "bare hyper server"))
        for quantile in ("p50", "p99")
    }
    title = "Latency of POST /recommend by load, gowalla, 64 factors, cache off"
    subtitle = f"constant rates of {options.seconds:.0f} s, generator on the same {THREADS} cores, {results.kernels()}"
    (results.RESULTS / PLOT).write_text(latency_by_load(title, subtitle, lines))
    results.add({
        "name": "http_cold_p99_ms",
        "setting": "gowalla, 64 factors, cache off; 60 s at half of the highest constant rate with no error and p99 ≤ 10 ms",
        "ours": {**latencies(report), "requests_per_s": low // 2, "sustained_per_s": low},
        "peer": latencies(peer),
        "peer_name": "bare hyper server at the same rate",
        "points": lines,
        "plot": PLOT,
        "command": "tests/bench/answers/http … http_cold_p99_ms",
    })  # fmt: skip


def anonymous_memory(case: Case, options: argparse.Namespace) -> None:
    """Anonymous memory after 100,000 requests with a full cache."""
    with running(sidecar(case), OURS, case.users.read_text().splitlines()[0]) as ours:
        answered = 0.0
        while answered < 100_000:
            answered += wrk(OURS, ours, case.users, options.seconds)["answers_per_s"] * options.seconds
        status = Path(f"/proc/{ours}/status").read_text()
    [kibibytes] = [int(line.split()[1]) for line in status.splitlines() if line.startswith("RssAnon:")]
    # With --model the file is read into anonymous memory; pods map it.
    model_mib = case.model.stat().st_size / (1 << 20)
    results.add({
        "name": "rss_above_model_mib",
        "setting": "gowalla, 64 factors, default cache, after 100,000 requests of all users; RssAnon of the process less the file",
        "ours": {"mib": round(kibibytes / 1024 - model_mib, 2), "file_mib": round(model_mib, 2), "answers": round(answered)},
        "command": "tests/bench/answers/http … rss_above_model_mib",
    })  # fmt: skip


def start_ready(case: Case, options: argparse.Namespace) -> None:
    """Time from the start of the process to its first answer."""
    body = case.users.read_text().splitlines()[0]
    times = []
    for _ in range(options.pairs + 1):
        begin = time.perf_counter()
        with running(sidecar(case), OURS, body):
            times.append((time.perf_counter() - begin) * 1e3)
    results.add({
        "name": "start_ready_ms",
        "setting": f"gowalla, 64 factors, a file of {case.model.stat().st_size >> 20} MiB with --model, which verifies its checksum",
        "ours": {"ms": round(statistics.median(times[1:]), 1)},
        "command": "tests/bench/answers/http … start_ready_ms",
    })  # fmt: skip


def main() -> None:
    """Measures the rows that are named, or all."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--gowalla", type=Path, required=True)
    parser.add_argument("--msweb", type=Path, required=True)
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--warm-up", type=float, default=4, help="enough for all users once")
    parser.add_argument("rows", nargs="*")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        work = Path(directory)
        csv_of(options.gowalla, work / "gowalla.csv")
        csv = {"gowalla": work / "gowalla.csv", "msweb": options.msweb}

        @functools.cache
        def case(data: str) -> Case:
            """A model of the factors alone: the rows measure the search and the path around it."""
            return Case(data, csv[data], work, "--co-occurrence-weight", "0")

        @functools.cache
        def two_hop(data: str) -> Case:
            """The model of the default parameters, with the two-hop term."""
            return Case(f"{data}-two-hop", csv[data], work)

        off = ("--cache-mib", "0")
        factors = "64 factors, known users in seeded order"
        term = "64 factors and the two-hop term, known users in seeded order"

        def row(name: str, setting: str, of: Case, *flags: str) -> None:
            throughput(name, setting, of, of.users, options, *flags)

        rows: dict[str, Callable[[], None]] = {
            "http_msweb_cold": lambda: row("http_msweb_cold", f"shipped visits, {factors}, cache off", case("msweb"), *off),
            "http_cold": lambda: row("http_cold", f"gowalla, {factors}, cache off", case("gowalla"), *off),
            "http_warm": lambda: row("http_warm", f"gowalla, {factors}, default cache", case("gowalla")),
            "http_foldin": lambda: throughput(
                "http_foldin", f"gowalla, 64 factors, histories of {HISTORY} random items", case("gowalla"),
                case("gowalla").histories, options,
            ),
            "http_msweb_cold_two_hop": lambda: row(
                "http_msweb_cold_two_hop", f"shipped visits, {term}, cache off", two_hop("msweb"), *off
            ),
            "http_cold_two_hop": lambda: row("http_cold_two_hop", f"gowalla, {term}, cache off", two_hop("gowalla"), *off),
            "http_warm_two_hop": lambda: row("http_warm_two_hop", f"gowalla, {term}, default cache", two_hop("gowalla")),
            "http_cold_p99_ms": lambda: cold_p99(case("gowalla"), options, work),
            "rss_above_model_mib": lambda: anonymous_memory(case("gowalla"), options),
            "start_ready_ms": lambda: start_ready(case("gowalla"), options),
        }  # fmt: skip
        if unknown := set(options.rows) - set(rows):
            sys.exit(f"unknown rows {sorted(unknown)}; valid are {list(rows)}")
        for name in options.rows or rows:
            rows[name]()


if __name__ == "__main__":
    main()
