"""Merges rows into results/answers.json, which other benchmarks of answers also write."""

import fcntl
import json
import os
import platform
import re
from datetime import date
from pathlib import Path

FILE = Path(__file__).resolve().parent.parent / "results" / "answers.json"


def machine() -> str:
    """Returns CPU model, number of cores, and the instruction set of the kernels."""
    text = Path("/proc/cpuinfo").read_text()
    model = re.search(r"^model name\s*: (.*)$", text, re.MULTILINE)
    instructions = next((name for flag, name in (("avx512f", "AVX-512"), ("avx2", "AVX2")) if flag in text), "no AVX2")
    return f"{model[1] if model else platform.machine()}, {os.cpu_count()} cores, {instructions}"


def add(row: dict) -> None:
    """Adds a row, or replaces the one with the same name and setting."""
    row = {**row, "machine": machine(), "date": date.today().isoformat()}
    FILE.parent.mkdir(exist_ok=True)
    with FILE.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        rows = json.loads(FILE.read_text()) if FILE.exists() else []
        rows = [r for r in rows if (r["name"], r["setting"]) != (row["name"], row["setting"])] + [row]
        rows.sort(key=lambda r: (r["name"], r["setting"]))
        temporary = FILE.with_suffix(".new")
        temporary.write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n")
        temporary.rename(FILE)
    FILE.with_suffix(".lock").unlink(missing_ok=True)
    print(json.dumps(row, ensure_ascii=False), flush=True)
