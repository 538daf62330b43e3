"""Timing protocol: both packages run alternately, and each pair gives a ratio."""

import statistics
from collections.abc import Callable


def seconds_per_iteration(seconds: Callable[[int], float]) -> float:
    """Returns (T₁₅ − T₅)/10, which excludes one-time work."""
    return (seconds(15) - seconds(5)) / 10


def summarize(pairs: list[tuple[float, float]], ratio: Callable[[float, float], float] = lambda a, b: a / b) -> dict:
    """Returns the median seconds of both, and median, min and max of the ratios of the pairs."""
    ratios = [ratio(a, b) for a, b in pairs]
    median_seconds = lambda seconds: f"{statistics.median(seconds):.3f} s"
    return {
        "ours": median_seconds([a for a, _ in pairs]),
        "peer": median_seconds([b for _, b in pairs]),
        "ratio": {"median": statistics.median(ratios), "min": min(ratios), "max": max(ratios)},
        "pairs": len(pairs),
    }
