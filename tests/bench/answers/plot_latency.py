"""Renders latency over load as SVG, black on white to be readable on light and dark pages."""

import math

# The plots of the core's benchmarks, in the same form.
from plot import BOTTOM, COLOURS, HEIGHT, LEFT, RIGHT, TOP, image, linear_ticks, seconds_ticks, text


def latency_by_load(title: str, subtitle: str, lines: dict[str, list[list[float]]]) -> str:
    """Returns a plot of lines through [requests per second, ms], with a logarithmic axis of latency."""
    points = [point for line in lines.values() for point in line]
    rates, times = linear_ticks([0.0, *(rate for rate, _ in points)]), seconds_ticks([ms for _, ms in points])
    x = lambda rate: LEFT + (RIGHT - LEFT) * (rate - rates[0]) / (rates[-1] - rates[0])
    y = lambda ms: BOTTOM - (BOTTOM - TOP) * math.log(ms / times[0]) / math.log(times[-1] / times[0])
    body = [text(LEFT, 22, title, "start", 'font-size="15" font-weight="bold"'), text(LEFT, 42, subtitle, "start")]
    for rate in rates:
        body.append(f'<path d="M{x(rate):.1f} {TOP}V{BOTTOM}" stroke="#e5e5e5"/>')
        body.append(text(x(rate), BOTTOM + 18, f"{rate:,g}", "middle"))
    for ms in times:
        body.append(f'<path d="M{LEFT} {y(ms):.1f}H{RIGHT}" stroke="#e5e5e5"/>')
        body.append(text(LEFT - 8, y(ms) + 4, f"{ms:g}", "end"))
    body.append(f'<path d="M{LEFT} {TOP}V{BOTTOM}H{RIGHT}" fill="none" stroke="#444"/>')
    body.append(text((LEFT + RIGHT) / 2, HEIGHT - 14, "requests per second", "middle"))
    body.append(text(0, 0, "ms (logarithmic)", "middle", f'transform="translate(20 {(TOP + BOTTOM) / 2}) rotate(-90)"'))
    for index, (name, line) in enumerate(lines.items()):
        # A colour for each server: the first two lines, then the next two.
        style = f'stroke="{COLOURS[index // 2 % 2]}" stroke-width="2"' + (' stroke-dasharray="5 4"' if index % 2 else "")
        at = [(x(rate), y(ms)) for rate, ms in line]
        path = " ".join(f"{a:.1f},{b:.1f}" for a, b in at)
        body.append(f'<polyline points="{path}" fill="none" {style}/>')
        body += [f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3" fill="{COLOURS[index // 2 % 2]}"/>' for a, b in at]
        below = TOP + 16 + 18 * index
        body.append(f'<path d="M{LEFT + 14} {below - 4}h28" {style}/>')
        body.append(text(LEFT + 50, below, name, "start"))
    return image(title, body)
