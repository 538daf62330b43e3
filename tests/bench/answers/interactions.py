"""Interactions as the sidecar reads them."""

from pathlib import Path


def csv_of(lines: Path, out: Path) -> None:
    """Converts lines `user item item …` to CSV."""
    with out.open("w") as file:
        file.write("user_id,item_id\n")
        for line in lines.read_text().splitlines():
            user, *items = line.split()
            file.writelines(f"{user},{item}\n" for item in items)
