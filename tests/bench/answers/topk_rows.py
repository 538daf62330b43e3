"""Times the rows that the arguments name; see `topk`."""

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import results
import topk_data as data
from topk_process import Search

N = 10
LISTED = 20
COLD_QUERIES = 30
ALL_PAIRS = 5
PEERS = {
    "flat": "faiss 1.15.1 IndexFlatIP",
    "panorama": "faiss 1.15.1 IndexFlatIPPanorama, eigenbasis of the items",
    "sq8": "faiss 1.15.1 SQ8 + refine",
    "usearch": "usearch 2.26.6, exact, i8",
}
AVX2 = {**os.environ, "FAISS_OPT_LEVEL": "AVX2"}


def main(train: Path, names: list[str]) -> None:
    """Times the rows with these names."""
    with tempfile.TemporaryDirectory() as directory:
        bench = Bench(train, Path(directory))
        rows = {
            "topk_gaussian": lambda: bench.searches("iid Gaussian, 1000000 × 64", data.gaussian(64), 64, {"flat": "topk_gaussian"}),
            "topk_gowalla": lambda: bench.searches(
                "resampled gowalla factors, 1000000 × 64",
                data.resampled(*bench.factors(64)),
                64,
                {"flat": "topk_gowalla"},
            ),
            "topk_panorama": lambda: bench.both({"panorama": "topk_panorama"}),
            "topk_quantized_peer": lambda: bench.both({"sq8": "topk_quantized_peer", "usearch": "topk_quantized_peer"}),
            "topk_gaussian_f256": lambda: bench.searches(
                "iid Gaussian, 1000000 × 256", data.gaussian(256), 256, {"flat": "topk_gaussian_f256"}
            ),
            "recommend_all_f64": lambda: bench.recommend_all(64),
            "recommend_all_f128": lambda: bench.recommend_all(128),
        }
        for name in names or rows:
            rows[name]()


class Bench:
    """Files and fits that rows share."""

    def __init__(self, train: Path, directory: Path):
        self.directory = directory
        self.users, self.items = data.visits(train)
        self.fitted = {}

    def factors(self, factors: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns user and item factors of our own fit with default parameters."""
        if factors not in self.fitted:
            out = self.directory / f"fit{factors}"
            out.mkdir()
            data.write_visits(self.directory / "train.bin", self.users, self.items)
            peer = Search([os.environ["RECMESH_PEER"]], dict(os.environ))
            peer.send(op="load", path=str(self.directory / "train.bin"))
            peer.send(
                op="als", factors=factors, iterations=15, regularization=None, unobservedWeight=0.1,
                regularizationExponent=1.0, steps=2, threads=2, seed=1, out=str(out),
            )  # fmt: skip
            peer.close()
            self.fitted[factors] = [np.fromfile(out / f"{side}.f32", "<f4").reshape(-1, factors) for side in ("users", "items")]
        return self.fitted[factors]

    def both(self, rows: dict[str, str]) -> None:
        """Compares on Gaussian and on resampled items."""
        self.searches("iid Gaussian, 1000000 × 64", data.gaussian(64), 64, rows)
        self.searches("resampled gowalla factors, 1000000 × 64", data.resampled(*self.factors(64)), 64, rows)

    def searches(self, what: str, vectors: tuple[np.ndarray, np.ndarray], factors: int, rows: dict[str, str]) -> None:
        """Times single queries of ours, of the peers in `rows` and of IndexFlatIP, in turns."""
        load = self.load(vectors, factors)
        ours = Search([os.environ["RECMESH_TOP_K"]], AVX2)
        widest = Search([os.environ["RECMESH_TOP_K_WIDEST"]], dict(os.environ))
        peer = lambda kind, threads, environment: Search(
            [sys.executable, str(Path(__file__).with_name("topk_peer.py")), kind, str(threads)], environment
        )
        # The lists of IndexFlatIP are the reference of recall.
        peers = {kind: peer(kind, 1, AVX2) for kind in {"flat": None, **rows}}
        best = peer("flat", os.cpu_count(), dict(os.environ)) if "flat" in rows else None
        everyone = [ours, widest, *peers.values(), *([best] if best else [])]
        for process in everyone:
            process.send(**load)
        timed = {process: [] for process in everyone}
        for query in range(data.QUERIES):
            for process in everyone:
                timed[process].append(process.timed(op="search", query=query, n=N))
        reference = timed[peers["flat"]]
        cold = [ours.send(op="search", query=query, n=N, cold=True)["seconds"] for query in range(COLD_QUERIES)]
        for process in everyone:
            process.close()
        for kind, name in rows.items():
            figures = {"ours": timed[ours], "peer": timed[peers[kind]]}
            row = {
                "name": name,
                "setting": f"{what}, top {N}, one thread, AVX2, {data.QUERIES} queries; ms",
                "kernels": "AVX2",
                "ours": {
                    **latency(figures["ours"]),
                    **reads(figures["ours"], factors),
                    "recall": recall(figures["ours"], reference, vectors),
                    "cold": 1e3 * statistics.median(cold),
                    "widest": latency(timed[widest])["median"],
                },
                "peer": {**latency(figures["peer"]), "recall": recall(figures["peer"], reference, vectors)},
                "peer_name": PEERS[kind],
                **results.ratio([a["seconds"] / b["seconds"] for a, b in zip(figures["ours"], figures["peer"])]),
                "cpu_ratio": statistics.median(a["cpu"] / b["cpu"] for a, b in zip(figures["ours"], figures["peer"])),
                "load": os.getloadavg()[1],
                "command": "tests/bench/answers/topk train.txt " + name,
            }
            if best and kind == "flat":
                row["peer"]["all_threads"] = latency(timed[best])["median"]
            if kind in ("sq8", "usearch"):
                row["setting"] += f", {kind}"
            results.add(row)

    def load(self, vectors: tuple[np.ndarray, np.ndarray], factors: int) -> dict:
        """Writes vectors, and returns the command that loads them."""
        paths = {name: str(self.directory / f"{name}.f32") for name in ("items", "queries")}
        for path, rows in zip(paths.values(), vectors):
            rows.astype("<f4").tofile(path)
        return {"op": "load", "factors": factors, **paths}

    def recommend_all(self, factors: int) -> None:
        """Times lists of all users without the items that they have, of ours and of implicit."""
        import scipy.sparse as sp
        from implicit.cpu.als import AlternatingLeastSquares

        users, items = self.factors(factors)
        seen = sp.csr_matrix((np.ones(len(self.users), "f4"), (self.users, self.items)), (len(users), len(items)))
        data.write_seen(self.directory / "seen.bin", self.users, self.items)
        implicit = AlternatingLeastSquares(factors=factors, num_threads=os.cpu_count())
        implicit.user_factors, implicit.item_factors = users, items
        ours = Search([os.environ["RECMESH_TOP_K"]], AVX2)
        ours.send(**self.load((items, users), factors))
        out = self.directory / "lists.u32"
        pairs = []
        for _ in range(ALL_PAIRS):
            mine = ours.send(op="all", n=LISTED, excluded=str(self.directory / "seen.bin"), out=str(out))["seconds"]
            started = time.perf_counter()
            lists, _ = implicit.recommend(np.arange(len(users)), seen, N=LISTED, filter_already_liked_items=True)
            pairs.append((mine, time.perf_counter() - started))
        ours.close()
        mine = np.fromfile(out, "<u4").reshape(len(users), LISTED)
        common = sum(len(np.intersect1d(a, b)) for a, b in zip(mine, lists)) / mine.size
        results.add({
            "name": f"recommend_all_f{factors}",
            "setting": f"gowalla, {len(users)} users × {len(items)} items, {LISTED} items a list without seen ones, "
            f"from loaded factors and codes, {os.cpu_count()} threads, ours AVX2; items in both lists {common:.6f}",
            "kernels": "AVX2",
            "ours": f"{statistics.median(a for a, _ in pairs):.3f} s",
            "peer": f"{statistics.median(b for _, b in pairs):.3f} s",
            "peer_name": "implicit 0.7.3 recommend",
            **results.ratio([a / b for a, b in pairs]),
            "command": f"tests/bench/answers/topk train.txt recommend_all_f{factors}",
        })  # fmt: skip


def latency(responses: list[dict]) -> dict:
    """Returns milliseconds."""
    milliseconds = [1e3 * response["seconds"] for response in responses]
    p99 = float(np.quantile(milliseconds, 0.99))
    return {"median": statistics.median(milliseconds), "p99": p99, "cpu": 1e3 * statistics.median(r["cpu"] for r in responses)}


def reads(responses: list[dict], factors: int) -> dict:
    """Returns items scored in single precision and the rate of reading codes and factors."""
    rate = [(r["coded"] * (factors / 2 + 4) + r["scored"] * factors * 4) / r["seconds"] / 1e9 for r in responses]
    return {
        "rescored": statistics.median(r["scored"] for r in responses),
        "coded": statistics.median(r["coded"] for r in responses),
        "gb_per_s": statistics.median(rate),
    }


def recall(responses: list[dict], reference: list[dict], vectors: tuple[np.ndarray, np.ndarray]) -> float:
    """Returns the fraction of listed items that belong to the list, by the score of its last item.

    An item that ties with the last one to single precision belongs to it.
    """
    items, queries = vectors
    found = 0
    for response, exact, query in zip(responses, reference, queries):
        score = lambda rows: items[rows].astype(float) @ query.astype(float)
        last = score(exact["list"]).min()
        found += int((score(response["list"]) >= last - 1e-6 * abs(last)).sum())
    return found / (len(responses) * N)


main(Path(sys.argv[1]), sys.argv[2:])
