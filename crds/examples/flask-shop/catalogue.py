"""The films of the shop, from a file of the image."""

import csv
import dataclasses
import pathlib


@dataclasses.dataclass(frozen=True)
class Film:
    """A film that the shop sells."""

    id: str
    title: str
    year: str
    genre: str
    price: str
    in_stock: bool


def read(path: pathlib.Path) -> dict[str, Film]:
    """The films by their ids, in the order of the file."""
    with path.open(encoding="utf-8", newline="") as rows:
        films = [
            Film(row["film"], row["title"], row["year"], row["genre"], row["price"], row["in_stock"] == "true")
            for row in csv.DictReader(rows)
        ]
    return {film.id: film for film in films}


def by_genre(films: dict[str, Film]) -> dict[str, list[Film]]:
    """The films of each genre."""
    genres: dict[str, list[Film]] = {}
    for film in films.values():
        genres.setdefault(film.genre, []).append(film)
    return genres
