"""Seconds until ours reaches the ranking quality of a tuned `implicit`.

Both are tuned with the same number of trials. A seeded tenth of the training set is the validation
set. Both are tuned on it by random search: ours through `ours.Ours` over λ, α₀ and η, `implicit`
over its regularization and alpha. The goal is the validation NDCG@20 of the best `implicit` model
after its default of 15 iterations; evaluation is not timed. Each package stops after the minimum
number of iterations that reaches the goal.

The curves are NDCG@20 and median seconds of both after several numbers of iterations, with their
best parameters, in alternating runs.
"""

import argparse
import statistics
from pathlib import Path

import numpy as np
import pairs
import results
import scipy.sparse as sp
from data import visits
from ours import Ours
from peers import IMPLICIT, implicit_fit
from ranking import recall_and_ndcg

NAME = "als_time_to_ndcg"
ITERATIONS = 15
CURVE_ITERATIONS = [1, 2, 3, 4, 6, 8, 11, 15]


def split(matrix: sp.csr_matrix, seed: int) -> tuple[sp.csr_matrix, sp.csr_matrix]:
    """Returns a training set, and a validation set of a tenth of the entries."""
    entries = matrix.tocoo()
    held_out = np.random.default_rng(seed).random(entries.nnz) < 0.1
    part = lambda which: sp.csr_matrix(
        (entries.data[which], (entries.row[which], entries.col[which])), shape=matrix.shape
    )
    return part(~held_out), part(held_out)


def min_iterations(is_enough, maximum: int) -> int:
    """Returns the minimum number of iterations that is enough, or `maximum`."""
    return next((count for count in range(1, maximum) if is_enough(count)), maximum)


def recorded_parameters(factors: int, trials: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Returns the parameters of both from an earlier search with this number of trials."""
    searched = f"gowalla, {factors} factors, {trials} trials each;"
    entry = next(e for e in results.read() if e["name"] == NAME and e["setting"].startswith(searched))
    ours, peer = entry["parameters"]["ours"], entry["parameters"]["peer"]
    return tuple(ours.values()), tuple(peer.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("train", type=Path, help="train.txt of the Gowalla split; see `run`")
    parser.add_argument("--factors", type=int, default=64)
    parser.add_argument("--trials", type=int, default=16)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--tuned", action="store_true", help="use the parameters in the results for this number of trials instead of a search")
    options = parser.parse_args()
    factors = options.factors
    train, validation = split(visits(options.train), 7)
    mean = train.nnz / train.shape[0]
    random = np.random.default_rng(11)
    ours = Ours(train)

    def between(low: float, high: float) -> float:
        return float(low * (high / low) ** random.random())

    def our_fit(regularization: float, unobserved: float, degrees: float, iterations: int) -> float:
        return ours.als(
            factors, iterations, regularization,
            unobservedWeight=unobserved, regularizationExponent=1.0, degreeExponent=degrees,
        )  # fmt: skip

    def our_ndcg(*parameters: float, iterations: int) -> float:
        our_fit(*parameters, iterations)
        return recall_and_ndcg(*ours.factors(), train, validation)[1]

    def peer_ndcg(alpha: float, regularization: float, iterations: int) -> float:
        _, model = implicit_fit(train, factors, iterations, alpha, regularization)
        return recall_and_ndcg(model.user_factors, model.item_factors, train, validation)[1]

    def our_draw() -> tuple[float, float, float]:
        unobserved = between(0.001, 1)
        strength = between(0.05, 20) / (mean + unobserved * train.shape[1])
        return strength, unobserved, float(random.choice([0.0, 0.5]))

    if options.tuned:
        our_best, peer_best = recorded_parameters(factors, options.trials)
    else:
        our_trials = [our_draw() for _ in range(options.trials)]
        peer_trials = [(between(1, 1000), between(0.001, 100)) for _ in range(options.trials)]
        our_best = max(our_trials, key=lambda trial: our_ndcg(*trial, iterations=ITERATIONS))
        peer_best = max(peer_trials, key=lambda trial: peer_ndcg(*trial, ITERATIONS))
    goal = peer_ndcg(*peer_best, ITERATIONS)
    our_iterations = min_iterations(lambda iterations: our_ndcg(*our_best, iterations=iterations) >= goal, ITERATIONS)
    peer_iterations = min_iterations(lambda iterations: peer_ndcg(*peer_best, iterations) >= goal, ITERATIONS)
    reached = our_ndcg(*our_best, iterations=our_iterations)

    def timed(ours: int, peer: int, count: int) -> list[tuple[float, float]]:
        """Returns the seconds of both with these numbers of iterations, in alternating runs."""
        return [(our_fit(*our_best, ours), implicit_fit(train, factors, peer, *peer_best)[0]) for _ in range(count)]

    # The first pair is a warm-up.
    figures = pairs.summarize(timed(our_iterations, peer_iterations, options.pairs + 1)[1:])
    curves = {"iterations": CURVE_ITERATIONS, "ours": [], "peer": []}
    for iterations in CURVE_ITERATIONS:
        seconds = [statistics.median(of) for of in zip(*timed(iterations, iterations, options.pairs))]
        curves["ours"].append([seconds[0], our_ndcg(*our_best, iterations=iterations)])
        curves["peer"].append([seconds[1], peer_ndcg(*peer_best, iterations)])
    results.add({
        "name": NAME,
        "setting": f"gowalla, {factors} factors, {options.trials} trials each; goal NDCG@20 {goal:.4f}, validation set 10 %; "
        f"ours {reached:.4f} after {our_iterations} iterations, peer after {peer_iterations}",
        **figures,
        "peer_name": IMPLICIT,
        "ndcg": {"ours": reached, "peer": goal},
        "curves": curves,
        "parameters": {
            "ours": dict(zip(("regularization", "unobservedWeight", "degreeExponent"), our_best)),
            "peer": dict(zip(("alpha", "regularization"), peer_best)),
        },
        "command": f"tests/bench/core/run time_to_ndcg train.txt --factors {factors} --trials {options.trials}",
    })  # fmt: skip
    print(f"{figures['ratio']['median']:.3f} × the time of implicit to NDCG@20 {goal:.4f} (ours {reached:.4f})")


if __name__ == "__main__":
    main()
