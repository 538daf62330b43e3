"""Items and queries of the top-K rows, from seeds."""

import struct
from pathlib import Path

import numpy as np

ITEMS = 1_000_000
QUERIES = 500
# Norm of the noise of a resampled item, relative to its own.
NOISE = 0.2


def gaussian(factors: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns independent normal items and queries."""
    draw = np.random.default_rng(factors).standard_normal
    return draw((ITEMS, factors), dtype=np.float32), draw((QUERIES, factors), dtype=np.float32)


def resampled(users: np.ndarray, items: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns items drawn from rows of `items`, each plus Gaussian noise in the items' covariance, and rows of `users`."""
    random = np.random.default_rng(1)
    rows = items[random.integers(len(items), size=ITEMS)].astype(float)
    noise = random.standard_normal(rows.shape) @ np.linalg.cholesky(np.cov(items.astype(float).T)).T
    noise *= NOISE * np.linalg.norm(rows, axis=1, keepdims=True) / np.linalg.norm(noise, axis=1, keepdims=True)
    return (rows + noise).astype("<f4"), users[random.choice(len(users), QUERIES, replace=False)]


def visits(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Returns users and items of the visits in lines of `user item item …`."""
    lines = [np.array(line.split(), "<u4") for line in path.read_text().splitlines()]
    users = np.concatenate([np.full(len(line) - 1, line[0], "<u4") for line in lines if len(line)])
    return users, np.concatenate([line[1:] for line in lines if len(line)])


def write_visits(path: Path, users: np.ndarray, items: np.ndarray) -> None:
    """Writes visits for the example `peer`."""
    with path.open("wb") as out:
        out.write(struct.pack("<3Q", users.max() + 1, items.max() + 1, len(users)))
        for column in (users, items, np.ones(len(users), "<f4")):
            out.write(column.tobytes())


def write_seen(path: Path, users: np.ndarray, items: np.ndarray) -> None:
    """Writes each user's items, ascending, for the example `top_k`."""
    order = np.lexsort((items, users))
    starts = np.searchsorted(users[order], np.arange(int(users.max()) + 2)).astype("<u8")
    with path.open("wb") as out:
        out.write(struct.pack("<2Q", len(starts) - 1, len(items)))
        out.write(starts.tobytes())
        out.write(items[order].tobytes())
