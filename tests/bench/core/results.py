"""Reads and writes results/core.json, and renders its table and plot."""

import json
import os
import platform
from datetime import date
from pathlib import Path

from plot import quality_by_days, quality_by_seconds

DIRECTORY = Path(__file__).resolve().parent.parent / "results"
PLOT = "time_to_ndcg.svg"
AGEING_PLOT = "ageing.svg"


def machine() -> str:
    """Returns CPU model and number of cores."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    avx512 = " with AVX-512" if any("avx512f" in line for line in lines) else ""
    return f"{models[0] if models else platform.machine()}{avx512}, {os.cpu_count()} cores"


def add(entry: dict) -> None:
    """Adds an entry, or replaces the one with the same name and setting, and renders the files."""
    entries = [e for e in read() if (e["name"], e["setting"]) != (entry["name"], entry["setting"])]
    write([*entries, {**entry, "machine": machine(), "date": date.today().isoformat()}])


def replace(entry: dict, *keys: str) -> None:
    """Adds an entry in place of all others of its name with equal values of the keys."""
    is_other = lambda e: any(e.get(key) != entry.get(key) for key in ("name", *keys))
    write([e for e in read() if is_other(e)])
    add(entry)


def copy_best(name: str, of: list[str], figure: str) -> None:
    """Replaces entry `name` by a copy of the entry in `of` with the highest `figure` of ours."""
    entries = [e for e in read() if e["name"] != name]
    best = max((e for e in entries if e["name"] in of), key=lambda e: e["ours"][figure])
    write([*entries, {**best, "name": name}])


def read() -> list[dict]:
    """Returns all entries."""
    file = DIRECTORY / "core.json"
    return json.loads(file.read_text()) if file.exists() else []


def write(entries: list[dict]) -> None:
    """Writes all files."""
    file = DIRECTORY / "core.json"
    entries.sort(key=lambda e: (e["name"], e["setting"]))
    DIRECTORY.mkdir(exist_ok=True)
    file.write_text(json.dumps(entries, indent=1, ensure_ascii=False) + "\n")
    (DIRECTORY / "core.md").write_text(table(entries))
    if plotted := with_curves(entries):
        (DIRECTORY / PLOT).write_text(plot(plotted))
    for entry in entries:
        if "ageing" in entry:
            setting, *_ = entry["setting"].split(";")
            title = "Ranking quality by the age of a model"
            (DIRECTORY / AGEING_PLOT).write_text(quality_by_days(title, setting, "NDCG@10", entry["ageing"]))


def with_curves(entries: list[dict]) -> dict | None:
    """Returns the latest entry with curves."""
    return max((e for e in entries if "curves" in e), key=lambda e: e["date"], default=None)


def plot(entry: dict) -> str:
    """Renders NDCG over seconds of ours and of the peer."""
    curves = entry["curves"]
    setting, *_ = entry["setting"].split(";")
    return quality_by_seconds(
        "Ranking quality over training time",
        f"{setting}; numbers at points are iterations",
        "NDCG@20 on the validation set",
        curves["iterations"],
        {"ours": curves["ours"], entry["peer_name"]: curves["peer"]},
    )


def table(entries: list[dict]) -> str:
    """Renders the Markdown table."""
    plotted = with_curves(entries)
    lines = [
        "# Comparison with other packages",
        "",
        "Rendered from `core.json`, which the commands in the last column update. A ratio is ours divided by the peer's, measured",
        "in alternating pairs; the table shows its median, and min to max. For times, a ratio below 1 means that ours is faster.",
        "For other figures, the setting states what is compared.",
        "",
        *(
            [f"![NDCG@20 over training time, of ours and of {plotted['peer_name']}]({PLOT})", ""]
            if plotted
            else []
        ),
        "| benchmark | setting | ours | peer | ratio | pairs | machine, date | command |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for e in entries:
        lines.append(
            f"| {e['name']} | {e['setting']} | {shown(e['ours'])} | {shown(e['peer'])} ({e['peer_name']}) | {ratio(e)} "
            f"| {e['machine']}, {e['date']} | `{e['command']}` |"
        )
    return "\n".join(lines) + "\n"


def shown(value: str | dict[str, float]) -> str:
    """Formats a figure, or named figures."""
    return value if isinstance(value, str) else ", ".join(f"{name} {figure:.4f}" for name, figure in value.items())


def ratio(entry: dict) -> str:
    """Formats the ratio and the number of pairs, as two columns."""
    if "ratio" not in entry:
        return "– | –"
    r = entry["ratio"]
    return f"**{r['median']:.2f}** ({r['min']:.2f} to {r['max']:.2f}) | {entry['pairs']}"
