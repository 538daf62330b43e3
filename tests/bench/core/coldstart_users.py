"""Lists for new users with 1, 3 or 5 items of history, of ours and of `implicit`.

A fifth of the users with at least `ITEMS_MIN` items is held out from the training set: half of them
for validation, half for the test. A new user's first items are drawn at random, and all others are
the test items. Ours folds the history in; `implicit` computes the user's factors by `recalculate_user`.
Parameters of both are the best of a random search with the same number of trials on the validation
users, over all numbers of items together. The defaults are those of each package.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import results
import scipy.sparse as sp
from data import read
from defaults import DEFAULTS, IMPLICIT_DEFAULTS, ITERATIONS, K
from defaults_share import SVD_DEFAULTS, drawn, fit
from implicit.cpu.als import AlternatingLeastSquares
from ours import Ours
from peers import IMPLICIT, implicit_fit
from ranking import of_each_user

SIZES = [1, 3, 5]
# At least five test items remain.
ITEMS_MIN = 10
OUR_DEFAULTS = {"als": DEFAULTS, "svd": SVD_DEFAULTS}

# NDCG of each user, by number of items.
Found = dict[int, np.ndarray]


def users_of(matrix: sp.csr_matrix, users: np.ndarray) -> sp.csr_matrix:
    """Returns the matrix with the rows of these users alone."""
    mask = np.zeros(matrix.shape[0], np.float32)
    mask[users] = 1
    part = sp.csr_matrix(sp.diags(mask) @ matrix, dtype=np.float32)
    part.eliminate_zeros()
    return part


def first_items(matrix: sp.csr_matrix, size: int, seed: int) -> tuple[sp.csr_matrix, sp.csr_matrix]:
    """Returns `size` random entries of each row, and the others. The entries of a size are among those of larger ones."""
    entries = matrix.tocoo()
    order = np.lexsort((np.random.default_rng(seed).random(entries.nnz), entries.row))
    rows, columns = entries.row[order], entries.col[order]
    is_first = np.arange(len(rows)) - matrix.indptr[rows] < size
    part = lambda which: sp.csr_matrix((np.ones(which.sum(), np.float32), (rows[which], columns[which])), shape=matrix.shape)
    return part(is_first), part(~is_first)


def recalculated(model: AlternatingLeastSquares, history: sp.csr_matrix, test: sp.csr_matrix) -> np.ndarray:
    """Returns NDCG of each user with test items, whose factors `implicit` computes from the history."""
    users = np.flatnonzero(np.diff(test.indptr))
    factors = np.zeros((history.shape[0], model.item_factors.shape[1]), np.float32)
    factors[users] = model.recalculate_user(users, history[users])
    return of_each_user(factors, model.item_factors, history, test, K)[1]


def measure(name: str, matrix: sp.csr_matrix, factors: int, trials: int) -> None:
    """Adds a row for each number of items."""
    random = np.random.default_rng(13)
    eligible = random.permutation(np.flatnonzero(np.diff(matrix.indptr) >= ITEMS_MIN))
    new = eligible[: len(eligible) // 5]
    train = users_of(matrix, np.setdiff1d(np.arange(matrix.shape[0]), new))
    groups = {"validation": new[: len(new) // 2], "test": new[len(new) // 2 :]}
    parts = {group: {size: first_items(users_of(matrix, users), size, 17) for size in SIZES} for group, users in groups.items()}
    popularity = np.asarray(train.sum(axis=0)).reshape(-1, 1).astype(float)

    def over(group: str, ndcgs: Callable[[sp.csr_matrix, sp.csr_matrix], np.ndarray]) -> Found:
        return {size: ndcgs(*part) for size, part in parts[group].items()}

    ours = Ours(train)

    def our_ndcgs(group: str, algorithm: str, parameters: dict) -> Found:
        fit(ours, algorithm, factors, parameters, train)
        return over(group, lambda history, test: ours.rank(history, test, K)["ndcg"])

    def peer_ndcgs(group: str, parameters: dict) -> Found:
        _, model = implicit_fit(train, factors, ITERATIONS, **parameters)
        return over(group, lambda history, test: recalculated(model, history, test))

    between = lambda low, high: float(low * (high / low) ** random.random())
    mean = lambda found: float(np.mean([ndcgs.mean() for ndcgs in found.values()]))
    algorithms = [str(random.choice(list(OUR_DEFAULTS))) for _ in range(trials)]
    our_trials = [(algorithm, drawn(algorithm, random)) for algorithm in algorithms]
    peer_trials = [{"alpha": between(0.3, 1000), "regularization": between(0.001, 100)} for _ in range(trials)]
    algorithm, parameters = max(our_trials, key=lambda trial: mean(our_ndcgs("validation", *trial)))
    peer_parameters = max(peer_trials, key=lambda trial: mean(peer_ndcgs("validation", trial)))
    found = {
        "ours": our_ndcgs("test", algorithm, parameters),
        "implicit": peer_ndcgs("test", peer_parameters),
        "popularity": over("test", lambda *part: of_each_user(np.ones((matrix.shape[0], 1)), popularity, *part, K)[1]),
        **{f"{name}: {{}}": our_ndcgs("test", name, defaults) for name, defaults in OUR_DEFAULTS.items()},
        "implicit's defaults": peer_ndcgs("test", IMPLICIT_DEFAULTS),
    }
    listed = lambda of: ", ".join(f"{name} {value:.3g}" for name, value in of.items())
    for size in SIZES:
        difference = found["ours"][size] - found["implicit"][size]
        error = difference.std() / np.sqrt(len(difference))
        others = ", ".join(f"{name} {of[size].mean():.4f}" for name, of in found.items() if name not in ("ours", "implicit"))
        results.replace({
            "name": "coldstart_users",
            "setting": f"{name}, new users with {size} {'item' if size == 1 else 'items'}; NDCG@{K} of {len(groups['test'])} test users; {factors} factors; "
            f"both by {trials} trials on {len(groups['validation'])} other new users: ours {algorithm}, {listed(parameters)}; implicit {listed(peer_parameters)}; "
            f"difference {difference.mean():+.4f} ± {error:.4f}; {others}; seeds 13 and 17",
            "ours": {"ndcg10": float(found["ours"][size].mean())},
            "peer": {"ndcg10": float(found["implicit"][size].mean())},
            "peer_name": f"{IMPLICIT}, recalculate_user",
            "data": name,
            "size": size,
            "command": f"tests/bench/core/run coldstart_users {name}=… --factors {factors} --trials {trials}",
        }, "data", "size")  # fmt: skip
        print(f"{name}, {size}:", ", ".join(f"{name} {of[size].mean():.4f}" for name, of in found.items()), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="+", help="NAME=FILE; `data.read` has the formats")
    parser.add_argument("--factors", type=int, default=64)
    parser.add_argument("--trials", type=int, default=32, help="number of trials of each")
    options = parser.parse_args()
    for pair in options.data:
        name, _, file = pair.partition("=")
        measure(name, read(Path(file)), options.factors, options.trials)


if __name__ == "__main__":
    main()
