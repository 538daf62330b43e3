"""Lists of new items by their genres, of ours and of LightFM with item features, on MovieLens 100K.

All stars are interactions. The items are divided at random into ten parts. For each part the models
are fitted without the interactions of its items; then these items alone are ranked for each user who
interacted with one of them. Parameters of both are those that rank the first three parts best, by
random search with the same number of trials; the figures are of the other seven. LightFM is its fork lightfm-next: lightfm 1.17 does not
build with current versions of setuptools.
"""

import argparse
import csv
import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import results
import scipy.sparse as sp
from lightfm import LightFM
from ranking import of_each_user
from snapshot import Snapshot

K = 10
PARTS = 10
VALIDATION_PARTS = 3
GENRES = 19
SEED = 23


@dataclass
class Data:
    """Interactions of users and items by the ids in the files, and genres of items."""

    matrix: sp.csr_matrix
    genres: np.ndarray

    @staticmethod
    def read(directory: Path) -> "Data":
        """Reads `u.data` and `u.item` of MovieLens 100K."""
        pairs = np.loadtxt(directory / "u.data", dtype=np.int64, usecols=(0, 1))
        rows = [line.split("|") for line in (directory / "u.item").read_text(encoding="latin-1").splitlines() if line]
        genres = np.zeros((pairs[:, 1].max() + 1, GENRES), bool)
        for row in rows:
            genres[int(row[0])] = [flag == "1" for flag in row[-GENRES:]]
        matrix = sp.csr_matrix((np.ones(len(pairs), np.float32), (pairs[:, 0], pairs[:, 1])))
        matrix.data[:] = 1
        return Data(matrix, genres)

    def without(self, items: np.ndarray) -> tuple[sp.csr_matrix, sp.csr_matrix]:
        """Returns the interactions without those of the items, and with those of the items alone."""
        mask = np.zeros(self.matrix.shape[1], np.float32)
        mask[items] = 1
        parts = [sp.csr_matrix(self.matrix @ sp.diags(which)) for which in (1 - mask, mask)]
        for part in parts:
            part.eliminate_zeros()
        return parts[0], parts[1]


def our_factors(data: Data, train: sp.csr_matrix, parameters: dict[str, str]) -> tuple[np.ndarray, np.ndarray]:
    """Returns the factors of all users and items of a model that `recmesh-sidecar train` writes."""
    with tempfile.TemporaryDirectory() as directory:
        rows, table, model = (Path(directory) / name for name in ("rows.csv", "items.csv", "model.safetensors"))
        entries = train.tocoo()
        rows.write_text("user_id,item_id\n" + "".join(f"{u},{i}\n" for u, i in zip(entries.row, entries.col)))
        with table.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["item_id", "genres"])
            writer.writerows([item, "|".join(map(str, np.flatnonzero(flags)))] for item, flags in enumerate(data.genres))
        command = [os.environ["RECMESH_SIDECAR"], "--log", "warn", "train", str(rows), "--output", str(model)]
        command += ["--items", str(table), "--items-attributes", "genres", "--items-title", ""]
        command += [word for name, value in parameters.items() for word in (f"--{name}", value)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        snapshot = Snapshot(model)
        factors = []
        for side, rows in (("user", train.shape[0]), ("item", train.shape[1])):
            stored = snapshot.tensor(f"{side}_factors")
            all_rows = np.zeros((rows, stored.shape[1]), np.float32)
            all_rows[[int(id) for id in snapshot.ids(side)]] = stored
            factors.append(all_rows)
    return factors[0], factors[1]


def peer_factors(data: Data, train: sp.csr_matrix, parameters: dict) -> tuple[np.ndarray, np.ndarray]:
    """Returns the factors of all users and items of a LightFM model, with a column for the biases of items."""
    items = train.shape[1]
    genres = sp.csr_matrix(data.genres, dtype=np.float32)
    # Items in the training set have a feature of their own in addition.
    known = sp.diags((np.asarray(train.sum(axis=0)).ravel() > 0).astype(np.float32))
    features = sp.csr_matrix(sp.hstack([known, genres]) if parameters["identity"] else genres)
    model = LightFM(
        no_components=parameters["factors"], loss=parameters["loss"], learning_rate=parameters["learning_rate"],
        item_alpha=parameters["alpha"], user_alpha=parameters["alpha"], random_state=1,
    )  # fmt: skip
    model.fit(train.tocoo(), item_features=features, epochs=parameters["epochs"], num_threads=2)
    biases, factors = model.get_item_representations(features)
    users = model.get_user_representations()[1]
    return np.hstack([users, np.ones((len(users), 1))]), np.hstack([factors, biases[:items, None]])


def drawn_ours(random: np.random.Generator) -> dict[str, str]:
    """Draws an algorithm and its number of factors; all else is a default."""
    return {"algorithm": str(random.choice(["als", "svd", "bpr"])), "factors": str(random.choice([8, 16, 32, 64, 128]))}


def drawn_peer(random: np.random.Generator) -> dict:
    """Draws parameters of LightFM."""
    return {
        "factors": int(random.choice([8, 16, 32, 64, 128])), "loss": str(random.choice(["warp", "bpr", "logistic"])),
        "learning_rate": float(10 ** random.uniform(-2.3, -1)), "epochs": int(random.choice([5, 10, 20, 40])),
        "alpha": float(random.choice([0, 1e-6, 1e-5, 1e-4])), "identity": bool(random.integers(2)),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory", type=Path, help="of MovieLens 100K, with u.data and u.item")
    parser.add_argument("--trials", type=int, default=16)
    options = parser.parse_args()
    data = Data.read(options.directory)
    met = np.flatnonzero(np.asarray(data.matrix.sum(axis=0)).ravel())
    parts = np.array_split(np.random.default_rng(SEED).permutation(met), PARTS)

    def ndcgs(fit, parameters: dict, part: np.ndarray) -> np.ndarray:
        """Returns NDCG of each user of the items of a part."""
        train, test = data.without(part)
        users, items = fit(data, train, parameters)
        none = sp.csr_matrix((test.shape[0], len(part)), dtype=np.float32)
        return of_each_user(users, items[part], none, test[:, part], K)[1]

    def searched(fit, draw) -> dict:
        """Returns the parameters with the highest NDCG on the validation parts."""
        random = np.random.default_rng(SEED)
        trials = [draw(random) for _ in range(options.trials)]
        figure = lambda trial: float(np.mean([ndcgs(fit, trial, part).mean() for part in parts[:VALIDATION_PARTS]]))
        return max(trials, key=figure)

    def constant(data: Data, train: sp.csr_matrix, _: dict) -> tuple[np.ndarray, np.ndarray]:
        """A random order of the items, the same for all users."""
        return np.ones((train.shape[0], 1)), np.random.default_rng(SEED).random((train.shape[1], 1))

    ours, peer = searched(our_factors, drawn_ours), searched(peer_factors, drawn_peer)
    found = {
        name: [ndcgs(fit, parameters, part) for part in parts[VALIDATION_PARTS:]]
        for name, fit, parameters in [
            ("ours", our_factors, ours), ("default", our_factors, {}), ("svd", our_factors, {"algorithm": "svd"}),
            ("without", our_factors, {"algorithm": "svd", "co-occurrence-weight": "0"}), ("peer", peer_factors, peer), ("random", constant, {}),
        ]
    }  # fmt: skip
    mean = {name: float(np.mean([part.mean() for part in of])) for name, of in found.items()}
    differences = np.array([ours.mean() - peer.mean() for ours, peer in zip(found["ours"], found["peer"])])
    error = differences.std(ddof=1) / np.sqrt(len(differences))
    listed = lambda parameters: ", ".join(f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}" for name, value in parameters.items())
    results.replace({
        "name": "coldstart_items",
        "setting": f"MovieLens 100K, new items by 19 genres; NDCG@{K} over the new items alone, mean of {PARTS - VALIDATION_PARTS} parts of about {len(parts[0])} items each, "
        f"ranked for the users who interacted with them; both by {options.trials} trials on {VALIDATION_PARTS} other parts: ours {listed(ours)} (als: {{}} {mean['default']:.4f}, svd: {{}} {mean['svd']:.4f}, without the two-hop term {mean['without']:.4f}), "
        f"LightFM {listed(peer)}; a random order {mean['random']:.4f}; difference {differences.mean():+.4f} ± {error:.4f} (standard error over parts); seed {SEED}",
        "ours": {"ndcg10": mean["ours"]},
        "peer": {"ndcg10": mean["peer"]},
        "peer_name": "LightFM (lightfm-next 1.19.0) with item features",
        "command": f"tests/bench/core/run coldstart_items ml-100k --trials {options.trials}",
    })  # fmt: skip
    print(mean, ours, peer, flush=True)


if __name__ == "__main__":
    main()
