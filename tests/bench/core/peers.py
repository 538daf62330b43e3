"""Other packages, configured as their users would on this machine."""

import time

import numpy as np
import scipy.sparse as sp
from implicit.cpu.als import AlternatingLeastSquares

IMPLICIT = "implicit 0.7.3, CG"


def implicit_fit(
    matrix: sp.csr_matrix, factors: int, iterations: int, alpha: float, regularization: float
) -> tuple[float, AlternatingLeastSquares]:
    """Seconds of a fit, and the model. `implicit` multiplies the entries by alpha, which gives confidences."""
    model = AlternatingLeastSquares(
        factors=factors, regularization=regularization, alpha=alpha, iterations=iterations, dtype=np.float32,
        use_cg=True, num_threads=2, random_state=1, calculate_training_loss=False,
    )  # fmt: skip
    begin = time.perf_counter()
    model.fit(matrix, show_progress=False)
    return time.perf_counter() - begin, model
