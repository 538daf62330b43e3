"""results/core.json, and the table and the plot that come from it."""

import json
import os
import platform
from datetime import date
from pathlib import Path

from plot import quality_by_seconds

DIRECTORY = Path(__file__).resolve().parent.parent / "results"
PLOT = "time_to_ndcg.svg"


def machine() -> str:
    """Processor and cores."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    wide = " with AVX-512" if any("avx512f" in line for line in lines) else ""
    return f"{models[0] if models else platform.machine()}{wide}, {os.cpu_count()} cores"


def add(entry: dict) -> None:
    """Puts an entry in the place of the one with its name and setting, and renders the table."""
    entries = [e for e in read() if (e["name"], e["setting"]) != (entry["name"], entry["setting"])]
    write([*entries, {**entry, "machine": machine(), "date": date.today().isoformat()}])


def repeat_best(name: str, of: list[str], figure: str) -> None:
    """Lets the one entry `name` repeat that of the others which is best by a figure of ours."""
    entries = [e for e in read() if e["name"] != name]
    best = max((e for e in entries if e["name"] in of), key=lambda e: e["ours"][figure])
    write([*entries, {**best, "name": name}])


def read() -> list[dict]:
    """All entries."""
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


def with_curves(entries: list[dict]) -> dict | None:
    """The newest entry that has curves."""
    return max((e for e in entries if "curves" in e), key=lambda e: e["date"], default=None)


def plot(entry: dict) -> str:
    """NDCG by seconds of ours and of the peer."""
    curves = entry["curves"]
    setting, *_ = entry["setting"].split(";")
    return quality_by_seconds(
        "Quality of lists by the time of a fit",
        f"{setting}; numbers at points are sweeps",
        "NDCG@20 on a tenth of train",
        curves["sweeps"],
        {"ours": curves["ours"], entry["peer_name"]: curves["peer"]},
    )


def table(entries: list[dict]) -> str:
    """Markdown."""
    plotted = with_curves(entries)
    lines = [
        "# The factorization beside other packages",
        "",
        "Made by the commands that it names, from `core.json`. A ratio is ours to the peer's, pair by pair in turns: its median,",
        "and least to greatest. Of times, below 1 is less; of others the setting says what is compared.",
        "",
        *(
            [f"![NDCG@20 by the seconds of a fit, of ours and of {plotted['peer_name']}]({PLOT})", ""]
            if plotted
            else []
        ),
        "| what | setting | ours | peer | ratio | pairs | machine, date | command |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for e in entries:
        lines.append(
            f"| {e['name']} | {e['setting']} | {shown(e['ours'])} | {shown(e['peer'])} ({e['peer_name']}) | {ratio(e)} "
            f"| {e['machine']}, {e['date']} | `{e['command']}` |"
        )
    return "\n".join(lines) + "\n"


def shown(value: str | dict[str, float]) -> str:
    """A figure, or figures with their names."""
    return value if isinstance(value, str) else ", ".join(f"{name} {figure:.4f}" for name, figure in value.items())


def ratio(entry: dict) -> str:
    """Of what is timed in pairs, with their number; two columns."""
    if "ratio" not in entry:
        return "– | –"
    r = entry["ratio"]
    return f"**{r['median']:.2f}** ({r['min']:.2f} to {r['max']:.2f}) | {entry['pairs']}"
