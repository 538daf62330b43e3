"""Seconds until lists are as good as those of a tuned `implicit`, both tuned with as many trials.

A tenth of the training part is kept, by a seeded choice; both are tuned on it by random search, ours by `ours.Ours` over λ, α₀ and
η, `implicit` over its regularization and alpha. The goal is the validation NDCG@20 of implicit's best after its default of 15
iterations, evaluation off the clock. Ours stops after the fewest sweeps that reach it; implicit after the fewest of its own.

The curves are NDCG@20 and median seconds of both after some numbers of sweeps, with their best parameters, in turns.
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
SWEEPS = 15
CURVE_SWEEPS = [1, 2, 3, 4, 6, 8, 11, 15]


def split(matrix: sp.csr_matrix, seed: int) -> tuple[sp.csr_matrix, sp.csr_matrix]:
    """A training part, and a tenth to validate on."""
    entries = matrix.tocoo()
    kept = np.random.default_rng(seed).random(entries.nnz) < 0.1
    part = lambda which: sp.csr_matrix(
        (entries.data[which], (entries.row[which], entries.col[which])), shape=matrix.shape
    )
    return part(~kept), part(kept)


def fewest(reaches, most: int) -> int:
    """Sweeps from 1 on, until enough."""
    return next((sweeps for sweeps in range(1, most) if reaches(sweeps)), most)


def kept_parameters(factors: int, trials: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Of ours and of implicit, as an earlier search of as many trials left them in the results."""
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
    parser.add_argument("--tuned", action="store_true", help="by what the results hold of as many trials; no search")
    options = parser.parse_args()
    factors = options.factors
    train, validation = split(visits(options.train), 7)
    mean = train.nnz / train.shape[0]
    random = np.random.default_rng(11)
    ours = Ours(train)

    def between(low: float, high: float) -> float:
        return float(low * (high / low) ** random.random())

    def our_fit(regularization: float, unobserved: float, degrees: float, sweeps: int) -> float:
        return ours.als(
            factors, sweeps, regularization,
            unobservedWeight=unobserved, regularizationExponent=1.0, degreeExponent=degrees,
        )  # fmt: skip

    def our_ndcg(*parameters: float, sweeps: int) -> float:
        our_fit(*parameters, sweeps)
        return recall_and_ndcg(*ours.factors(), train, validation)[1]

    def peer_ndcg(alpha: float, regularization: float, sweeps: int) -> float:
        _, model = implicit_fit(train, factors, sweeps, alpha, regularization)
        return recall_and_ndcg(model.user_factors, model.item_factors, train, validation)[1]

    def our_draw() -> tuple[float, float, float]:
        unobserved = between(0.001, 1)
        strength = between(0.05, 20) / (mean + unobserved * train.shape[1])
        return strength, unobserved, float(random.choice([0.0, 0.5]))

    if options.tuned:
        our_best, peer_best = kept_parameters(factors, options.trials)
    else:
        our_trials = [our_draw() for _ in range(options.trials)]
        peer_trials = [(between(1, 1000), between(0.001, 100)) for _ in range(options.trials)]
        our_best = max(our_trials, key=lambda trial: our_ndcg(*trial, sweeps=SWEEPS))
        peer_best = max(peer_trials, key=lambda trial: peer_ndcg(*trial, SWEEPS))
    goal = peer_ndcg(*peer_best, SWEEPS)
    our_sweeps = fewest(lambda sweeps: our_ndcg(*our_best, sweeps=sweeps) >= goal, SWEEPS)
    peer_sweeps = fewest(lambda sweeps: peer_ndcg(*peer_best, sweeps) >= goal, SWEEPS)
    reached = our_ndcg(*our_best, sweeps=our_sweeps)

    def timed(ours: int, peer: int, count: int) -> list[tuple[float, float]]:
        """Seconds of both after so many sweeps, in turns."""
        return [(our_fit(*our_best, ours), implicit_fit(train, factors, peer, *peer_best)[0]) for _ in range(count)]

    # The first warms up.
    figures = pairs.figures(timed(our_sweeps, peer_sweeps, options.pairs + 1)[1:])
    curves = {"sweeps": CURVE_SWEEPS, "ours": [], "peer": []}
    for sweeps in CURVE_SWEEPS:
        seconds = [statistics.median(of) for of in zip(*timed(sweeps, sweeps, options.pairs))]
        curves["ours"].append([seconds[0], our_ndcg(*our_best, sweeps=sweeps)])
        curves["peer"].append([seconds[1], peer_ndcg(*peer_best, sweeps)])
    results.add({
        "name": NAME,
        "setting": f"gowalla, {factors} factors, {options.trials} trials each; goal NDCG@20 {goal:.4f} on a tenth of train; "
        f"ours {reached:.4f} after {our_sweeps} sweeps, peer after {peer_sweeps}",
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
    print(f"{figures['ratio']['median']:.3f} of implicit's time to NDCG@20 {goal:.4f} (ours {reached:.4f})")


if __name__ == "__main__":
    main()
