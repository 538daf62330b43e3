"""What a second thread brings: fits on two threads, beside two processes with a thread each at the same time.

The share is the rows a second of the one, over the rows a second of both others together: 1 is all
that the machine has, whatever its cores share.
"""

import argparse
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pairs
import results
from data import visits
from ours import Ours

ALPHA, REGULARIZATION = 2.0, 0.01


def iteration(ours: Ours, factors: int, threads: int) -> float:
    return pairs.iteration(lambda sweeps: ours.als(factors, sweeps, REGULARIZATION, threads=threads))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("train", type=Path, help="train.txt of the Gowalla split; see `run`")
    parser.add_argument("--factors", type=int, nargs="+", default=[64, 128, 256])
    parser.add_argument("--pairs", type=int, default=5)
    options = parser.parse_args()
    copies = [Ours(visits(options.train) * ALPHA) for _ in range(2)]
    for factors in options.factors:
        both = []
        for _ in range(options.pairs + 1):
            together = iteration(copies[0], factors, threads=2)
            with ThreadPoolExecutor(2) as pool:
                alone = list(pool.map(lambda copy: iteration(copy, factors, threads=1), copies))
            both.append((together, 1 / sum(1 / seconds for seconds in alone)))
        # The first warms up. By rates, so the other way round than seconds.
        figures = pairs.figures(both[1:], ratio=lambda together, apart: apart / together)
        results.add({
            "name": "threads2_share",
            "setting": f"gowalla, {factors} factors; more is better",
            **figures,
            "peer_name": "two copies with a thread each, by their rates together",
            "command": "tests/bench/core/run threads train.txt",
        })  # fmt: skip
        print(f"{factors} factors: share {figures['ratio']['median']:.3f}", flush=True)


if __name__ == "__main__":
    main()
