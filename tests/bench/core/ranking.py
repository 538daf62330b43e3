"""Recall@k and NDCG@k of factors, of users with test items and without training items."""

import numpy as np
import scipy.sparse as sp

BATCH = 512


def recall_and_ndcg(
    users: np.ndarray, items: np.ndarray, train: sp.csr_matrix, test: sp.csr_matrix, k: int = 20
) -> tuple[float, float]:
    """Returns the means over users; see `of_each_user`."""
    recall, ndcg = of_each_user(users, items, train, test, k)
    return float(recall.mean()), float(ndcg.mean())


def of_each_user(
    users: np.ndarray, items: np.ndarray, train: sp.csr_matrix, test: sp.csr_matrix, k: int = 20
) -> tuple[np.ndarray, np.ndarray]:
    """Returns recall and NDCG of each user with test items.

    Definitions as in the published figures of LightGCN (recall: hits / relevant; NDCG: ideal of
    min(k, relevant)).
    """
    evaluated = np.flatnonzero(np.diff(test.indptr))
    discount = 1 / np.log2(np.arange(2, k + 2))
    ideal = np.concatenate([[0], np.cumsum(discount)])
    recall, ndcg = [], []
    for begin in range(0, len(evaluated), BATCH):
        batch = evaluated[begin : begin + BATCH]
        scores = users[batch] @ items.T
        seen, relevant = train[batch], test[batch].toarray() != 0
        scores[seen.nonzero()] = -np.inf
        rows = np.arange(len(batch))[:, None]
        top = np.argpartition(-scores, k, axis=1)[:, :k]
        top = top[rows, np.argsort(-scores[rows, top], axis=1, kind="stable")]
        hits, counts = relevant[rows, top], relevant.sum(axis=1)
        recall.append(hits.sum(axis=1) / counts)
        ndcg.append((hits * discount).sum(axis=1) / ideal[np.minimum(k, counts)])
    return np.concatenate(recall), np.concatenate(ndcg)
