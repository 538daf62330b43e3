"""Compares the objective with its definition over all cells."""

import unittest

import numpy as np
import scipy.sparse as sp
from objective import objective


class Objective(unittest.TestCase):
    def test_objective_is_the_sum_over_all_cells(self):
        random = np.random.default_rng(1)
        stored = np.where(random.random((7, 5)) < 0.4, random.integers(2, 6, (7, 5)), 0).astype(float)
        users, items = random.normal(size=(7, 3)), random.normal(size=(5, 3))
        total = 0.0
        for user in range(7):
            for item in range(5):
                y = users[user] @ items[item]
                c, p = (stored[user, item], 1) if stored[user, item] else (1, 0)
                total += c * (p - y) ** 2
        total += 0.3 * (np.sum(users**2) + np.sum(items**2))
        self.assertAlmostEqual(objective(sp.csr_matrix(stored), users, items, 0.3), total)


if __name__ == "__main__":
    unittest.main()
