"""Generated stars whose process no factorization has: points, interests, a kernel, and every user's own thresholds.

As many users, items and ratings as MovieLens 1M (6,040 × 3,706; 1,000,209) would have rounded, and degrees like its own. Items are
points around genres. A user has up to three interests, each near an item, and likes an item by the nearest of them; what is popular and
what is liked is rated more often. A score is the item's quality, the affinity and noise; each user's five stars cut it at thresholds of
their own, lenient or strict, wide or narrow.
"""

import numpy as np

USERS, ITEMS, RATINGS = 6_000, 4_000, 1_000_000
DIMENSIONS, GENRES, INTERESTS = 6, 18, 3
BANDWIDTH = 1.3
# Of the score: a kernel's share, an item's quality, and what nothing explains.
AFFINITY, QUALITY, NOISE = 3.0, 0.5, 0.6
# How much likelier an item at the height of an interest is rated than one far away, in logarithms.
SELECTION = 1.5
# Of scores in units of their spread, for an average user: few low stars.
CUTS = np.array([-1.55, -0.85, -0.05, 0.95])
LENIENCY, WIDTH = 0.3, 0.2


def stars(seed: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Users, items and stars of all ratings, by user and then by item; the same for a seed."""
    random = np.random.default_rng(seed)
    genres = random.normal(size=(GENRES, DIMENSIONS))
    points = genres[random.integers(GENRES, size=ITEMS)] + 0.5 * random.normal(size=(ITEMS, DIMENSIONS))
    quality, popularity = random.normal(size=ITEMS), random.lognormal(0, 1.3, ITEMS)
    popularity *= np.exp(0.4 * quality)
    degrees = 20 + random.lognormal(np.log(70), 1.0, USERS)
    degrees = np.clip(degrees * RATINGS / degrees.sum(), 20, ITEMS // 2).astype(int)
    degrees[np.argsort(-degrees)[: RATINGS - degrees.sum()]] += 1
    rated, scores = [], []
    for degree in degrees:
        interests = points[random.integers(ITEMS, size=random.integers(1, INTERESTS + 1))]
        interests = interests + 0.5 * random.normal(size=interests.shape)
        squares = ((points[:, None, :] - interests) ** 2).sum(axis=2).min(axis=1)
        affinity = np.exp(-squares / (2 * BANDWIDTH**2))
        # The greatest of Gumbel's draws are a choice without replacement by these weights.
        keys = np.log(popularity) + SELECTION * affinity + random.gumbel(size=ITEMS)
        chosen = np.sort(np.argpartition(-keys, degree)[:degree])
        rated.append(chosen)
        scores.append(AFFINITY * affinity[chosen] + QUALITY * quality[chosen] + NOISE * random.normal(size=degree))
    users, items, score = np.repeat(np.arange(USERS), degrees), np.concatenate(rated), np.concatenate(scores)
    score = (score - score.mean()) / score.std()
    lenient, wide = LENIENCY * random.normal(size=USERS), np.exp(WIDTH * random.normal(size=USERS))
    cut = ((score + lenient[users]) * wide[users])[:, None] > CUTS
    return users.astype(np.int32), items.astype(np.int32), (1 + cut.sum(axis=1)).astype(np.float32)
