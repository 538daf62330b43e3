"""Data sets: users × items in compressed sparse rows, all entries 1."""

import re
import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import scipy.sparse as sp


def visits(path: Path) -> sp.csr_matrix:
    """Reads a file of lines `user item item …`."""
    users, items = [], []
    for line in path.read_text().splitlines():
        user, *seen = (int(word) for word in line.split())
        users += [user] * len(seen)
        items += seen
    return ones(users, items)


def pairs_of(path: Path) -> sp.csr_matrix:
    """Reads user and item of lines that are separated by tabs or commas, or of an HDF5 file.

    The first line is a header if it begins with a letter. Further columns are ignored.
    """
    if path.suffix == ".hdf5":
        import h5py  # Not in the environment of `explicit`.

        with h5py.File(path) as file:
            columns = (file["user"][:], file["item"][:])
    else:
        lines = [re.split(r"[\t,]", line)[:2] for line in path.read_text().splitlines()]
        columns = zip(*lines[lines[0][0][0].isalpha() :])
    users, items = (np.unique(np.asarray(column), return_inverse=True)[1] for column in columns)
    return ones(users, items)


def read(path: Path) -> sp.csr_matrix:
    """Reads a file of lines `user item item …` or of pairs."""
    if path.suffix == ".hdf5":
        return pairs_of(path)
    with path.open() as file:
        first = file.readline()
    return pairs_of(path) if "\t" in first or "," in first else visits(path)


def ones(users: Sequence[int], items: Sequence[int]) -> sp.csr_matrix:
    """Returns a matrix with 1 for each distinct pair."""
    matrix = sp.csr_matrix((np.ones(len(users), np.float32), (users, items)), dtype=np.float32)
    matrix.sum_duplicates()
    matrix.data[:] = 1
    return matrix


def as_csv(matrix: sp.csr_matrix, out: Path) -> None:
    """Writes a matrix as CSV for the sidecar, with indices as ids."""
    entries = matrix.tocoo()
    with out.open("w") as file:
        file.write("user_id,item_id\n")
        file.writelines(f"{user},{item}\n" for user, item in zip(entries.row, entries.col))


def write_binary(matrix: sp.csr_matrix, out: Path) -> None:
    """Writes a matrix for the example `peer`."""
    entries = matrix.tocoo()
    with out.open("wb") as file:
        file.write(struct.pack("<3Q", *matrix.shape, matrix.nnz))
        for column in (entries.row.astype("<u4"), entries.col.astype("<u4"), entries.data.astype("<f4")):
            file.write(column.tobytes())


def movielens_shape(seed: int = 1) -> sp.csr_matrix:
    """Generates a matrix with the shape of MovieLens 20M, for measuring speed and memory only.

    It has the same number of users, items and entries (138,493 × 26,744; 20,000,263) and similar
    degrees. The degree of a user is 20 plus a lognormal number of median 48 and mean 124, truncated
    at 9,254. Items are drawn with lognormal weights of median 18 and mean 748.
    """
    users, items, entries = 138_493, 26_744, 20_000_263
    random = np.random.default_rng(seed)
    degrees = np.minimum(20 + random.lognormal(np.log(48), np.sqrt(2 * np.log(124 / 48)), users), 9_254)
    weights = random.lognormal(np.log(18), np.sqrt(2 * np.log(748 / 18)), items)
    weights = np.minimum(weights / weights.sum(), 67_310 / entries)
    user_cdf, item_cdf = np.cumsum(degrees / degrees.sum()), np.cumsum(weights / weights.sum())
    pairs = np.empty(0, np.int64)
    while len(pairs) < entries:
        missing = entries - len(pairs)
        user = np.searchsorted(user_cdf, random.random(missing + missing // 4)).clip(max=users - 1)
        item = np.searchsorted(item_cdf, random.random(len(user))).clip(max=items - 1)
        pairs = np.unique(np.concatenate([pairs, user.astype(np.int64) * items + item]))
    pairs = np.sort(random.permutation(pairs)[:entries])
    return sp.csr_matrix((np.ones(entries, np.float32), (pairs // items, pairs % items)), shape=(users, items), dtype=np.float32)


def degree_quantiles(matrix: sp.csr_matrix) -> str:
    """Returns min, median, mean and max degree of users and of items."""
    sides = {"users": np.diff(matrix.indptr), "items": np.diff(matrix.tocsc().indptr)}
    return "; ".join(f"{side} {d.min()} / {np.median(d):.0f} / {d.mean():.0f} / {d.max()}" for side, d in sides.items())
