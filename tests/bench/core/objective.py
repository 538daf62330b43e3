"""Objective of the package `implicit` (Hu, Koren and Volinsky 2008), in f64."""

import numpy as np
import scipy.sparse as sp


def objective(confidences: sp.csr_matrix, users: np.ndarray, items: np.ndarray, regularization: float) -> float:
    """Returns Σ c(p − ŷ)² over all cells plus λ(‖U‖² + ‖V‖²); c = 1 and p = 0 without an entry."""
    users, items = users.astype(np.float64), items.astype(np.float64)
    total = np.sum((users.T @ users) * (items.T @ items))
    for begin in range(0, confidences.shape[0], 4096):
        rows = confidences[begin : begin + 4096].tocoo()
        y = np.einsum("ij,ij->i", users[begin + rows.row], items[rows.col])
        total += np.sum(rows.data * (1 - y) ** 2 - y**2)
    return float(total + regularization * (np.sum(users**2) + np.sum(items**2)))
