"""An independent implementation of the BM25 of `weighting.rs`, on a dense matrix.

Items are documents, users are terms. JSON in, JSON out.
"""

import json
import math
import sys

K, B = 100, 0.8
case = json.load(sys.stdin)
counts = [[0.0] * case["users"] for _ in range(case["items"])]
for user, item, value in case["entries"]:
    counts[item][user] = value

lengths = [math.fsum(row) for row in counts]
mean = math.fsum(lengths) / len(lengths)
weights = []
for user, item, value in case["entries"]:
    frequency = sum(row[user] > 0 for row in counts)
    idf = math.log(len(counts)) - math.log(1 + frequency)
    tf = value * (K + 1) / (value + K * (1 - B + B * lengths[item] / mean))
    weights.append(tf * idf)
print(json.dumps(weights))
