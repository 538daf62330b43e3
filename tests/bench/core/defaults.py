"""NDCG@10 of ALS with the parameters of somebody who names none, beside what a search finds and the defaults of `implicit`.

For each data set a tenth of the rows validates, on at most 5,000 users with something in it. All fits have as many factors and 15
iterations. The search takes the best of `--trials` random draws by the same tenth, from the ranges that `recmesh-sidecar tune` draws from, so it
is what hand tuning could come to, and a little more.
"""

import argparse
from pathlib import Path

import numpy as np
import results
import scipy.sparse as sp
from data import rows_of, visits
from ours import Ours
from peers import IMPLICIT, implicit_fit
from ranking import recall_and_ndcg
from time_to_ndcg import split

K = 10
SWEEPS = 15
JUDGES = 5000
# What `sidecar-contract` has as `AlsConfig::usual`; the regularization is the library's.
USUAL = {"unobservedWeight": 0.3, "regularizationExponent": 1.0, "degreeExponent": 0.5, "degreeReturn": 0.5}
# Of implicit's own constructor.
IMPLICIT_DEFAULTS = {"alpha": 1.0, "regularization": 0.01}


def judged(validation: sp.csr_matrix) -> sp.csr_matrix:
    """The rows of at most so many users."""
    measured = np.flatnonzero(np.diff(validation.indptr))
    if len(measured) <= JUDGES:
        return validation
    kept = np.zeros(validation.shape[0], np.float32)
    kept[np.random.default_rng(3).choice(measured, JUDGES, replace=False)] = 1
    part = sp.csr_matrix(sp.diags(kept) @ validation)
    part.eliminate_zeros()
    return part


def measure(name: str, matrix: sp.csr_matrix, factors: int, trials: int) -> None:
    """One entry of the results."""
    train, validation = split(matrix, 7)
    validation = judged(validation)
    mean, items = train.nnz / train.shape[0], train.shape[1]
    ours, random = Ours(train), np.random.default_rng(11)
    ndcg = lambda users, items: recall_and_ndcg(users, items, train, validation, K)[1]

    def fitted(regularization: float | None, **settings: float) -> float:
        ours.als(factors, SWEEPS, regularization, **settings)
        return ndcg(*ours.factors())

    def drawn() -> float:
        between = lambda low, high: float(low * (high / low) ** random.random())
        unobserved = between(0.001, 1)
        degrees = [(0.0, 0.0), (0.5, 0.0), (0.5, 0.5)][random.integers(3)]
        return fitted(
            between(0.05, 20) / (mean + unobserved * items), unobservedWeight=unobserved, regularizationExponent=1.0,
            degreeExponent=degrees[0], degreeReturn=degrees[1],
        )  # fmt: skip

    popular = ndcg(np.ones((train.shape[0], 1)), np.asarray(train.sum(axis=0)).reshape(-1, 1).astype(float))
    usual = fitted(None, **USUAL)
    searched = max(drawn() for _ in range(trials))
    _, model = implicit_fit(train, factors, SWEEPS, **IMPLICIT_DEFAULTS)
    peer = ndcg(model.user_factors, model.item_factors)
    users = int(np.count_nonzero(np.diff(validation.indptr)))
    results.add({
        "name": "als_defaults",
        "setting": f"{name}, {train.shape[0]} × {items}, {mean:.1f} rows a user, {factors} factors; NDCG@{K} of {users} users on a tenth; "
        f"popularity {popular:.4f}, best of {trials} trials {searched:.4f}",
        "ours": {"ndcg10": usual},
        "peer": {"ndcg10": peer},
        "peer_name": f"{IMPLICIT}, with its defaults",
        "share_of_searched": usual / searched,
        "command": f"tests/bench/core/run defaults {name}=… --factors {factors} --trials {trials}",
    })  # fmt: skip
    print(f"{name}: {usual:.4f}, searched {searched:.4f}, implicit {peer:.4f}, popularity {popular:.4f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="+", help="name=file: of user,item lines (.csv) or `user item item …` (.txt)")
    parser.add_argument("--factors", type=int, default=64)
    parser.add_argument("--trials", type=int, default=32)
    options = parser.parse_args()
    for pair in options.data:
        name, _, file = pair.partition("=")
        read = rows_of if file.endswith(".csv") else visits
        measure(name, read(Path(file)), options.factors, options.trials)


if __name__ == "__main__":
    main()
