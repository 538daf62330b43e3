"""Seconds until a truncated SVD reaches the residual of scikit-learn, for each of its two solvers.

`randomized` runs with each of `--iterations` (its default and more) and 10 oversamples; `arpack`
converges. The residual ‖A − AVVᵀ‖ is computed in f64 from the right singular vectors by one
evaluator, outside the timed part. Ours is timed as a whole fit, with the minimum number of
iterations whose residual is not above that of the peer, within 1e-6. All run with f32 and two
threads.
"""

import argparse
from pathlib import Path

import numpy as np
import pairs
import results
import scipy.sparse as sp
from data import degree_quantiles, movielens_shape, visits
from ours import Ours
from peers import SKLEARN, truncated_svd

TOLERANCE = 1e-6
ITERATIONS_MAX = 30


def residual(matrix: sp.csr_matrix, vectors: np.ndarray) -> float:
    """Returns ‖A − AQQᵀ‖ with an orthonormal basis Q of the vectors; `matrix` is in f64."""
    basis, _ = np.linalg.qr(vectors.astype(np.float64))
    return float(np.sqrt(np.sum(matrix.data**2) - np.sum((matrix @ basis) ** 2)))


def measure(ours: Ours, matrix: sp.csr_matrix, setting: str, factors: int, count: int, command: str, **settings) -> None:
    """Adds one entry to the results."""
    matrix_f64 = matrix.astype(np.float64)
    _, vectors = truncated_svd(matrix, factors, **settings)
    goal = residual(matrix_f64, vectors)
    for iterations in range(1, ITERATIONS_MAX + 1):
        ours.svd(factors, iterations, 0.0)
        reached = residual(matrix_f64, ours.factors()[1])
        if reached <= goal * (1 + TOLERANCE):
            break
    else:
        raise RuntimeError(f"the residual after {ITERATIONS_MAX} iterations is {reached}, above the goal of {goal}")
    both = [(ours.svd(factors, iterations, 0.0), truncated_svd(matrix, factors, **settings)[0]) for _ in range(count + 1)]
    # The first pair is a warm-up.
    figures = pairs.summarize(both[1:])
    solver = ", ".join(str(value) if name == "algorithm" else f"{name} {value}" for name, value in settings.items())
    results.add({
        "name": "svd_time",
        "setting": f"{setting}, {factors} factors; residual {reached:.7g} after {iterations} iterations, peer {goal:.7g} by {solver}",
        **figures,
        "peer_name": SKLEARN,
        "residual": {"ours": reached, "peer": goal},
        "command": command,
    })  # fmt: skip
    print(f"{setting}, {factors} factors: {figures['ratio']['median']:.3f} × the time of {solver}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gowalla", type=Path, help="train.txt of the Gowalla split; see `run`")
    parser.add_argument("--movielens-shape", action="store_true", help="also measure the generated matrix, with up to 64 factors")
    parser.add_argument("--factors", type=int, nargs="+", default=[64, 256])
    parser.add_argument("--iterations", type=int, nargs="*", default=[5, 10], help="iterations of the randomized solver of scikit-learn")
    parser.add_argument("--pairs", type=int, default=5)
    options = parser.parse_args()
    solvers = [{"algorithm": "randomized", "n_iter": n, "n_oversamples": 10} for n in options.iterations]
    solvers.append({"algorithm": "arpack"})
    data = []
    if options.gowalla:
        data.append(("gowalla", "--gowalla train.txt", visits(options.gowalla), options.factors))
    if options.movielens_shape:
        matrix = movielens_shape()
        setting = f"MovieLens-20M shape (degrees min / median / mean / max: {degree_quantiles(matrix)})"
        data.append((setting, "--movielens-shape", matrix, [f for f in options.factors if f <= 64]))
    for setting, source, matrix, factor_counts in data:
        ours = Ours(matrix)
        for factors in factor_counts:
            for solver in solvers:
                measure(ours, matrix, setting, factors, options.pairs, f"tests/bench/core/run svd_time {source}", **solver)


if __name__ == "__main__":
    main()
