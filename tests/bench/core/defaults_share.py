"""NDCG@10 of algorithms with default parameters, divided by that of the best of a search.

The number of factors is fixed; all other parameters are searched. For each data set a tenth of the
rows is the validation set, of which up to 5,000 users are evaluated, as in `defaults`. Half of the
search draws parameters at random, the other half varies the best ones so far. Search and defaults
are compared on the same validation set, which favours the search.

Each data set and algorithm is a row of its own, so a run that is stopped loses one of them.
"""

import argparse
import statistics
from collections.abc import Callable
from pathlib import Path

import numpy as np
import results
import scipy.sparse as sp
from data import read
from defaults import DEFAULTS, ITERATIONS, K, limit_users
from ours import Ours
from time_to_ndcg import split

SVD_ITERATIONS = 10
# As in `SvdConfig` of `sidecar-contract`.
SVD_DEFAULTS = {"degreeExponent": 0.5}
# The weight of the two-hop term is chosen from the training set.
CHOSEN = {"coOccurrenceWeight": "chosen"}
# Bounds of the parameters that are searched. A logarithmic parameter may be 0 if `ZERO_SHARE` says so.
LOGARITHMIC = {"penalty": (0.05, 20), "unobservedWeight": (0.001, 1), "coOccurrenceWeight": (0.3, 100)}
LINEAR = {"degreeExponent": (0, 1), "userDegreeExponent": (0, 1), "popularityBoost": (0, 1)}
PARAMETERS = {
    "als": ["penalty", "unobservedWeight", "degreeExponent", "userDegreeExponent", "popularityBoost", "coOccurrenceWeight"],
    "svd": ["degreeExponent", "userDegreeExponent", "coOccurrenceWeight"],
}
# Share of random draws in which a parameter is 0.
ZERO_SHARE = {"degreeExponent": 0.15, "popularityBoost": 0.15, "coOccurrenceWeight": 0.15}
# Standard deviation of a variation, as a fraction of the range.
VARIATION = 0.08


def drawn(algorithm: str, random: np.random.Generator) -> dict[str, float]:
    """Draws parameters."""
    parameters = {}
    for name in PARAMETERS[algorithm]:
        low, high = LOGARITHMIC.get(name) or LINEAR[name]
        value = low * (high / low) ** random.random() if name in LOGARITHMIC else random.uniform(low, high)
        parameters[name] = 0.0 if random.random() < ZERO_SHARE.get(name, 0) else float(value)
    return parameters


def varied(best: dict[str, float], random: np.random.Generator) -> dict[str, float]:
    """Varies parameters; those that are 0 stay."""
    parameters = {}
    for name, value in best.items():
        low, high = LOGARITHMIC.get(name) or LINEAR[name]
        step = VARIATION * random.normal()
        changed = value * (high / low) ** step if name in LOGARITHMIC else value + step * (high - low)
        parameters[name] = float(np.clip(changed, low, high)) if value else 0.0
    return parameters


def fit(ours: Ours, algorithm: str, factors: int, parameters: dict[str, float | str | None], train: sp.csr_matrix) -> None:
    """Fits an algorithm. The penalty is that of an average user's row."""
    more = dict(parameters)
    if algorithm == "svd":
        ours.svd(factors, SVD_ITERATIONS, more.pop("degreeExponent"), **more)
        return
    if more["degreeExponent"] == 0:
        more["popularityBoost"] = 0.0
    rows = train.nnz / train.shape[0] + more["unobservedWeight"] * train.shape[1]
    penalty = more.pop("penalty", None)
    regularization = None if penalty is None else penalty / rows
    ours.als(factors, ITERATIONS, regularization, **{"regularizationExponent": 1.0, **more})


def searched(
    algorithm: str, trials: int, measure: Callable[[dict[str, float]], float]
) -> tuple[float, dict[str, float]]:
    """Returns the highest figure of a search and its parameters."""
    random = np.random.default_rng(11)
    best: tuple[float, dict[str, float]] = (-1.0, {})
    for trial in range(trials):
        parameters = drawn(algorithm, random) if trial < trials // 2 else varied(best[1], random)
        figure = measure(parameters)
        if figure > best[0]:
            best = (figure, parameters)
    return best


def measure(name: str, matrix: sp.csr_matrix, algorithm: str, factors: int, trials: int, seed: int) -> None:
    """Adds the row of a data set and an algorithm."""
    train, validation = split(matrix, seed)
    validation = limit_users(validation)
    ours = Ours(train)

    def fitted(parameters: dict[str, float | str | None]) -> float:
        fit(ours, algorithm, factors, parameters, train)
        return float(ours.rank(train, validation, K)["ndcg"].mean())

    default = fitted({**(SVD_DEFAULTS if algorithm == "svd" else DEFAULTS), **CHOSEN})
    chosen = f", chosen coOccurrenceWeight {ours.co_occurrence_weight:g}"
    best, parameters = searched(algorithm, trials, fitted)
    found = ", ".join(f"{key} {value:.3g}" for key, value in parameters.items())
    results.replace({
        "name": "defaults_by_set",
        "setting": f"{name}, {train.shape[0]} × {train.shape[1]}, {algorithm}, {factors} factors{chosen}; share {default / best:.3f}; "
        f"best of {trials} fits: {found}; validation set: 10 %, seed {seed}, {np.count_nonzero(np.diff(validation.indptr))} users",
        "ours": {"ndcg10": default},
        "peer": {"ndcg10": best},
        "peer_name": f"best of {trials} fits",
        "data": name,
        "algorithm": algorithm,
        "share": default / best,
        "command": f"tests/bench/core/run defaults_share {name}=… --algorithms {algorithm} --factors {factors} --trials {trials}",
    }, "data", "algorithm")  # fmt: skip
    print(f"{name}, {algorithm}: default {default:.4f}, searched {best:.4f}, share {default / best:.3f}", flush=True)


def summarize() -> None:
    """Adds median and minimum of the shares of each algorithm over all data sets measured so far."""
    rows = [entry for entry in results.read() if entry["name"] == "defaults_by_set"]
    for algorithm in sorted({row["algorithm"] for row in rows}):
        of = sorted((row for row in rows if row["algorithm"] == algorithm), key=lambda row: row["share"])
        shares = [row["share"] for row in of]
        listed = ", ".join(f"{row['data']} {row['share']:.3f}" for row in of)
        results.replace({
            "name": "defaults_share",
            "setting": f"{algorithm}: {{}} over the best of a search with the same factors, NDCG@{K}, on {len(of)} data sets: {listed}; "
            "rows defaults_by_set have the figures",
            "ours": {"median": statistics.median(shares), "minimum": min(shares)},
            "peer": "1",
            "peer_name": "best of the search",
            "algorithm": algorithm,
            "command": "tests/bench/core/run defaults_share NAME=FILE …",
        }, "algorithm")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="+", help="NAME=FILE; `data.read` has the formats")
    parser.add_argument("--algorithms", nargs="+", choices=list(PARAMETERS), default=list(PARAMETERS))
    parser.add_argument("--factors", type=int, default=64)
    parser.add_argument("--trials", type=int, default=120)
    parser.add_argument("--seed", type=int, default=7, help="seed of the validation set")
    options = parser.parse_args()
    for pair in options.data:
        name, _, file = pair.partition("=")
        matrix = read(Path(file))
        for algorithm in options.algorithms:
            measure(name, matrix, algorithm, options.factors, options.trials, options.seed)
            summarize()


if __name__ == "__main__":
    main()
