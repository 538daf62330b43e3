"""NDCG@10 of ALS with default parameters, compared with tuned ALS and the defaults of `implicit`.

For each data set a tenth of the rows is the validation set, of which up to 5,000 users are
evaluated. All fits have the same number of factors and 15 iterations. The search takes the best of
`--trials` random draws on the same validation set, from the ranges of `recmesh-sidecar tune`. It is
therefore an upper bound of what manual tuning could reach, with a slight optimistic bias.
"""

import argparse
from pathlib import Path

import numpy as np
import results
import scipy.sparse as sp
from data import read
from ours import Ours
from peers import IMPLICIT, implicit_fit
from ranking import recall_and_ndcg
from time_to_ndcg import split

K = 10
ITERATIONS = 15
EVAL_USERS_MAX = 5000
# As in `AlsConfig::defaults_for` of `sidecar-contract`. The default regularization is that of the
# library.
DEFAULTS = {"unobservedWeight": 0.3, "regularizationExponent": 1.0, "degreeExponent": 0.5, "popularityBoost": 0.5}
# Defaults of the constructor in `implicit`.
IMPLICIT_DEFAULTS = {"alpha": 1.0, "regularization": 0.01}


def limit_users(validation: sp.csr_matrix) -> sp.csr_matrix:
    """Keeps the rows of up to `EVAL_USERS_MAX` randomly chosen users."""
    evaluated = np.flatnonzero(np.diff(validation.indptr))
    if len(evaluated) <= EVAL_USERS_MAX:
        return validation
    mask = np.zeros(validation.shape[0], np.float32)
    mask[np.random.default_rng(3).choice(evaluated, EVAL_USERS_MAX, replace=False)] = 1
    part = sp.csr_matrix(sp.diags(mask) @ validation)
    part.eliminate_zeros()
    return part


def measure(name: str, matrix: sp.csr_matrix, factors: int, trials: int) -> None:
    """Adds one entry to the results."""
    train, validation = split(matrix, 7)
    validation = limit_users(validation)
    mean, items = train.nnz / train.shape[0], train.shape[1]
    ours, random = Ours(train), np.random.default_rng(11)
    ndcg = lambda users, items: recall_and_ndcg(users, items, train, validation, K)[1]

    def fit_and_evaluate(regularization: float | None, **settings: float) -> float:
        ours.als(factors, ITERATIONS, regularization, **settings)
        return ndcg(*ours.factors())

    def random_trial() -> float:
        between = lambda low, high: float(low * (high / low) ** random.random())
        unobserved = between(0.001, 1)
        degrees = [(0.0, 0.0), (0.5, 0.0), (0.5, 0.5)][random.integers(3)]
        return fit_and_evaluate(
            between(0.05, 20) / (mean + unobserved * items), unobservedWeight=unobserved, regularizationExponent=1.0,
            degreeExponent=degrees[0], popularityBoost=degrees[1],
        )  # fmt: skip

    popular = ndcg(np.ones((train.shape[0], 1)), np.asarray(train.sum(axis=0)).reshape(-1, 1).astype(float))
    default = fit_and_evaluate(None, **DEFAULTS)
    searched = max(random_trial() for _ in range(trials))
    _, model = implicit_fit(train, factors, ITERATIONS, **IMPLICIT_DEFAULTS)
    peer = ndcg(model.user_factors, model.item_factors)
    users = int(np.count_nonzero(np.diff(validation.indptr)))
    results.add({
        "name": "als_defaults",
        "setting": f"{name}, {train.shape[0]} × {items}, {mean:.1f} rows per user, {factors} factors; NDCG@{K} of {users} users, validation set 10 %; "
        f"popularity baseline {popular:.4f}, best of {trials} trials {searched:.4f}",
        "ours": {"ndcg10": default},
        "peer": {"ndcg10": peer},
        "peer_name": f"{IMPLICIT}, default parameters",
        "ratio_to_searched": default / searched,
        "command": f"tests/bench/core/run defaults {name}=… --factors {factors} --trials {trials}",
    })  # fmt: skip
    print(f"{name}: default {default:.4f}, tuned {searched:.4f}, implicit {peer:.4f}, popularity {popular:.4f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="+", help="NAME=FILE; `data.read` has the formats")
    parser.add_argument("--factors", type=int, default=64)
    parser.add_argument("--trials", type=int, default=32)
    options = parser.parse_args()
    for pair in options.data:
        name, _, file = pair.partition("=")
        measure(name, read(Path(file)), options.factors, options.trials)


if __name__ == "__main__":
    main()
