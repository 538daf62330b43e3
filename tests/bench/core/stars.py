"""Generates star ratings from a process that is not a matrix factorization.

The numbers of users, items and ratings are those of MovieLens 1M (6,040 × 3,706; 1,000,209),
rounded, and the degrees are similar. Items are points around genre centres. A user has up to three
interests, each near an item. The affinity to an item is a kernel of its distance to the nearest
interest. Popular items and items with high affinity are rated more often. A score is the sum of the
item's quality, the affinity and noise. User-specific thresholds, with different leniency and
spread, map it to one to five stars.
"""

import numpy as np

USERS, ITEMS, RATINGS = 6_000, 4_000, 1_000_000
DIMENSIONS, GENRES, INTERESTS = 6, 18, 3
BANDWIDTH = 1.3
# Coefficients of the score: affinity, item quality and noise.
AFFINITY, QUALITY, NOISE = 3.0, 0.5, 0.6
# Log of the ratio of rating probabilities of an item at an interest and one far away.
SELECTION = 1.5
# Thresholds of an average user on standardized scores; low ratings are rare.
CUTS = np.array([-1.55, -0.85, -0.05, 0.95])
LENIENCY, SPREAD = 0.3, 0.2


def stars(seed: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns users, items and stars of all ratings, sorted by user and item."""
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
        # The maxima of Gumbel draws are a weighted sample without replacement.
        keys = np.log(popularity) + SELECTION * affinity + random.gumbel(size=ITEMS)
        chosen = np.sort(np.argpartition(-keys, degree)[:degree])
        rated.append(chosen)
        scores.append(AFFINITY * affinity[chosen] + QUALITY * quality[chosen] + NOISE * random.normal(size=degree))
    users, items, score = np.repeat(np.arange(USERS), degrees), np.concatenate(rated), np.concatenate(scores)
    score = (score - score.mean()) / score.std()
    leniency, spread = LENIENCY * random.normal(size=USERS), np.exp(SPREAD * random.normal(size=USERS))
    cut = ((score + leniency[users]) * spread[users])[:, None] > CUTS
    return users.astype(np.int32), items.astype(np.int32), (1 + cut.sum(axis=1)).astype(np.float32)
