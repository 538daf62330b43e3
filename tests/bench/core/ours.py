"""Driver of this repository's factorization, through its example `peer`."""

import json
import os
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from data import write_binary


class Ours:
    """Process with a loaded matrix, whose entries are confidences or ratings."""

    def __init__(self, matrix: sp.csr_matrix):
        self.directory = tempfile.TemporaryDirectory()
        self.shape = matrix.shape
        self.process = subprocess.Popen(
            [os.environ["RECMESH_PEER"]], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        file = self.written("data.bin", matrix)
        self.send(op="load", path=str(file))
        file.unlink()

    def written(self, name: str, matrix: sp.csr_matrix) -> Path:
        """Writes a matrix for the process and returns its path."""
        file = Path(self.directory.name) / name
        write_binary(matrix, file)
        return file

    def send(self, **command) -> dict:
        """Sends a command and returns the response. An error response is raised."""
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()
        response = json.loads(self.process.stdout.readline())
        if "error" in response:
            raise RuntimeError(response["error"])
        return response

    def als(
        self, factors: int, iterations: int, regularization: float | None, steps: int = 2, threads: int = 2,
        **more: float | str | None,
    ) -> float:  # fmt: skip
        """Returns the seconds of a fit.

        Without `more` the objective is that of `implicit`. With it the objective is ours, and
        `regularization=None` selects the default regularization. See the example `peer`.
        """
        response = self.send(
            op="als", factors=factors, iterations=iterations, regularization=regularization, steps=steps,
            threads=threads, seed=1, out=self.directory.name, **more,
        )  # fmt: skip
        self.co_occurrence_weight = response["coOccurrenceWeight"]
        return response["seconds"]

    def explicit_als(
        self, factors: int, iterations: int, regularization: float, regularization_exponent: float, steps: int = 3,
        threads: int = 2, **more: float,
    ) -> float:  # fmt: skip
        """Returns the seconds of a fit to ratings."""
        response = self.send(
            op="explicitAls", factors=factors, iterations=iterations, regularization=regularization,
            regularizationExponent=regularization_exponent, steps=steps, threads=threads, seed=1,
            out=self.directory.name, **more,
        )  # fmt: skip
        self.mean = response["mean"]
        return response["seconds"]

    def ratings(self, users: np.ndarray, items: np.ndarray) -> np.ndarray:
        """Returns the ratings that the last fit predicts, without clipping to the scale."""
        bias = lambda name: np.fromfile(Path(self.directory.name) / name, "<f4").astype(float)
        user_factors, item_factors = (rows.astype(float) for rows in self.factors())
        products = np.einsum("nf,nf->n", user_factors[users], item_factors[items])
        return self.mean + bias("user_biases.f32")[users] + bias("item_biases.f32")[items] + products

    def svd(
        self, factors: int, iterations: int, degree_exponent: float, threads: int = 2, **more: float | str | None
    ) -> float:
        """Returns the seconds of an SVD; `more` are parameters of the two-hop term, see the example `peer`."""
        response = self.send(
            op="svd", factors=factors, iterations=iterations, degreeExponent=degree_exponent,
            threads=threads, seed=1, out=self.directory.name, **more,
        )  # fmt: skip
        self.co_occurrence_weight = response["coOccurrenceWeight"]
        return response["seconds"]

    def rank(self, history: sp.csr_matrix, test: sp.csr_matrix, k: int) -> dict[str, np.ndarray]:
        """Returns users, recall and NDCG of the lists of the last fit.

        Each user with test items is folded in from the history, whose items are not listed.
        """
        files = {"history": self.written("history.bin", history), "test": self.written("test.bin", test)}
        response = self.send(op="rank", k=k, **{name: str(file) for name, file in files.items()})
        for file in files.values():
            file.unlink()
        return {name: np.array(values) for name, values in response.items()}

    def factors(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns the user factors and the item factors of the last fit."""
        read = lambda name, rows: np.fromfile(Path(self.directory.name) / name, "<f4").reshape(rows, -1)
        return read("users.f32", self.shape[0]), read("items.f32", self.shape[1])
