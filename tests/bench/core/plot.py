"""Renders quality over seconds as SVG, black on white to be readable on light and dark pages."""

import math
from html import escape

WIDTH, HEIGHT = 640, 380
LEFT, RIGHT, TOP, BOTTOM = 70, 610, 62, 324
COLOURS = ["#c2410c", "#1d4ed8"]
# Maximum number of steps on an axis.
STEPS_MAX = 6


def quality_by_seconds(
    title: str, subtitle: str, quality: str, counts: list[int], lines: dict[str, list[list[float]]]
) -> str:
    """Returns a plot of two lines through [seconds, quality], with a logarithmic axis of seconds.

    Each line has one point per entry of `counts`, the numbers of iterations.
    """
    points = [point for line in lines.values() for point in line]
    seconds, heights = seconds_ticks([s for s, _ in points]), linear_ticks([q for _, q in points])
    x = lambda s: LEFT + (RIGHT - LEFT) * math.log(s / seconds[0]) / math.log(seconds[-1] / seconds[0])
    y = lambda q: BOTTOM - (BOTTOM - TOP) * (q - heights[0]) / (heights[-1] - heights[0])
    digits = max(0, -math.floor(math.log10(heights[1] - heights[0]) + 1e-9))
    body = [text(LEFT, 22, title, "start", 'font-size="15" font-weight="bold"'), text(LEFT, 42, subtitle, "start")]
    for s in seconds:
        body.append(f'<path d="M{x(s):.1f} {TOP}V{BOTTOM}" stroke="#e5e5e5"/>')
        body.append(text(x(s), BOTTOM + 18, f"{s:g}", "middle"))
    for q in heights:
        body.append(f'<path d="M{LEFT} {y(q):.1f}H{RIGHT}" stroke="#e5e5e5"/>')
        body.append(text(LEFT - 8, y(q) + 4, f"{q:.{digits}f}", "end"))
    body.append(f'<path d="M{LEFT} {TOP}V{BOTTOM}H{RIGHT}" fill="none" stroke="#444"/>')
    body.append(text((LEFT + RIGHT) / 2, HEIGHT - 14, "seconds of the fit (logarithmic)", "middle"))
    body.append(text(0, 0, quality, "middle", f'transform="translate(20 {(TOP + BOTTOM) / 2}) rotate(-90)"'))
    for index, ((name, line), colour) in enumerate(zip(lines.items(), COLOURS)):
        at = [(x(s), y(q)) for s, q in line]
        path = " ".join(f"{a:.1f},{b:.1f}" for a, b in at)
        body.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        body += [f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3.5" fill="{colour}"/>' for a, b in at]
        # Number of iterations of each point: above the first line, and below the second (slower)
        # one.
        for count, (a, b) in zip(counts, at):
            (right, down), anchor = ((-5, -5), "end") if index == 0 else ((7, min(15, BOTTOM - 5 - b)), "start")
            body.append(text(a + right, b + down, str(count), anchor, f'fill="{colour}"'))
        below = BOTTOM - 36 + 20 * index
        body.append(f'<path d="M{RIGHT - 190} {below - 4}h24" stroke="{colour}" stroke-width="2"/>')
        body.append(text(RIGHT - 158, below, name, "start"))
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
