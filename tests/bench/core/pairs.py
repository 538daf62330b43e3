"""The protocol of what is timed: both in turns, and a ratio for each pair."""

import statistics
from collections.abc import Callable


def iteration(seconds: Callable[[int], float]) -> float:
    """Seconds an iteration, (T₁₅ − T₅)/10: what happens once is not in it."""
    return (seconds(15) - seconds(5)) / 10


def figures(pairs: list[tuple[float, float]], ratio: Callable[[float, float], float] = lambda a, b: a / b) -> dict:
    """Of seconds of ours and of the peer: the medians, and median, least and greatest of the pairs' ratios."""
    ratios = [ratio(a, b) for a, b in pairs]
    say = lambda seconds: f"{statistics.median(seconds):.3f} s"
    return {
        "ours": say([a for a, _ in pairs]),
        "peer": say([b for _, b in pairs]),
        "ratio": {"median": statistics.median(ratios), "min": min(ratios), "max": max(ratios)},
        "pairs": len(pairs),
    }
