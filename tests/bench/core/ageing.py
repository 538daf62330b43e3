"""How lists age: NDCG@10 by days since training, on MovieLens 100K.

Models are fitted weekly to all rows so far, with default parameters; stars are ignored. On each day of
the last `TEST_DAYS` days, each user is folded in from all of their rows but the last half of that day,
which is the test. So every model answers the same users with the same histories, as in serving, and
only the model is older. Items that a model does not know are missed. "als, rows of the training only"
has of each user only what the training had, and popular items for users it did not know. Ages are
grouped by week; each test day counts in each group.
"""

import argparse
from pathlib import Path

import numpy as np
import results
import scipy.sparse as sp
from defaults import DEFAULTS, K
from defaults_share import SVD_DEFAULTS, fit
from ours import Ours
from ranking import of_each_user

DAY = 86_400
WEEK = 7
TEST_DAYS = 70
WEEKS = 13
# Fewest rows of a day of a user whose last half is a test.
ROWS_MIN = 4
STORED = "als, rows of the training only"
NAMES = ["als", "svd", STORED, "popularity"]


def ones(rows: np.ndarray, shape: tuple[int, int]) -> sp.csr_matrix:
    """Returns a matrix of rows of user, item and day."""
    return sp.csr_matrix((np.ones(len(rows), np.float32), (rows[:, 0], rows[:, 1])), shape=shape)


def test_of_day(rows: np.ndarray, day: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns histories and test rows of the users of a day. Rows are user, item and day in order of time."""
    histories, tests = [rows[:0]], [rows[:0]]
    of_day = rows[rows[:, 2] == day]
    for user, count in zip(*np.unique(of_day[:, 0], return_counts=True)):
        if count < ROWS_MIN:
            continue
        of_user = rows[(rows[:, 0] == user) & (rows[:, 2] <= day)]
        histories.append(of_user[: len(of_user) - count // 2])
        tests.append(of_user[len(of_user) - count // 2 :])
    return np.concatenate(histories), np.concatenate(tests)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="u.data of MovieLens 100K")
    parser.add_argument("--factors", type=int, default=64)
    options = parser.parse_args()
    raw = np.loadtxt(options.data, dtype=np.int64)
    raw = raw[np.lexsort((raw[:, 1], raw[:, 3]))]
    rows = np.column_stack([raw[:, 0], raw[:, 1], raw[:, 3] // DAY])
    shape = (int(rows[:, 0].max()) + 1, int(rows[:, 1].max()) + 1)
    last = int(rows[-1, 2])
    days = [(day, *test_of_day(rows, day)) for day in range(last - TEST_DAYS + 1, last + 1)]
    days = [(day, history, ones(test, shape)) for day, history, test in days if len(test)]
    # NDCG of each user and test day, by name and week of age.
    found: dict[str, list[list[np.ndarray]]] = {name: [[] for _ in range(WEEKS)] for name in NAMES}
    for trained in range(last - TEST_DAYS - WEEK * WEEKS, last + 1, WEEK):
        known = rows[rows[:, 2] <= trained]
        train = ones(known, shape)
        popularity = np.asarray(train.sum(axis=0)).reshape(-1, 1)
        tested = [(week, of) for of in days if 0 <= (week := (of[0] - trained - 1) // WEEK) < WEEKS]
        ours = Ours(train)
        for name, defaults in {"svd": SVD_DEFAULTS, "als": DEFAULTS}.items():
            fit(ours, name, options.factors, defaults, train)
            for week, (_, history, test) in tested:
                found[name][week].append(ours.rank(ones(history, shape), test, K)["ndcg"])
        for week, (_, history, test) in tested:
            popular = lambda of: of_each_user(np.ones((shape[0], 1)), popularity, ones(of, shape), test, K)[1]
            found["popularity"][week].append(popular(history))
            stored = history[history[:, 2] <= trained]
            # The last fit is that of als.
            ranked = ours.rank(ones(stored, shape), test, K)
            found[STORED][week].append(np.where(np.isin(ranked["users"], stored[:, 0]), ranked["ndcg"], popular(stored)))
    # The middle of a week of ages.
    age = lambda week: week * WEEK + (WEEK + 1) / 2
    lines = {name: [[age(week), float(np.concatenate(of).mean())] for week, of in enumerate(weeks)] for name, weeks in found.items()}
    users = {len(np.concatenate(of)) for of in found["als"]}
    changes = []
    for name, weeks in found.items():
        # Test days are in the same order in each week of ages.
        difference = np.concatenate(weeks[-1]) - np.concatenate(weeks[0])
        changes.append(f"{name} {difference.mean():+.4f} ± {difference.std() / np.sqrt(len(difference)):.4f}")
    results.replace({
        "name": "ageing",
        "setting": f"MovieLens 100K, {'/'.join(map(str, sorted(users)))} users' days of the last {TEST_DAYS} days; default parameters, {options.factors} factors; "
        f"NDCG@{K} of models that are 1 to 7 days old, compared with those of {WEEK * (WEEKS - 1) + 1} to {WEEK * WEEKS} days; "
        f"differences over the same users: {', '.join(changes)}",
        "ours": {name: line[0][1] for name, line in lines.items()},
        "peer": {name: line[-1][1] for name, line in lines.items()},
        "peer_name": f"{WEEK * WEEKS} days old",
        "ageing": lines,
        "command": f"tests/bench/core/run ageing ml-100k/u.data --factors {options.factors}",
    })  # fmt: skip
    for name, line in lines.items():
        print(name, [f"{age:g}: {ndcg:.4f}" for age, ndcg in line])


if __name__ == "__main__":
    main()
