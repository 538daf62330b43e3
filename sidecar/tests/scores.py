"""Opens a snapshot with the public safetensors package and compares the recommended scores with its factors.

usage: scores.py SNAPSHOT USER ANSWER.json
"""

import json
import sys

import numpy
from safetensors import safe_open

snapshot, user, answer = sys.argv[1:]
with safe_open(snapshot, framework="numpy") as file:
    metadata = json.loads(file.metadata()["recmesh"])
    tensors = {name: file.get_tensor(name) for name in file.keys()}


def ids(kind):
    text, offsets = tensors[f"{kind}_ids.bytes"].tobytes(), tensors[f"{kind}_ids.offsets"]
    return [text[begin:end].decode() for begin, end in zip(offsets, offsets[1:])]


users, items = ids("user"), ids("item")
assert len(users) == metadata["users"] and len(items) == metadata["items"]
factors = tensors["item_factors"].astype(numpy.float64)
# Factors are rounded to f32 after their Gram matrix was diagonalized.
gram = factors.T @ factors
assert numpy.allclose(tensors["gram"], gram, rtol=1e-6, atol=1e-6 * gram.max()), "gram is not the Gram matrix of the item factors"
scores = dict(zip(items, factors @ tensors["user_factors"][users.index(user)].astype(numpy.float64)))
recommended = json.load(open(answer))["items"]
assert recommended, "the list is empty"
for item in recommended:
    assert item["source"] == "model" and abs(item["score"] - scores[item["id"]]) < 1e-5, (item, scores[item["id"]])
seen = set(items[i] for i in tensors["seen.items"][tensors["seen.offsets"][users.index(user)] : tensors["seen.offsets"][users.index(user) + 1]])
best = sorted((i for i in items if i not in seen), key=lambda i: -scores[i])[: len(recommended)]
assert [item["id"] for item in recommended] == best, (recommended, best)
print("ok")
