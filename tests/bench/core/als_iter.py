"""Seconds per iteration of implicit ALS, compared with conjugate gradients in `implicit`.

Both minimize the objective of `implicit`. Both figures exclude one-time work (loading, transposing,
an exact last half-iteration); see `pairs`. Both run alternately after a warm-up run, with two
threads and f32. The objective of both is computed in f64 from the factors after 15 iterations,
outside the timed part. Ours must not be higher.
"""

import argparse
from pathlib import Path

import numpy as np
import pairs
import results
import scipy.sparse as sp
from data import degree_quantiles, movielens_shape, visits
from objective import objective
from ours import Ours
from peers import IMPLICIT, implicit_fit

ALPHA, REGULARIZATION = 2.0, 0.01


def measure(matrix: sp.csr_matrix, setting: str, source: str, factors: int, count: int, steps: int) -> None:
    """Adds one entry to the results."""
    confidences = matrix * np.float32(ALPHA)
    ours = Ours(confidences)
    ours_seconds = lambda n: ours.als(factors, n, REGULARIZATION, steps)
    peer_fit = lambda n: implicit_fit(matrix, factors, n, ALPHA, REGULARIZATION)
    peer_seconds = lambda n: peer_fit(n)[0]
    ours_seconds(2), peer_seconds(2)
    both = [(pairs.seconds_per_iteration(ours_seconds), pairs.seconds_per_iteration(peer_seconds)) for _ in range(count)]
    ours_seconds(15)
    _, peer = peer_fit(15)
    values = {
        "ours": objective(confidences, *ours.factors(), REGULARIZATION),
        "peer": objective(confidences, peer.user_factors, peer.item_factors, REGULARIZATION),
    }
    figures = pairs.summarize(both)
    results.add({
        "name": f"als_iter_f{factors}",
        "setting": f"{setting}; {steps} steps; objective after 15 iterations {values['ours']:.6g}, peer {values['peer']:.6g}",
        **figures,
        "peer_name": IMPLICIT,
        "objective": values,
        "command": f"tests/bench/core/run als_iter {source}" + (f" --steps {steps}" if steps != 2 else ""),
    })  # fmt: skip
    print(f"{setting}, {factors} factors: {figures['ratio']['median']:.3f} × the time of implicit; objectives {values}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gowalla", type=Path, help="train.txt of the Gowalla split; see `run`")
    parser.add_argument("--movielens-shape", action="store_true", help="also measure the generated matrix")
    parser.add_argument("--factors", type=int, nargs="+", default=[64, 128, 256])
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--steps", type=int, default=2)
    options = parser.parse_args()
    data = []
    if options.gowalla:
        data.append(("gowalla", "--gowalla train.txt", visits(options.gowalla)))
    if options.movielens_shape:
        matrix = movielens_shape()
        setting = f"MovieLens-20M shape (degrees min / median / mean / max: {degree_quantiles(matrix)})"
        data.append((setting, "--movielens-shape", matrix))
    for setting, source, matrix in data:
        for factors in options.factors:
            measure(matrix, setting, source, factors, options.pairs, options.steps)


if __name__ == "__main__":
    main()
