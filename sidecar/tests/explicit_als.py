"""One iteration of explicit ALS in numpy, from the same random start, compared with the trained model: two conjugate
gradient steps for items, exact solutions for users.

usage: explicit_als.py RATINGS.csv SNAPSHOT OBJECTIVE
"""

import csv
import json
import math
import sys

import numpy
from safetensors import safe_open

ratings, snapshot, objective = sys.argv[1:]
with safe_open(snapshot, framework="numpy") as file:
    metadata = json.loads(file.metadata()["recmesh"])
    tensors = {name: file.get_tensor(name) for name in file.keys()}
parameters = metadata["algorithm"]["als"]
factors, regularization, exponent = (parameters[name] for name in ("factors", "regularization", "regularizationExponent"))
assert parameters["iterations"] == 1 and metadata["signal"] == "explicit" and metadata["capabilities"] == ["ratings"]

rows = list(csv.DictReader(open(ratings)))
users, items = (sorted({row[name] for row in rows}) for name in ("user_id", "item_id"))
observed = [(users.index(row["user_id"]), items.index(row["item_id"]), float(row["rating"])) for row in rows]
values = numpy.array([rating for _, _, rating in observed])
scale = {"mean": values.mean(), "deviation": values.std(), "low": values.min(), "high": values.max()}
for name, value in scale.items():
    assert abs(metadata["ratings"][name] - value) < 1e-6, (name, metadata["ratings"][name], value)
# The fit uses the mean and the deviation in the file, which are rounded to single precision.
mean, deviation = (float(numpy.float32(metadata["ratings"][name])) for name in ("mean", "deviation"))

MASK = (1 << 64) - 1


def mix(value):  # SplitMix64's finalizer
    z = (value + 0x9E3779B97F4A7C15) & MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def uniform(seed, stream, counter):
    word = mix((mix((mix(seed) + stream) & MASK) + counter) & MASK)
    return ((word >> 11) + 0.5) / (1 << 53)


def normal(seed, row, column):  # Box and Muller
    radius = math.sqrt(-2.0 * math.log(uniform(seed, row, 2 * column)))
    return radius * math.cos(math.tau * uniform(seed, row, 2 * column + 1))


SHRINKAGE = 3.0  # regularization of biases


def steps(matrix, right, count):
    """Conjugate gradients from 0, preconditioned by the diagonal."""
    x, residual = numpy.zeros(len(right)), right.copy()
    direction = residual / matrix.diagonal()
    for _ in range(count):
        norm, image = residual @ (residual / matrix.diagonal()), matrix @ direction
        length = norm / (direction @ image)
        x, residual = x + length * direction, residual - length * image
        direction = residual / matrix.diagonal() + residual @ (residual / matrix.diagonal()) / norm * direction
    return x


def half_iteration(pairs, fixed, count, solve):
    """Solves factors and bias of `count` rows; pairs are (row, row of the fixed side, rating)."""
    solved, minima = numpy.zeros((count, factors + 1)), 0.0
    for row in range(count):
        mine = [(other, rating) for r, other, rating in pairs if r == row]
        others = [other for other, _ in mine]
        design = numpy.hstack([fixed[others, :factors], numpy.ones((len(mine), 1))])
        target = numpy.array([rating for _, rating in mine]) - mean - fixed[others, factors]
        penalty = numpy.full(factors + 1, regularization * deviation * len(mine) ** exponent)
        penalty[factors] = SHRINKAGE
        x = solve(design.T @ design + numpy.diag(penalty), design.T @ target)
        solved[row] = x.astype(numpy.float32)  # rows are stored in single precision
        minima += ((target - design @ x) ** 2).sum() + (penalty * x * x).sum()
    return solved, minima


unit = math.sqrt(deviation) * 0.1 / math.sqrt(factors)
start = [[unit * normal(metadata["seed"], row, column) for column in range(factors)] + [0.0] for row in range(len(users))]
start = numpy.array(start).astype(numpy.float32).astype(float)
# Rotated into the eigenbasis of their Gram matrix, in which the diagonal preconditioner is most effective.
start[:, :factors] = start[:, :factors] @ numpy.linalg.eigh(start[:, :factors].T @ start[:, :factors])[1]
item_rows, _ = half_iteration([(i, u, r) for u, i, r in observed], start, len(items), lambda a, b: steps(a, b, 2))
user_rows, minima = half_iteration(observed, item_rows, len(users), numpy.linalg.solve)
counts = numpy.bincount([i for _, i, _ in observed], minlength=len(items))
item_penalty = (regularization * deviation * counts**exponent * (item_rows[:, :factors] ** 2).sum(axis=1)).sum()
expected = minima + item_penalty + SHRINKAGE * (item_rows[:, factors] ** 2).sum()
assert abs(float(objective) / expected - 1) < 1e-6, (objective, expected)

# The trained factors of both sides are rotated, which preserves products; steps are in single precision.
theirs = tensors["user_factors"].astype(float) @ tensors["item_factors"].astype(float).T
products = user_rows[:, :factors] @ item_rows[:, :factors].T
assert numpy.abs(products).max() > 1e-3 and numpy.abs(theirs - products).max() < 1e-4 * numpy.abs(products).max()
for side, mine in (("user", user_rows), ("item", item_rows)):
    difference = numpy.abs(tensors[f"{side}_biases"] - mine[:, factors]).max()
    assert difference < 1e-5 * deviation, (side, difference)

# Given the items of the file, users are exact except for rounding to single precision.
given = numpy.hstack([tensors["item_factors"], tensors["item_biases"][:, None]]).astype(float)
mine, _ = half_iteration(observed, given, len(users), numpy.linalg.solve)
theirs = numpy.hstack([tensors["user_factors"], tensors["user_biases"][:, None]]).astype(float)
# A value halfway between two single-precision numbers may be rounded to either.
tolerance = 1e-9 + numpy.spacing(numpy.abs(mine).astype(numpy.float32)).astype(float)
assert (numpy.abs(theirs - mine) <= tolerance).all(), numpy.abs(theirs - mine).max()
print("ok")
