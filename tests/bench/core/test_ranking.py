"""Compares the ranking metrics with their definitions, user by user."""

import math
import unittest

import numpy as np
import scipy.sparse as sp
from ranking import recall_and_ndcg


class Ranking(unittest.TestCase):
    def test_metrics_match_their_definitions(self):
        random = np.random.default_rng(2)
        kind = random.choice(3, (30, 40), p=[0.7, 0.2, 0.1])
        kind[3][kind[3] == 2] = 0
        train, test = sp.csr_matrix(kind == 1), sp.csr_matrix(kind == 2)
        users, items = random.normal(size=(30, 4)), random.normal(size=(40, 4))
        recalls, ndcgs = [], []
        for user in range(30):
            relevant = {item for item in range(40) if kind[user, item] == 2}
            if not relevant:
                continue
            others = [item for item in range(40) if kind[user, item] != 1]
            top = sorted(others, key=lambda item: -users[user] @ items[item])[:5]
            recalls.append(sum(item in relevant for item in top) / len(relevant))
            gain = sum(1 / math.log2(rank + 2) for rank, item in enumerate(top) if item in relevant)
            ndcgs.append(gain / sum(1 / math.log2(rank + 2) for rank in range(min(5, len(relevant)))))
        recall, ndcg = recall_and_ndcg(users, items, train, test, k=5)
        self.assertAlmostEqual(recall, sum(recalls) / len(recalls))
        self.assertAlmostEqual(ndcg, sum(ndcgs) / len(ndcgs))


if __name__ == "__main__":
    unittest.main()
