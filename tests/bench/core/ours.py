"""Driver of this repository's factorization, through its example `peer`."""

import json
import os
import struct
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import scipy.sparse as sp


class Ours:
    """Process with a loaded matrix, whose entries are confidences or ratings."""

    def __init__(self, matrix: sp.csr_matrix):
        self.directory = tempfile.TemporaryDirectory()
        self.shape = matrix.shape
        self.process = subprocess.Popen(
            [os.environ["RECMESH_PEER"]], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        file, rows = Path(self.directory.name) / "data.bin", matrix.tocoo()
        with file.open("wb") as out:
            out.write(struct.pack("<3Q", *matrix.shape, matrix.nnz))
            for column in (rows.row.astype("<u4"), rows.col.astype("<u4"), rows.data.astype("<f4")):
                out.write(column.tobytes())
        self.send(op="load", path=str(file))
        file.unlink()

    def send(self, **command) -> dict:
        """Sends a command and returns the response. An error response is raised."""
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()
        response = json.loads(self.process.stdout.readline())
        if "error" in response:
            raise RuntimeError(response["error"])
        return response

    def als(
        self, factors: int, iterations: int, regularization: float | None, steps: int = 2, threads: int = 2, **more: float
    ) -> float:
        """Returns the seconds of a fit.

        Without `more` the objective is that of `implicit`. With it the objective is ours, and
        `regularization=None` selects the default regularization. See the example `peer`.
        """
        response = self.send(
            op="als", factors=factors, iterations=iterations, regularization=regularization, steps=steps,
            threads=threads, seed=1, out=self.directory.name, **more,
        )  # fmt: skip
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

    def svd(self, factors: int, iterations: int, degree_exponent: float, threads: int = 2) -> float:
        """Returns the seconds of an SVD."""
        response = self.send(
            op="svd", factors=factors, iterations=iterations, degreeExponent=degree_exponent,
            threads=threads, seed=1, out=self.directory.name,
        )  # fmt: skip
        return response["seconds"]

    def factors(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns the user factors and the item factors of the last fit."""
        read = lambda name, rows: np.fromfile(Path(self.directory.name) / name, "<f4").reshape(rows, -1)
        return read("users.f32", self.shape[0]), read("items.f32", self.shape[1])
