"""Recall@20 and NDCG@20 on the Gowalla split, of tuned ALS or of SVD with default parameters.

ALS is tuned by `recmesh-sidecar tune` on the training set only. The test set is evaluated once, on
the final model.
"""

import argparse
import os
import re
import subprocess
import tempfile
from pathlib import Path

import results
from data import as_csv, visits
from ours import Ours
from ranking import recall_and_ndcg


def tuned(train: Path, factors: int, trials: int) -> dict[str, float]:
    """Returns the tuned parameters by their resource names, and prints the table of the search."""
    with tempfile.TemporaryDirectory() as directory:
        csv = Path(directory) / "train.csv"
        as_csv(visits(train), csv)
        command = [os.environ["RECMESH_SIDECAR"], "--log", "warn", "tune", str(csv), "--factors", str(factors)]
        command += ["-k", "20", "--trials", str(trials), "--budget", "7200"]
        printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    print(printed, flush=True)
    return {name: float(value) for name, value in re.findall(r"^ +(\w+): ([0-9.e-]+)$", printed, re.MULTILINE)}


def fit_als(ours: Ours, options: argparse.Namespace) -> str:
    """Tunes and fits; returns a description of the model."""
    found = tuned(options.train, options.factors, options.trials)
    ours.als(
        options.factors, int(found["iterations"]), found["regularization"], 2,
        unobservedWeight=found["unobservedWeight"], regularizationExponent=found["regularizationExponent"],
        degreeExponent=found["degreeExponent"], popularityBoost=found["popularityBoost"],
    )  # fmt: skip
    return (
        f"ALS, {options.factors} factors; {options.trials} trials: regularization {found['regularization']:g}, "
        f"unobservedWeight {found['unobservedWeight']:g}, degreeExponent {found['degreeExponent']:g}, popularityBoost {found['popularityBoost']:g}, "
        f"{found['iterations']:g} iterations"
    )


def fit_svd(ours: Ours, options: argparse.Namespace) -> str:
    """Fits with default parameters; returns a description of the model."""
    seconds = ours.svd(options.factors, 6, 0.5)
    return f"SVD, {options.factors} factors, degreeExponent 0.5, 6 iterations in {seconds:.0f} s"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("train", type=Path, help="train.txt of the Gowalla split; see `run`")
    parser.add_argument("test", type=Path, help="test.txt of the Gowalla split")
    parser.add_argument("--algorithm", choices=["als", "svd"], default="als")
    parser.add_argument("--factors", type=int, default=256)
    parser.add_argument("--trials", type=int, default=32, help="number of tuning trials of als")
    options = parser.parse_args()
    train, test = visits(options.train), visits(options.test)
    shape = tuple(max(sizes) for sizes in zip(train.shape, test.shape))
    train.resize(shape), test.resize(shape)
    ours = Ours(train)
    setting = {"als": fit_als, "svd": fit_svd}[options.algorithm](ours, options)
    recall, ndcg = recall_and_ndcg(*ours.factors(), train, test)
    command = f"tests/bench/core/run gowalla train.txt test.txt --algorithm {options.algorithm} --factors {options.factors}"
    results.add({
        "name": f"gowalla_{options.algorithm}",
        "setting": setting,
        "ours": {"recall20": recall, "ndcg20": ndcg},
        "peer": {"recall20": 0.1830, "ndcg20": 0.1554},
        "peer_name": "LightGCN as published, He et al. 2020",
        "command": command + (f" --trials {options.trials}" if options.algorithm == "als" else ""),
    })  # fmt: skip
    results.copy_best("gowalla_best", ["gowalla_als", "gowalla_svd"], "ndcg20")
    print(f"recall@20 {recall:.4f}, NDCG@20 {ndcg:.4f}")


if __name__ == "__main__":
    main()
