"""Explicit ALS compared with LIBMF, cmfrec and Surprise: time to equal error, and minimum error.

Ratings are `stars.stars()`, whose process is none of the models, or a file of `user,item,rating`
lines, such as a MovieLens data set of GroupLens (grouplens.org/datasets/movielens; convert ml-1m by
`sed 's/::/,/g' ratings.dat > ratings.csv`). A tenth is the test set, and a tenth of the rest the
validation set. Every package is tuned on the latter by random search with the same number of
trials, then fitted to training and validation set with its best parameters. The test set is
evaluated once. All predictions are clipped to the scale.

`explicit_time` is the time of our fit without samples, with the minimum number of iterations that
reaches the test error of LIBMF, divided by the time of the LIBMF fit. The data is in memory, both
use two threads and run alternately, and evaluation is not timed. `explicit_rmse` is the error of
ours with samples, divided by the minimum error of the other packages.
"""

import argparse
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pairs
import results
import scipy.sparse as sp
from ours import Ours
from stars import stars

ITERATIONS = 15
FACTORS = [8, 16, 32, 64]


@dataclass
class Ratings:
    """Users, items and ratings, as parallel arrays."""

    users: np.ndarray
    items: np.ndarray
    values: np.ndarray

    def where(self, mask: np.ndarray) -> "Ratings":
        return Ratings(self.users[mask], self.items[mask], self.values[mask])

    def error(self, predicted: np.ndarray, scale: tuple[float, float]) -> float:
        """Returns the root mean squared error of predictions that are clipped to the scale."""
        errors = np.clip(predicted.astype(float), *scale) - self.values.astype(float)
        return float(np.sqrt((errors**2).mean()))


# Fits to the first ratings and predicts the second; returns the predictions and the seconds of the
# fit.
Fit = Callable[[Ratings, Ratings, dict], tuple[np.ndarray, float]]


def read(path: Path) -> Ratings:
    """Reads a file of `user,item,rating` lines, with or without a header; ignores other columns."""
    lines = [line.split(",") for line in path.read_text().splitlines() if line]
    if not lines[0][2].replace(".", "", 1).isdigit():
        lines = lines[1:]
    users, items = (np.unique([line[column] for line in lines], return_inverse=True)[1] for column in (0, 1))
    return Ratings(users.astype(np.int32), items.astype(np.int32), np.array([line[2] for line in lines], np.float32))


class Driver:
    """Runs our fits. It loads the training set again only if it differs from the last one."""

    def __init__(self, shape: tuple[int, int]):
        self.shape, self.loaded, self.process = shape, None, None

    def fit(self, training: Ratings, test: Ratings, settings: dict) -> tuple[np.ndarray, float]:
        if self.loaded is not training:
            matrix = sp.csr_matrix((training.values, (training.users, training.items)), shape=self.shape)
            self.loaded, self.process = training, Ours(matrix)
        seconds = self.process.explicit_als(**{"iterations": ITERATIONS, **settings})
        return self.process.ratings(test.users, test.items), seconds


def libmf(training: Ratings, test: Ratings, settings: dict) -> tuple[np.ndarray, float]:
    # The import prints the path of its library.
    with contextlib.redirect_stdout(None):
        from libmf import mf

    model = mf.MF(nr_threads=2, quiet=True, lambda_p1=0, lambda_q1=0, **settings)
    entries = np.stack([training.users, training.items, training.values], axis=1).astype(np.float32)
    begin = time.perf_counter()
    model.fit(entries)
    seconds = time.perf_counter() - begin
    users, items = model.p_factors().astype(float), model.q_factors().astype(float)
    # The factors end at the last user and item of the training set.
    known = (test.users < len(users)) & (test.items < len(items))
    product = np.einsum("nf,nf->n", users[test.users * known], items[test.items * known])
    # Rows of users and items that are not in the training set are NaN.
    return np.where(known & np.isfinite(product), product, training.values.mean()), seconds


def cmfrec(training: Ratings, test: Ratings, settings: dict) -> tuple[np.ndarray, float]:
    import pandas as pd
    from cmfrec import CMF

    entries = pd.DataFrame({"UserId": training.users, "ItemId": training.items, "Rating": training.values})
    model = CMF(nthreads=2, verbose=False, random_state=1, **settings)
    begin = time.perf_counter()
    model.fit(entries)
    seconds = time.perf_counter() - begin
    return np.asarray(model.predict(test.users, test.items)), seconds


def surprise(name: str) -> Fit:
    def fit(training: Ratings, test: Ratings, settings: dict) -> tuple[np.ndarray, float]:
        import pandas as pd
        from surprise import SVD, BaselineOnly, Dataset, Reader, SVDpp

        if name == "BaselineOnly":
            model = BaselineOnly({"method": "als", **settings}, verbose=False)
        elif name == "SVD":
            model = SVD(random_state=1, **settings)
        else:
            model = SVDpp(random_state=1, cache_ratings=True, **settings)
        entries = pd.DataFrame({"user": training.users, "item": training.items, "rating": training.values})
        data = Dataset.load_from_df(entries, Reader(rating_scale=(training.values.min(), training.values.max())))
        data = data.build_full_trainset()
        begin = time.perf_counter()
        model.fit(data)
        seconds = time.perf_counter() - begin
        predicted = [model.predict(user, item).est for user, item in zip(test.users, test.items)]
        return np.array(predicted), seconds

    return fit


class Search:
    """Random search."""

    def __init__(self, seed: int):
        self.random = np.random.default_rng(seed)

    def between(self, low: float, high: float) -> float:
        return float(low * (high / low) ** self.random.random())

    def one_of(self, values: list) -> int | bool:
        return self.random.choice(values).item()

    def ours(self, samples: int) -> dict:
        settings = {"factors": self.one_of(FACTORS), "regularization": self.between(0.2, 3), "regularization_exponent": 0.5}
        return settings | ({"samples": samples, "iterations": 6} if samples else {})

    def libmf(self) -> dict:
        penalty = self.between(0.02, 0.2)
        return {
            "k": self.one_of(FACTORS), "nr_iters": self.one_of([15, 30, 60]), "eta": self.between(0.03, 0.2),
            "lambda_p2": penalty, "lambda_q2": penalty,
        }  # fmt: skip

    def cmfrec(self) -> dict:
        scaled = self.one_of([True, False])
        penalty = self.between(0.02, 0.2) if scaled else self.between(2, 40)
        return {"k": self.one_of(FACTORS), "lambda_": penalty, "scale_lam": scaled, "niter": ITERATIONS}

    def surprise_svd(self) -> dict:
        """Draws settings of SVD and SVD++ in Surprise."""
        return {
            "n_factors": self.one_of(FACTORS), "n_epochs": self.one_of([20, 40]), "lr_all": self.between(0.003, 0.015),
            "reg_all": self.between(0.02, 0.15),
        }  # fmt: skip

    def surprise_baseline(self) -> dict:
        return {"reg_u": self.between(1, 30), "reg_i": self.between(1, 30)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ratings", type=Path, help="file of user,item,rating lines; without it, star ratings are generated")
    parser.add_argument("--trials", type=int, default=12)
    parser.add_argument("--samples", type=int, default=50)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--without", nargs="*", default=[], help="packages to skip, such as SVD++, which takes hours")
    parser.add_argument("--no-record", action="store_true", help="do not update results/core.json")
    options = parser.parse_args()
    all_ratings = read(options.ratings) if options.ratings else Ratings(*stars())
    scale = (float(all_ratings.values.min()), float(all_ratings.values.max()))
    shape = (int(all_ratings.users.max()) + 1, int(all_ratings.items.max()) + 1)
    part = np.random.default_rng(7).random(len(all_ratings.values))
    test, validation, training = (all_ratings.where(w) for w in (part < 0.1, (part >= 0.1) & (part < 0.19), part >= 0.19))
    both = all_ratings.where(part >= 0.1)
    name = options.ratings.stem if options.ratings else "generated star ratings"
    setting = f"{name}, {shape[0]} × {shape[1]}, {len(both.values)} training ratings, {options.trials} trials each"
    driver = Driver(shape)
    search = Search(11)
    packages: dict[str, tuple[Fit, Callable[[], dict]]] = {
        "ours": (driver.fit, lambda: search.ours(0)),
        "ours, samples": (driver.fit, lambda: search.ours(options.samples)),
        "LIBMF": (libmf, search.libmf),
        "cmfrec": (cmfrec, search.cmfrec),
        "BaselineOnly": (surprise("BaselineOnly"), search.surprise_baseline),
        "SVD": (surprise("SVD"), search.surprise_svd),
        "SVD++": (surprise("SVD++"), search.surprise_svd),
    }
    best, errors, seconds = {}, {}, {}
    for package, (fit, draw) in packages.items():
        if package in options.without:
            continue
        trials = [draw() for _ in range(options.trials)]
        best[package] = min(trials, key=lambda trial: validation.error(fit(training, validation, trial)[0], scale))
        predicted, seconds[package] = fit(both, test, best[package])
        errors[package] = test.error(predicted, scale)
        print(f"{package}: {errors[package]:.4f} after {seconds[package]:.2f} s, {best[package]}", flush=True)

    def our_error(iterations: int) -> float:
        return test.error(driver.fit(both, test, best["ours"] | {"iterations": iterations})[0], scale)

    command = f"tests/bench/core/run explicit --trials {options.trials} --samples {options.samples}"
    command += f" --without {' '.join(options.without)}" if options.without else ""
    command += " --ratings ratings.csv" if options.ratings else ""
    rows = []
    goal = errors["LIBMF"]
    iterations = next((count for count in range(1, 4 * ITERATIONS) if our_error(count) <= goal), None)
    if iterations is None:
        print(f"ours does not reach RMSE {goal:.4f}")
    else:
        reached, fastest = our_error(iterations), best["ours"] | {"iterations": iterations}
        timed = [
            (driver.fit(both, test, fastest)[1], libmf(both, test, best["LIBMF"])[1]) for _ in range(options.pairs + 1)
        ]
        # The first pair is a warm-up.
        figures = pairs.summarize(timed[1:])
        rows.append({
            "name": "explicit_time",
            "setting": f"{setting}; goal RMSE {goal:.4f}, ours {reached:.4f} after {iterations} iterations",
            **figures,
            "peer_name": "LIBMF (libmf 0.9.2, AVX)",
            "rmse": {"ours": reached, "peer": goal},
            "parameters": {"ours": fastest, "peer": best["LIBMF"]},
            "command": command,
        })  # fmt: skip
        print(f"{figures['ratio']['median']:.3f} × the time of LIBMF to RMSE {goal:.4f} (ours {reached:.4f})")
    ours, others = errors["ours, samples"], {name: e for name, e in errors.items() if not name.startswith("ours")}
    peer = min(others, key=others.get)
    ratio = ours / others[peer]
    rows.append({
        "name": "explicit_rmse",
        "setting": f"{setting}; {options.samples} samples; without sampling {errors['ours']:.4f}",
        "ours": {"rmse": ours},
        "peer": others,
        "peer_name": f"best: {peer}",
        "ratio": {"median": ratio, "min": ratio, "max": ratio},
        "pairs": 1,
        "parameters": {"ours": best["ours, samples"], "peer": best[peer]},
        "command": command,
    })  # fmt: skip
    print(f"{ratio:.4f} × the error of {peer}")
    if not options.no_record:
        for row in rows:
            results.add(row)


if __name__ == "__main__":
    main()
