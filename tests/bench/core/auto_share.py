"""`auto` compared with each single algorithm that is tuned with the same budget of fits.

`recmesh-sidecar tune` searches without a held-out tenth of the rows and measures its choice on it,
with the same rows and users for all. The best single algorithm is the one with the best figure on
the held-out tenth, which favours it.
"""

import argparse
import os
import re
import statistics
import subprocess
import tempfile
from pathlib import Path

import results
from data import as_csv, read

SINGLE = ["als", "svd", "bpr"]
FITS = 24
FACTORS_MAX = 128
# Seconds, far above what a search takes: only the number of fits ends a search.
BUDGET = 36_000


def tuned(csv: Path, algorithm: str) -> tuple[float, float, str]:
    """Returns NDCG@10 of the choice of a search, that of popularity, and the algorithm and parameters chosen."""
    command = [os.environ["RECMESH_SIDECAR"], "--log", "warn", "tune", str(csv), "--algorithm", algorithm]
    command += ["--factors-max", str(FACTORS_MAX), "--budget", str(BUDGET)]
    command += ["--fits", str(FITS)] if algorithm == "auto" else ["--trials", str(FITS)]
    printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    print(printed, flush=True)
    figures = re.search(r"^# on the held-out set.*?ndcg@10 ([0-9.]+) \(baseline ([0-9.]+)\)", printed, re.MULTILINE)
    resource = printed[printed.index("spec:") :]
    name = re.search(r"^    (\w+):$", resource, re.MULTILINE)[1]
    factors = re.search(r"factors: (\d+)", resource)[1]
    return float(figures[1]), float(figures[2]), f"{name}, {factors} factors"


def measure(name: str, file: Path, algorithms: list[str]) -> None:
    """Adds the row of a data set."""
    matrix = read(file)
    with tempfile.TemporaryDirectory() as directory:
        csv = Path(directory) / "rows.csv"
        as_csv(matrix, csv)
        found = {algorithm: tuned(csv, algorithm) for algorithm in ["auto", *algorithms]}
    auto, popular, choice = found.pop("auto")
    best = max(found, key=lambda algorithm: found[algorithm][0])
    listed = ", ".join(f"{algorithm} {figure:.4f} ({chosen.partition(', ')[2]})" for algorithm, (figure, _, chosen) in found.items())
    share = auto / found[best][0]
    results.replace({
        "name": "auto_by_set",
        "setting": f"{name}, {matrix.shape[0]} × {matrix.shape[1]}; {FITS} fits each, up to {FACTORS_MAX} factors; chosen by auto: {choice}; share {share:.3f}; "
        f"single: {listed}; popularity {popular:.4f}; held-out set: 10 %, seed 42",
        "ours": {"ndcg10": auto},
        "peer": {"ndcg10": found[best][0]},
        "peer_name": f"best single algorithm: {best}",
        "data": name,
        "share": share,
        "command": f"tests/bench/core/run auto_share {name}=… --algorithms {' '.join(algorithms)}",
    }, "data")  # fmt: skip
    print(f"{name}: auto {auto:.4f}, {best} {found[best][0]:.4f}, share {share:.3f}", flush=True)


def summarize() -> None:
    """Adds median and minimum of the shares over all data sets measured so far."""
    rows = sorted((e for e in results.read() if e["name"] == "auto_by_set"), key=lambda row: row["share"])
    shares = [row["share"] for row in rows]
    listed = ", ".join(f"{row['data']} {row['share']:.3f}" for row in rows)
    results.replace({
        "name": "auto_share",
        "setting": f"auto: {{}} over the best single algorithm with the same budget, NDCG@10, on {len(rows)} data sets: {listed}; rows auto_by_set have the figures",
        "ours": {"median": statistics.median(shares), "minimum": min(shares)},
        "peer": "1",
        "peer_name": "best single algorithm",
        "command": "tests/bench/core/run auto_share NAME=FILE …",
    })  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="+", help="NAME=FILE; `data.read` has the formats")
    parser.add_argument("--algorithms", nargs="+", choices=SINGLE, default=SINGLE)
    options = parser.parse_args()
    for pair in options.data:
        name, _, file = pair.partition("=")
        measure(name, Path(file), options.algorithms)
        summarize()


if __name__ == "__main__":
    main()
