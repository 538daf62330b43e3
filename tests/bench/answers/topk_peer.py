"""Searches by another package on command, like the example `top_k`: {"op": "load", "items": …, "queries": …, "factors": …}
and {"op": "search", "query": 3, "n": 10}.

usage: topk_peer.py flat|panorama|sq8|usearch THREADS
"""

import json
import sys
import time

import numpy as np

# Levels of Panorama, each of the same number of factors.
PANORAMA_LEVELS = 8
# Items that SQ8 hands to the search in single precision, per item of the list.
REFINED_PER_ITEM = 4


def flat(items: np.ndarray):
    """faiss IndexFlatIP."""
    index = faiss.IndexFlatIP(items.shape[1])
    index.add(items)
    return lambda query, n: index.search(query, n)[1][0]


def panorama(items: np.ndarray):
    """faiss IndexFlatIPPanorama after a rotation into the eigenbasis of the items, largest eigenvalue first.

    A PCAMatrix would also subtract the mean, which changes inner products.
    """
    factors = items.shape[1]
    _, vectors = np.linalg.eigh(items.T.astype(float) @ items)
    rotation = faiss.LinearTransform(factors, factors, False)
    faiss.copy_array_to_vector(vectors[:, ::-1].T.astype("f4").ravel(), rotation.A)
    rotation.is_trained = True
    index = faiss.IndexPreTransform(rotation, faiss.IndexFlatIPPanorama(factors, PANORAMA_LEVELS))
    index.add(items)
    return lambda query, n: index.search(query, n)[1][0]


def sq8(items: np.ndarray):
    """faiss scalar quantizer of 8 bits, with refinement in single precision."""
    factors = items.shape[1]
    coded = faiss.IndexScalarQuantizer(factors, faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT)
    index = faiss.IndexRefineFlat(coded)
    index.train(items)
    index.add(items)
    index.k_factor = REFINED_PER_ITEM
    return lambda query, n: index.search(query, n)[1][0]


def usearch(items: np.ndarray):
    """usearch, exact search of 8-bit integers with one scale for all items, without refinement."""
    from usearch.index import MetricKind, search

    scale = 127 / np.abs(items).max()
    coded = np.rint(items * scale).astype(np.int8)

    def run(query: np.ndarray, n: int) -> np.ndarray:
        # Inner products order items alike under any scale of the query.
        query = np.rint(query[0] * (127 / np.abs(query).max())).astype(np.int8)
        return search(coded, query, n, MetricKind.IP, exact=True, threads=threads).keys

    return run


kind, threads = sys.argv[1], int(sys.argv[2])
if kind != "usearch":
    import faiss

    faiss.omp_set_num_threads(threads)
queries, search_one = None, None
for line in sys.stdin:
    command = json.loads(line)
    try:
        if command["op"] == "load":
            read = lambda name: np.fromfile(command[name], "<f4").reshape(-1, command["factors"])
            queries = read("queries")
            search_one = {"flat": flat, "panorama": panorama, "sq8": sq8, "usearch": usearch}[kind](read("items"))
            response = {}
        else:
            query = queries[command["query"] : command["query"] + 1]
            started = time.perf_counter()
            found = search_one(query, command["n"])
            seconds = time.perf_counter() - started
            response = {"seconds": seconds, "list": [int(item) for item in found]}
    except Exception as error:  # The caller raises it.
        response = {"error": repr(error)}
    print(json.dumps(response), flush=True)
