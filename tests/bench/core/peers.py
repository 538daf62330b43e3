"""Other packages, configured as a user would on this machine."""

import time

import numpy as np
import scipy.sparse as sp
from implicit.cpu.als import AlternatingLeastSquares
from sklearn.decomposition import TruncatedSVD
from threadpoolctl import threadpool_limits

IMPLICIT = "implicit 0.7.3, CG"
SKLEARN = "scikit-learn 1.9.1, TruncatedSVD"


def implicit_fit(
    matrix: sp.csr_matrix, factors: int, iterations: int, alpha: float, regularization: float
) -> tuple[float, AlternatingLeastSquares]:
    """Returns the seconds of a fit, and the model.

    `implicit` multiplies the entries by alpha, which gives confidences.
    """
    model = AlternatingLeastSquares(
        factors=factors, regularization=regularization, alpha=alpha, iterations=iterations, dtype=np.float32,
        use_cg=True, num_threads=2, random_state=1, calculate_training_loss=False,
    )  # fmt: skip
    begin = time.perf_counter()
    model.fit(matrix, show_progress=False)
    return time.perf_counter() - begin, model


def truncated_svd(matrix: sp.csr_matrix, factors: int, **settings: str | int) -> tuple[float, np.ndarray]:
    """Returns the seconds of an SVD, and the right singular vectors as columns.

    BLAS uses two threads; the sparse products of scipy use one.
    """
    model = TruncatedSVD(n_components=factors, random_state=1, **settings)
    with threadpool_limits(2):
        begin = time.perf_counter()
        model.fit(matrix)
        seconds = time.perf_counter() - begin
    return seconds, model.components_.T
