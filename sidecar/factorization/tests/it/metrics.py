"""An independent, naive implementation of the metrics of `ranking.rs`.

JSON of lists in, JSON of metrics out. Standard library only.
"""

import json
import math
import sys


def metrics(ranked, relevant, k):
    top, relevant = ranked[:k], set(relevant)
    hit = [item in relevant for item in top]
    ideal = sum(1 / math.log2(rank + 1) for rank in range(1, min(k, len(relevant)) + 1))
    return {
        "recall": sum(hit) / len(relevant),
        "precision": sum(hit) / k,
        "map": sum(sum(hit[:rank]) / rank for rank in range(1, len(top) + 1) if hit[rank - 1]) / min(k, len(relevant)),
        "mrr": next((1 / (rank + 1) for rank, is_hit in enumerate(hit) if is_hit), 0.0),
        "ndcg": sum(1 / math.log2(rank + 2) for rank, is_hit in enumerate(hit) if is_hit) / ideal,
    }


def gini(counts):
    """Half the relative mean absolute difference."""
    mean = sum(counts) / len(counts)
    return sum(abs(a - b) for a in counts for b in counts) / (2 * len(counts) ** 2 * mean)


case = json.load(sys.stdin)
users = [metrics(user["list"], user["relevant"], case["k"]) for user in case["users"]]
means = {name: math.fsum(user[name] for user in users) / len(users) for name in users[0]}
shown = [sum(item in user["list"][: case["k"]] for user in case["users"]) for item in range(case["items"])]
print(json.dumps({**means, "gini": gini(shown)}))
