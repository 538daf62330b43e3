"""Seconds an iteration of implicit ALS, beside the conjugate gradients of `implicit`, on its own objective.

An iteration is (T₁₅ − T₅)/10, so what happens once (loading, transposing, an exact last half-sweep) is in neither figure. Both
run in turns after a run that does not count; both have two threads and f32. The objective of both is computed in f64 from the
factors after 15 iterations, off the clock: ours must not be higher.
"""

import argparse
import statistics
import time
from pathlib import Path

import numpy as np
import results
import scipy.sparse as sp
from data import degree_quantiles, movielens_shape, visits
from implicit.cpu.als import AlternatingLeastSquares
from objective import objective
from ours import Ours

ALPHA, REGULARIZATION = 2.0, 0.01


def implicit_fit(matrix: sp.csr_matrix, factors: int, iterations: int) -> tuple[float, AlternatingLeastSquares]:
    """Seconds of a fit, and the model. `implicit` multiplies the entries by alpha, which gives confidences."""
    model = AlternatingLeastSquares(
        factors=factors, regularization=REGULARIZATION, alpha=ALPHA, iterations=iterations, dtype=np.float32,
        use_cg=True, num_threads=2, random_state=1, calculate_training_loss=False,
    )  # fmt: skip
    begin = time.perf_counter()
    model.fit(matrix, show_progress=False)
    return time.perf_counter() - begin, model


def measure(matrix: sp.csr_matrix, setting: str, source: str, factors: int, pairs: int, steps: int) -> None:
    """One entry of the results."""
    confidences = matrix * np.float32(ALPHA)
    ours = Ours(confidences)
    ours_iteration = lambda: (ours_seconds(15) - ours_seconds(5)) / 10
    ours_seconds = lambda n: ours.als(factors, n, REGULARIZATION, steps)
    peer_iteration = lambda: (implicit_fit(matrix, factors, 15)[0] - implicit_fit(matrix, factors, 5)[0]) / 10
    ours_seconds(2), implicit_fit(matrix, factors, 2)
    both = [(ours_iteration(), peer_iteration()) for _ in range(pairs)]
    ratios = [a / b for a, b in both]
    ours_seconds(15)
    _, peer = implicit_fit(matrix, factors, 15)
    values = {
        "ours": objective(confidences, *ours.factors(), REGULARIZATION),
        "peer": objective(confidences, peer.user_factors, peer.item_factors, REGULARIZATION),
    }
    say = lambda seconds: f"{statistics.median(seconds):.3f} s"
    results.add({
        "name": f"als_iter_f{factors}",
        "setting": f"{setting}; {steps} steps; objective after 15 iterations {values['ours']:.6g}, peer {values['peer']:.6g}",
        "ours": say([a for a, _ in both]),
        "peer": say([b for _, b in both]),
        "peer_name": "implicit 0.7.3, CG",
        "ratio": {"median": statistics.median(ratios), "min": min(ratios), "max": max(ratios)},
        "pairs": pairs,
        "objective": values,
        "command": f"tests/bench/core/run als_iter {source}" + (f" --steps {steps}" if steps != 2 else ""),
    })  # fmt: skip
    print(f"{setting}, {factors} factors: {statistics.median(ratios):.3f} of implicit's time; {values}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gowalla", type=Path, help="train.txt of the Gowalla split; see `run`")
    parser.add_argument("--movielens-shape", action="store_true", help="also the generated matrix")
    parser.add_argument("--factors", type=int, nargs="+", default=[64, 128, 256])
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--steps", type=int, default=2)
    options = parser.parse_args()
    data = []
    if options.gowalla:
        data.append(("gowalla", "--gowalla train.txt", visits(options.gowalla)))
    if options.movielens_shape:
        matrix = movielens_shape()
        setting = f"MovieLens-20M shape (degrees least / median / mean / greatest: {degree_quantiles(matrix)})"
        data.append((setting, "--movielens-shape", matrix))
    for setting, source, matrix in data:
        for factors in options.factors:
            measure(matrix, setting, source, factors, options.pairs, options.steps)


if __name__ == "__main__":
    main()
