"""The rows of the mesh: latency that a hop adds, memory of the sidecar of an app, and the time from its start
to the first answer.

The serving pod, the sidecar and HAProxy run all the time and get the same load in turns, from one generator on
the same CPUs.
"""

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import results
from http_rows import OURS as DIRECT
from http_rows import Case, attack, latencies, post, running, sidecar

MUTUAL_TLS, PROXY = 18443, 18088
# HAProxy by its number of threads. The faster one counts.
HAPROXY = {1: 18089, 2: 18090}
RATE = 2_000
REQUESTS = 100_000
TRUST_DOMAIN = "cluster.local"


def identity(work: Path) -> None:
    """Writes an anchor, and the credentials of `movies` and `web` in namespace `shop`."""

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], check=True, cwd=work, stderr=subprocess.DEVNULL)

    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    openssl("req", "-x509", *curve, "-keyout", "root.key", "-out", "anchors.pem", "-subj", "/CN=anchor", "-days", "2")
    for name in ("movies", "web"):
        extensions = work / f"{name}.ext"
        extensions.write_text(
            f"subjectAltName=URI:spiffe://{TRUST_DOMAIN}/ns/shop/sa/{name}\n"
            "basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=serverAuth,clientAuth\n"
        )
        openssl("req", *curve, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", "/CN=leaf")
        issuer = ("-CA", "anchors.pem", "-CAkey", "root.key", "-CAcreateserial", "-days", "1")
        openssl("x509", "-req", "-in", f"{name}.csr", *issuer, "-extfile", extensions.name, "-out", f"{name}.pem")
        (work / f"{name}-credentials.pem").write_text((work / f"{name}.key").read_text() + (work / f"{name}.pem").read_text())


def of(work: Path, name: str) -> list[str]:
    """The flags of an identity."""
    return ["--credentials", f"{work}/{name}-credentials.pem", "--anchors", f"{work}/anchors.pem"]


def pod(case: Case, work: Path) -> list[str]:
    """The command of the serving pod."""
    return sidecar(case, *of(work, "movies"), "--mesh-port", str(MUTUAL_TLS))


def proxy(work: Path) -> list[str]:
    """The command of the sidecar of an app."""
    command = [os.environ["RECMESH_SIDECAR"], "--log", "warn", "proxy", "--recommender", "movies", "--namespace", "shop"]
    ports = ["--listen", f"127.0.0.1:{PROXY}", "--admin-listen", "127.0.0.1:0", "--upstream", f"127.0.0.1:{MUTUAL_TLS}"]
    return [*command, *ports, *of(work, "web")]


def haproxy(work: Path, threads: int) -> list[str]:
    """The command of HAProxy."""
    config = work / f"haproxy-{threads}.cfg"
    config.write_text(f"""global
    nbthread {threads}
defaults
    mode http
    http-reuse always
    timeout connect 1s
    timeout client 30s
    timeout server 30s
frontend app
    bind 127.0.0.1:{HAPROXY[threads]}
    default_backend pods
backend pods
    server pod 127.0.0.1:{MUTUAL_TLS} ssl crt {work}/web-credentials.pem ca-file {work}/anchors.pem verify required alpn h2 ssl-min-ver TLSv1.3
""")
    return ["haproxy", "-q", "-db", "-f", str(config)]


def memory_mib(process: int) -> float:
    """Anonymous memory of a process."""
    status = Path(f"/proc/{process}/status").read_text()
    [kibibytes] = [int(line.split()[1]) for line in status.splitlines() if line.startswith("RssAnon:")]
    return round(kibibytes / 1024, 2)


@contextlib.contextmanager
def all_running(case: Case, work: Path, body: str) -> Iterator[int]:
    """Runs the serving pod and the proxies; yields the process id of the sidecar."""
    with (
        running(pod(case, work), DIRECT, body),
        running(proxy(work), PROXY, body) as ours,
        running(haproxy(work, 1), HAPROXY[1], body),
        running(haproxy(work, 2), HAPROXY[2], body),
    ):
        yield ours


def load(port: int, case: Case, seconds: float, work: Path) -> dict[str, float]:
    """Latencies at the constant rate; a request that fails ends the benchmark."""
    measured = latencies(attack(port, case.users, RATE, seconds, work))
    if measured["failed"]:
        sys.exit(f"port {port}: {measured['failed']:.2%} of the requests failed")
    return measured


def hop(case: Case, options: argparse.Namespace, work: Path) -> None:
    """Latency that the hop adds to the direct call, ours and that of HAProxy; and the memory of the sidecar."""
    body = case.users.read_text().splitlines()[0]
    with all_running(case, work, body) as ours:
        warm = {port: load(port, case, options.warm_up, work) for port in (DIRECT, PROXY, *HAPROXY.values())}
        threads = min(HAPROXY, key=lambda threads: warm[HAPROXY[threads]]["p50_ms"])
        peer = HAPROXY[threads]
        rounds = [{port: load(port, case, options.seconds, work) for port in (DIRECT, PROXY, peer)} for _ in range(options.rounds)]
        sent = round(RATE * (options.warm_up + options.rounds * options.seconds))
        if sent < REQUESTS:
            load(PROXY, case, (REQUESTS - sent) / RATE, work)
        memory = memory_mib(ours)
    setting = f"shipped visits, 64 factors; {RATE} requests/s for {options.seconds:.0f} s in each of {options.rounds} rounds"
    for quantile in ("p50_ms", "p99_ms"):
        added = {port: [round_[port][quantile] - round_[DIRECT][quantile] for round_ in rounds] for port in (PROXY, peer)}
        direct = statistics.median(round_[DIRECT][quantile] for round_ in rounds)
        ratios = [a / b for a, b in zip(added[PROXY], added[peer], strict=True)]

        def figures(port: int, added: dict[int, list[float]] = added) -> dict[str, float]:
            return {"added": round(statistics.median(added[port]), 3), "min": round(min(added[port]), 3), "max": round(max(added[port]), 3)}

        results.add(
            {
                "name": f"hop_{quantile}",
                "setting": setting,
                "ours": {**figures(PROXY), "direct": round(direct, 3)},
                "peer": figures(peer),
                "peer_name": f"HAProxy, nbthread {threads}, the same hop",
                **results.ratio(ratios),
                "command": f"tests/bench/mesh/run hop_{quantile}",
            },
            results.MESH,
        )
    results.add(
        {
            "name": "proxy_rss_mib",
            "setting": f"mutual TLS, after {max(sent, REQUESTS)} requests of all users; RssAnon",
            "ours": {"mib": memory},
            "command": "tests/bench/mesh/run proxy_rss_mib",
        },
        results.MESH,
    )


def first_answer(case: Case, options: argparse.Namespace, work: Path) -> None:
    """Time from the start of the sidecar to its first answer of a serving pod over mutual TLS."""
    body = case.users.read_text().splitlines()[0]
    times = []
    with running(pod(case, work), DIRECT, body):
        for _ in range(options.rounds + 1):
            begin = time.perf_counter()
            with running(proxy(work), PROXY, body):
                times.append((time.perf_counter() - begin) * 1e3)
                if b"degraded" in post(PROXY, body):
                    sys.exit("the first answer is not one of the serving pod")
    results.add(
        {
            "name": "proxy_first_answer_ms",
            "setting": "mutual TLS, from the start of the process; tried every 10 ms",
            "ours": {"ms": round(statistics.median(times[1:]), 1), "max": round(max(times[1:]), 1)},
            "command": "tests/bench/mesh/run proxy_first_answer_ms",
        },
        results.MESH,
    )


def main() -> None:
    """Measures the rows that are named, or all."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--msweb", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--warm-up", type=float, default=5)
    parser.add_argument("rows", nargs="*")
    options = parser.parse_args()
    rows = {"hop_p50_ms": hop, "hop_p99_ms": hop, "proxy_rss_mib": hop, "proxy_first_answer_ms": first_answer}
    if unknown := set(options.rows) - set(rows):
        sys.exit(f"unknown rows {sorted(unknown)}; valid are {list(rows)}")
    with tempfile.TemporaryDirectory() as directory:
        work = Path(directory)
        identity(work)
        case = Case("msweb", options.msweb, work, "--co-occurrence-weight", "0")
        for measure in dict.fromkeys(rows[name] for name in options.rows or rows):
            measure(case, options, work)


if __name__ == "__main__":
    main()
