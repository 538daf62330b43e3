"""Recall@k and NDCG@k of factors, for all users with something in the test part; what they met in training is left out."""

import numpy as np
import scipy.sparse as sp

BATCH = 512


def recall_and_ndcg(
    users: np.ndarray, items: np.ndarray, train: sp.csr_matrix, test: sp.csr_matrix, k: int = 20
) -> tuple[float, float]:
    """Means over users; definitions as in LightGCN's published figures (recall: hits / relevant; NDCG: ideal of min(k, relevant))."""
    measured = np.flatnonzero(np.diff(test.indptr))
    discount = 1 / np.log2(np.arange(2, k + 2))
    ideal = np.concatenate([[0], np.cumsum(discount)])
    recall, ndcg = [], []
    for begin in range(0, len(measured), BATCH):
        batch = measured[begin : begin + BATCH]
        scores = users[batch] @ items.T
        met, relevant = train[batch], test[batch].toarray() != 0
        scores[met.nonzero()] = -np.inf
        rows = np.arange(len(batch))[:, None]
        top = np.argpartition(-scores, k, axis=1)[:, :k]
        top = top[rows, np.argsort(-scores[rows, top], axis=1, kind="stable")]
        hits, counts = relevant[rows, top], relevant.sum(axis=1)
        recall.append(hits.sum(axis=1) / counts)
        ndcg.append((hits * discount).sum(axis=1) / ideal[np.minimum(k, counts)])
    return float(np.concatenate(recall).mean()), float(np.concatenate(ndcg).mean())
