"""Parallel efficiency of two threads, compared with two concurrent single-threaded processes.

The efficiency is the throughput of a fit with two threads divided by the combined throughput of
both single-threaded ones, in rows per second. 1 is the maximum that the machine can reach, with the
effects of resources that its cores share.
"""

import argparse
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pairs
import results
from data import visits
from ours import Ours

ALPHA, REGULARIZATION = 2.0, 0.01


def seconds_per_iteration(ours: Ours, factors: int, threads: int) -> float:
    return pairs.seconds_per_iteration(lambda iterations: ours.als(factors, iterations, REGULARIZATION, threads=threads))


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
            together = seconds_per_iteration(copies[0], factors, threads=2)
            with ThreadPoolExecutor(2) as pool:
                alone = list(pool.map(lambda copy: seconds_per_iteration(copy, factors, threads=1), copies))
            both.append((together, 1 / sum(1 / seconds for seconds in alone)))
        # The first pair is a warm-up. The ratio is of throughputs, so it is the inverse of the
        # ratio of seconds.
        figures = pairs.summarize(both[1:], ratio=lambda together, apart: apart / together)
        results.add({
            "name": "threads2_efficiency",
            "setting": f"gowalla, {factors} factors; higher is better",
            **figures,
            "peer_name": "two single-threaded copies, combined throughput",
            "command": "tests/bench/core/run threads train.txt",
        })  # fmt: skip
        print(f"{factors} factors: efficiency {figures['ratio']['median']:.3f}", flush=True)


if __name__ == "__main__":
    main()
