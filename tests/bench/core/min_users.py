"""NDCG of decompositions with the two-hop term by `minUsersPerItem`: what it costs to leave out rare items.

The exponents are those of the defaults, and the weight of the term is chosen with each value, as a run
does. `recmesh-sidecar evaluate` measures a random tenth, the same for all values.
"""

import argparse
import os
import re
import subprocess
import tempfile
from pathlib import Path

import results
from data import as_csv, read

MINIMA = [1, 2, 5, 10]
LIST_ITEMS = 20
DEFAULT = 5


def evaluated(csv: Path, factors: int, minimum: int) -> float:
    """Returns NDCG on the held-out tenth."""
    command = [os.environ["RECMESH_SIDECAR"], "--log", "warn", "evaluate", str(csv), "--algorithm", "svd", "--split", "random"]
    command += ["--factors", str(factors), "-k", str(LIST_ITEMS), "--min-users-per-item", str(minimum)]
    printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    print(printed, flush=True)
    return float(re.search(rf"ndcg@{LIST_ITEMS}\s+([0-9.]+)", printed)[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="+", help="NAME=FILE; `data.read` has the formats")
    parser.add_argument("--factors", type=int, default=128)
    options = parser.parse_args()
    for pair in options.data:
        name, _, file = pair.partition("=")
        matrix = read(Path(file))
        rare = {minimum: float((matrix.getnnz(axis=0) < minimum).mean()) for minimum in MINIMA}
        with tempfile.TemporaryDirectory() as directory:
            csv = Path(directory) / "rows.csv"
            as_csv(matrix, csv)
            figures = {minimum: evaluated(csv, options.factors, minimum) for minimum in MINIMA}
        listed = "; ".join(f"{minimum}: {figures[minimum]:.4f} ({rare[minimum]:.1%} of the items left out)" for minimum in MINIMA)
        results.replace({
            "name": "min_users_per_item",
            "setting": f"{name}, {matrix.shape[0]} × {matrix.shape[1]}, svd, {options.factors} factors; NDCG@{LIST_ITEMS} on a random tenth by minUsersPerItem: {listed}",
            "ours": {"ndcg20": figures[DEFAULT]},
            "peer": {"ndcg20": figures[1]},
            "peer_name": "minUsersPerItem 1",
            "data": name,
            "command": f"tests/bench/core/run min_users {name}=… --factors {options.factors}",
        }, "data")  # fmt: skip


if __name__ == "__main__":
    main()
