"""Rows of results/answers.json and results/mesh.json, which the benchmarks write, and their tables."""

import fcntl
import json
import os
import platform
import re
import statistics
from dataclasses import dataclass
from datetime import date
from pathlib import Path

RESULTS = Path(__file__).resolve().parent.parent / "results"


@dataclass(frozen=True)
class Table:
    """A file of rows, and what is above its table."""

    file: Path
    head: tuple[str, ...]


ANSWERS = Table(
    RESULTS / "answers.json",
    (
        "# Comparison of answers with other packages",
        "",
        "Rendered from `answers.json`, which the commands in the last column update. A ratio is ours divided by the peer's, measured",
        "in turns; the table shows its median, and min to max. On a shared machine the ratio of CPU times is more stable; `load` is",
        "the mean number of runnable threads, ours included.",
        "",
        "Figures of `topk_*`: `median` and `p99` of single queries in ms; `cold`, median with nothing in the caches; `widest`, median",
        "with AVX-512; `cpu`, median CPU time in ms with that of passing commands; `rescored`, items scored in single precision; `coded`, items whose codes were read; `gb_per_s`, rate of reading",
        "codes and factors; `recall` against a search in single precision; `all_threads`, median with all threads and instructions.",
    ),
)
MESH = Table(
    RESULTS / "mesh.json",
    (
        "# What the sidecar of an app costs",
        "",
        "Rendered from `mesh.json`, which the commands in the last column update. `hop_*`: what the way app → sidecar → mutual TLS →",
        "serving pod adds to the latency of the direct call, in ms: `added` is the median of the rounds, with `min` and `max`; the",
        "peer is HAProxy in the place of the sidecar. All ways get the same constant rate in turns.",
    ),
)


def machine() -> str:
    """Returns CPU model, number of cores, and the widest instruction set."""
    model = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return f"{model[1] if model else platform.machine()}, {os.cpu_count()} cores, {widest()}"


def widest() -> str:
    """Returns the widest instruction set of the CPU that the kernels use."""
    text = Path("/proc/cpuinfo").read_text()
    return next((name for flag, name in (("avx512f", "AVX-512"), ("avx2", "AVX2")) if flag in text), "no AVX2")


def kernels() -> str:
    """Returns the instruction set that KERNELS limits our kernels to, by default the widest one."""
    return {"avx2": "AVX2"}.get(os.environ.get("KERNELS", ""), widest())


def ratio(ratios: list[float]) -> dict:
    """Returns median, min and max of the ratios of pairs."""
    return {"ratio": {"median": statistics.median(ratios), "min": min(ratios), "max": max(ratios)}, "pairs": len(ratios)}


def table(rows: list[dict], head: tuple[str, ...]) -> str:
    """Renders the Markdown table."""
    lines = [
        *head,
        "",
        "`kernels` is the instruction set that our kernels are limited to.",
        "",
        "| benchmark | setting | kernels | ours | peer | ratio | pairs | machine, date | command |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        of, pairs = row.get("ratio"), row.get("pairs", "–")
        ratios = f"**{of['median']:.3f}** ({of['min']:.3f} to {of['max']:.3f})" if isinstance(of, dict) else str(of or "–")
        if "cpu_ratio" in row:
            ratios += f"; of CPU time {row['cpu_ratio']:.3f}; load {row['load']:.1f}"
        plot = f"; [plot]({row['plot']})" if "plot" in row else ""
        lines.append(
            f"| {row['name']} | {row['setting']} | {row.get('kernels', '–')} | {shown(row.get('ours', '–'))}{plot} | {shown(row.get('peer', '–'))} "
            f"({row.get('peer_name', '–')}) | {ratios} | {pairs} | {row['machine']}, {row['date']} | `{row['command']}` |"
        )
    return "\n".join(lines) + "\n"


def shown(figures: str | float | dict[str, float]) -> str:
    """Formats a figure, or named figures."""
    if not isinstance(figures, dict):
        return str(figures)
    return ", ".join(f"{name} {figure:.4g}" if isinstance(figure, float) else f"{name} {figure}" for name, figure in figures.items())


def add(row: dict, to: Table = ANSWERS) -> None:
    """Adds a row, or replaces the one with the same name, setting and kernels, and renders the table. A row
    without a peer says so."""
    row = {"kernels": kernels(), "peer": "–", "peer_name": "no peer", **row}
    row |= {"machine": machine(), "date": date.today().isoformat()}
    to.file.parent.mkdir(exist_ok=True)
    with to.file.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        rows = json.loads(to.file.read_text()) if to.file.exists() else []
        key = lambda r: (r["name"], r["setting"], r.get("kernels", ""))
        rows = sorted([r for r in rows if key(r) != key(row)] + [row], key=key)
        temporary = to.file.with_suffix(".new")
        temporary.write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n")
        temporary.rename(to.file)
        to.file.with_suffix(".md").write_text(table(rows, to.head))
    to.file.with_suffix(".lock").unlink(missing_ok=True)
    print(json.dumps(row, ensure_ascii=False), flush=True)
