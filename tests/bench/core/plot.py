"""Renders quality over time as SVG, black on white to be readable on light and dark pages."""

import math
from collections.abc import Callable, Sequence
from html import escape

WIDTH, HEIGHT = 640, 380
LEFT, RIGHT, TOP, BOTTOM = 70, 610, 62, 324
COLOURS = ["#c2410c", "#1d4ed8", "#15803d", "#555"]
# Maximum number of steps on an axis.
STEPS_MAX = 6


def quality_by_seconds(
    title: str, subtitle: str, quality: str, counts: list[int], lines: dict[str, list[list[float]]]
) -> str:
    """Returns a plot of two lines through [seconds, quality], with a logarithmic axis of seconds.

    Each line has one point per entry of `counts`, the numbers of iterations.
    """
    seconds = seconds_ticks([s for line in lines.values() for s, _ in line])
    x = lambda s: LEFT + (RIGHT - LEFT) * math.log(s / seconds[0]) / math.log(seconds[-1] / seconds[0])
    body, y = axes(title, subtitle, "seconds of the fit (logarithmic)", quality, seconds, x, lines)
    for index, (line, colour) in enumerate(zip(lines.values(), COLOURS)):
        # Number of iterations of each point: above the first line, and below the second (slower)
        # one.
        for count, (s, q) in zip(counts, line):
            a, b = x(s), y(q)
            (right, down), anchor = ((-5, -5), "end") if index == 0 else ((7, min(15, BOTTOM - 5 - b)), "start")
            body.append(text(a + right, b + down, str(count), anchor, f'fill="{colour}"'))
    return image(title, body)


def quality_by_days(title: str, subtitle: str, quality: str, lines: dict[str, list[list[float]]]) -> str:
    """Returns a plot of lines through [days, quality], with linear axes that include quality 0."""
    days = linear_ticks([0.0, *(d for line in lines.values() for d, _ in line)])
    x = lambda d: LEFT + (RIGHT - LEFT) * (d - days[0]) / (days[-1] - days[0])
    body, _ = axes(title, subtitle, "days since the training", quality, days, x, lines, [0.0])
    return image(title, body)


def axes(
    title: str, subtitle: str, below: str, quality: str, ticks: list[float], x: Callable[[float], float],
    lines: dict[str, list[list[float]]], include: Sequence[float] = (),
) -> tuple[list[str], Callable[[float], float]]:  # fmt: skip
    """Returns the elements of titles, axes, lines and legend, and the y coordinate of a quality."""
    heights = linear_ticks([*include, *(q for line in lines.values() for _, q in line)])
    y = lambda q: BOTTOM - (BOTTOM - TOP) * (q - heights[0]) / (heights[-1] - heights[0])
    digits = max(0, -math.floor(math.log10(heights[1] - heights[0]) + 1e-9))
    body = [text(LEFT, 22, title, "start", 'font-size="15" font-weight="bold"'), text(LEFT, 42, subtitle, "start")]
    for tick in ticks:
        body.append(f'<path d="M{x(tick):.1f} {TOP}V{BOTTOM}" stroke="#e5e5e5"/>')
        body.append(text(x(tick), BOTTOM + 18, f"{tick:g}", "middle"))
    for q in heights:
        body.append(f'<path d="M{LEFT} {y(q):.1f}H{RIGHT}" stroke="#e5e5e5"/>')
        body.append(text(LEFT - 8, y(q) + 4, f"{q:.{digits}f}", "end"))
    body.append(f'<path d="M{LEFT} {TOP}V{BOTTOM}H{RIGHT}" fill="none" stroke="#444"/>')
    body.append(text((LEFT + RIGHT) / 2, HEIGHT - 14, below, "middle"))
    body.append(text(0, 0, quality, "middle", f'transform="translate(20 {(TOP + BOTTOM) / 2}) rotate(-90)"'))
    for index, ((name, line), colour) in enumerate(zip(lines.items(), COLOURS)):
        at = [(x(s), y(q)) for s, q in line]
        path = " ".join(f"{a:.1f},{b:.1f}" for a, b in at)
        body.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        body += [f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3.5" fill="{colour}"/>' for a, b in at]
        legend = BOTTOM - 16 - 20 * (len(lines) - 1 - index)
        body.append(f'<path d="M{RIGHT - 190} {legend - 4}h24" stroke="{colour}" stroke-width="2"/>')
        body.append(text(RIGHT - 158, legend, name, "start"))
    return body, y


def image(title: str, body: list[str]) -> str:
    """Returns the SVG document."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img"'
        ' font-family="sans-serif" font-size="12" fill="#222">\n'
        f'<title>{escape(title)}</title>\n<rect width="100%" height="100%" fill="white"/>\n'
        + "\n".join(body)
        + "\n</svg>\n"
    )


def text(x: float, y: float, content: str, anchor: str, attributes: str = "") -> str:
    """Returns a text element; `anchor` is start, middle or end."""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{attributes and " " + attributes}>{escape(content)}</text>'


def seconds_ticks(values: list[float]) -> list[float]:
    """Returns 1, 2 and 5 times powers of ten that enclose all values."""
    decades = range(math.floor(math.log10(min(values))) - 1, math.ceil(math.log10(max(values))) + 2)
    every = [float(f"{digit}e{decade}") for decade in decades for digit in (1, 2, 5)]
    first = max(tick for tick in every if tick <= min(values))
    last = min(tick for tick in every if tick >= max(values) and tick > first)
    return [tick for tick in every if first <= tick <= last]


def linear_ticks(values: list[float]) -> list[float]:
    """Returns up to `STEPS_MAX` steps of 1, 2 or 5 times a power of ten that enclose all values."""
    span = max(values) - min(values) or abs(max(values)) or 1.0
    decade = math.floor(math.log10(span / STEPS_MAX))
    for step in (float(f"{digit}e{d}") for d in (decade, decade + 1) for digit in (1, 2, 5)):
        low, high = math.floor(min(values) / step), math.ceil(max(values) / step)
        if max(high, low + 1) - low <= STEPS_MAX:
            return [n * step for n in range(low, max(high, low + 1) + 1)]
    raise AssertionError("unreachable: a step of ten times the span encloses all values")
