"""Generated tables, and what Python reads from them.

usage: readers.py CASES DIRECTORY
Each case is a directory with the files of one source, and case.json: how it has to be configured, and the rows that the
documentation of Recmesh promises. These are checked here against Python's csv, pandas and pyarrow. They read text as it
is written; the rules below, which docs/data.md states, are the only differences.
"""

import csv
import gzip
import io
import json
import pathlib
import random
import sys
from collections import Counter

import pandas
import pyarrow
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet

COLUMNS = ["user_id", "item_id", "rating", "note"]


# The rules of docs/data.md that are applied to what Python reads.


def normal(value):
    """White space around a value is removed; an empty value and \\N are null. NA, null and NaN are ids."""
    value = (value or "").strip()
    return None if value in ("", "\\N") else value


def outcome(record):
    """A user, an item and a weight, or the reason for which the row is dropped."""
    if len(record) != len(COLUMNS):
        return "wrongFieldCount"
    user, item, rating, _ = record
    for value, reason in ((user, "emptyUser"), (item, "emptyItem")):
        if "\ufffd" in (value or ""):
            return "notUtf8"
        if normal(value) is None:
            return reason
    if normal(rating) is None:
        return "notANumber"
    return normal(user), normal(item), float(normal(rating).replace(",", "."))


def lines_of(record):
    """A record of several lines that is dropped counts once for each line: its quote may be open."""
    return 1 + sum(value.count("\n") for value in record)


def expected(records):
    """Pairs with their weights, and counts by reason."""
    pairs, dropped, kept = Counter(), Counter(), 0
    for record in records:
        result = outcome(record)
        if isinstance(result, str):
            dropped[result] += lines_of(record) if result == "wrongFieldCount" else 1
        else:
            kept += 1
            pairs[result[:2]] += result[2]
    return pairs, dropped, kept


# What is written.


def text(rng, delimiter, escaping):
    parts = ["a", "Ab", "é", "日本", "7", "-", " ", "NA", "null", "nan", "#", "'", "."]
    parts += ['"', '""', delimiter, ","] if escaping else []
    return "".join(rng.choice(parts) for _ in range(rng.randint(1, 3)))


def ids(rng, delimiter, escaping, backslash, line_breaks):
    found = [text(rng, delimiter, escaping) for _ in range(8)] + ["", " ", "\\N", " padded ", "7.0"]
    if backslash:
        found += ["C:\\dir", "x\\", "\\"]
    if line_breaks:
        found += ["two\nlines"]
    return found


def rows(rng, delimiter, escaping=True, backslash=True, line_breaks=True):
    users = ids(rng, delimiter, escaping, backslash, line_breaks) + [f"u{n}" for n in range(20)]
    items = ids(rng, delimiter, escaping, backslash, line_breaks) + [f"i{n}" for n in range(8)]
    notes = ids(rng, delimiter, escaping, backslash, line_breaks)
    made = [[rng.choice(users), rng.choice(items), str(rng.randint(1, 5)), rng.choice(notes)] for _ in range(150)]
    # More than half of the rows have to be good.
    return made + [[f"u{n}", f"i{n % 7}", "1", ""] for n in range(40)]


def written_by_csv(rng, records, delimiter, backslash):
    buffer = io.StringIO(newline="")
    style = {"doublequote": False, "escapechar": "\\"} if backslash else {}
    # MySQL and Spark do not escape outside quotes, csv does.
    quoting = csv.QUOTE_ALL if backslash else rng.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC])
    end = rng.choice(["\n", "\r\n"])
    csv.writer(buffer, delimiter=delimiter, quoting=quoting, lineterminator=end, **style).writerows(records)
    return buffer.getvalue()


def written_by_pandas(rng, records, delimiter):
    frame = pandas.DataFrame(records[1:], columns=records[0], dtype=str)
    return frame.to_csv(index=False, sep=delimiter, lineterminator=rng.choice(["\n", "\r\n"]))


def written_by_pyarrow(records, delimiter):
    table = pyarrow.table({name: [row[n] for row in records[1:]] for n, name in enumerate(records[0])})
    buffer = io.BytesIO()
    pyarrow.csv.write_csv(table, buffer, pyarrow.csv.WriteOptions(delimiter=delimiter))
    return buffer.getvalue().decode()


def copied(value):
    """As PostgreSQL's COPY and `mysql --batch` write it."""
    return value.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r")


def outfile(value):
    """As MySQL's INTO OUTFILE writes it."""
    return value.replace("\\", "\\\\").replace("\t", "\\\t").replace("\n", "\\\n")


def database(value, escape):
    return value if value == "\\N" else escape(value)


def damaged(rng, content, delimiter):
    """With blank lines, and rows with too few and too many fields."""
    for line in ["", f"x{delimiter}y", delimiter.join("abcdef")]:
        end = "\r\n" if "\r\n" in content else "\n"
        if rng.random() < 0.5:
            content += line + end
    return content


def compressed(rng, content):
    kind = rng.choice(["", ".gz", ".gz", ".zst"])
    if kind == ".gz":
        half = rng.choice([0, len(content) // 2])
        return kind, (gzip.compress(content[:half]) if half else b"") + gzip.compress(content[half:])
    if kind == ".zst":
        return kind, pyarrow.compress(content, codec="zstd", asbytes=True)
    return kind, content


# What Python reads.


def read_by_csv(content, delimiter, backslash):
    style = {"doublequote": False, "escapechar": "\\"} if backslash else {}
    reader = csv.reader(io.StringIO(content, newline=""), delimiter=delimiter, **style)
    return [record for record in reader if record][1:]


def read_by_pandas(content, delimiter, backslash):
    """pandas drops records with too many fields, and fills those with too few."""
    style = {"doublequote": False, "escapechar": "\\"} if backslash else {}
    frame = pandas.read_csv(
        io.BytesIO(content.encode()), sep=delimiter, dtype=str, keep_default_na=False, na_values=[], on_bad_lines="skip", **style
    )
    return frame.fillna("").values.tolist()


def read_by_pyarrow(content, delimiter, backslash):
    """pyarrow drops records with another number of fields."""
    parse = pyarrow.csv.ParseOptions(
        delimiter=delimiter,
        newlines_in_values=True,
        escape_char="\\" if backslash else False,
        double_quote=not backslash,
        invalid_row_handler=lambda row: "skip",
    )
    convert = pyarrow.csv.ConvertOptions(
        column_types={name: pyarrow.string() for name in COLUMNS}, strings_can_be_null=False
    )
    table = pyarrow.csv.read_csv(io.BytesIO(content.encode()), parse_options=parse, convert_options=convert)
    return [list(row.values()) for row in table.to_pylist()]


def checked(records, content, delimiter, backslash):
    """All three read the same pairs, which are those that were written."""
    by_csv = read_by_csv(content, delimiter, backslash)
    pairs, dropped, kept = expected(by_csv)
    assert [row for row in by_csv if len(row) == len(COLUMNS)] == records, "csv"
    by_pyarrow = expected(read_by_pyarrow(content, delimiter, backslash))
    assert (by_pyarrow[0], by_pyarrow[2]) == (pairs, kept), "pyarrow"
    by_pandas = expected(read_by_pandas(content, delimiter, backslash))
    assert (by_pandas[0], by_pandas[2]) == (pairs, kept), "pandas"
    return by_csv


# Cases: the configuration, the parts (name, content), and the records in them.


def delimited_case(rng):
    delimiter = rng.choice([",", ";", "|", "\t"])
    writer = rng.choice(["csv", "csv", "backslash", "pandas", "pyarrow"])
    parts, records = [], []
    for n in range(rng.randint(1, 3)):
        made = rows(rng, delimiter)
        if writer in ("csv", "backslash"):
            content = written_by_csv(rng, [COLUMNS, *made], delimiter, writer == "backslash")
        elif writer == "pandas":
            content = written_by_pandas(rng, [COLUMNS, *made], delimiter)
        else:
            content = written_by_pyarrow([COLUMNS, *made], delimiter)
        content = damaged(rng, content, delimiter)
        records += checked(made, content, delimiter, writer == "backslash")
        encoding = rng.choice(["utf-8", "utf-8", "utf-8-sig"])
        parts.append((f"part-{n}.csv", content.encode(encoding)))
    return {"format": "csv", "delimiter": delimiter, "writer": writer}, parts, records


def latin1_case(rng):
    made = rows(rng, ",")
    content = written_by_csv(rng, [COLUMNS, *made], ",", False).replace("日本", "é").encode("latin-1")
    records = read_by_csv(content.decode("utf-8", errors="replace"), ",", False)
    return {"format": "csv", "writer": "csv in Latin-1"}, [("part.csv", content)], records


def tsv_case(rng):
    escape = rng.choice([None, copied, outfile])
    parts, records = [], []
    for n in range(rng.randint(1, 3)):
        made = rows(rng, "\t", escaping=escape is not None, line_breaks=escape is not None)
        made = [[value.replace('"', "'") if escape is None else value for value in row] for row in made]
        written = [[database(value, escape) if escape else value for value in row] for row in [COLUMNS, *made]]
        content = "".join("\t".join(row) + "\n" for row in written)
        if escape is None:
            by_csv = list(csv.reader(io.StringIO(content, newline=""), delimiter="\t", quoting=csv.QUOTE_NONE))[1:]
            assert by_csv == made
        records += made
        parts.append((f"part-{n}.tsv", content.encode()))
    return {"format": "tsv", "writer": getattr(escape, "__name__", "plain")}, parts, records


def jsonl_case(rng):
    parts, records = [], []
    for n in range(rng.randint(1, 3)):
        made = rows(rng, ",")
        made = [[user or None, item, rating, note] for user, item, rating, note in made]
        frame = pandas.DataFrame(made, columns=COLUMNS, dtype=object)
        if rng.random() < 0.5:
            content = frame.to_json(orient="records", lines=True, force_ascii=rng.random() < 0.5)
        else:
            # Some exporters leave out a key without a value.
            objects = [{k: v for k, v in zip(COLUMNS, row) if v is not None} for row in made]
            content = "".join(json.dumps(row, ensure_ascii=rng.random() < 0.5) + "\n" for row in objects)
        by_pyarrow = pyarrow.json.read_json(io.BytesIO(content.encode())).select(COLUMNS).to_pylist()
        assert [list(row.values()) for row in by_pyarrow] == made
        by_pandas = pandas.read_json(io.StringIO(content), lines=True, dtype=False)[COLUMNS]
        assert by_pandas.astype(object).where(by_pandas.notna(), None).values.tolist() == made
        records += made
        parts.append((f"part-{n}.jsonl", content.encode()))
    return {"format": "jsonl", "writer": "json"}, parts, [[value or "" for value in row] for row in records]


def parquet_case(rng):
    parts, records = [], []
    for n in range(rng.randint(1, 3)):
        made = [[user or None, item, float(rating), note] for user, item, rating, note in rows(rng, ",")]
        table = pyarrow.table({name: [row[n] for row in made] for n, name in enumerate(COLUMNS)})
        buffer = io.BytesIO()
        compression = rng.choice(["none", "snappy", "gzip", "zstd", "brotli", "lz4"])
        pyarrow.parquet.write_table(
            table, buffer, compression=compression, row_group_size=rng.choice([7, 1000]), use_dictionary=rng.random() < 0.5
        )
        by_pandas = pandas.read_parquet(io.BytesIO(buffer.getvalue())).astype(object)
        assert by_pandas.where(by_pandas.notna(), None).values.tolist() == made
        records += [[user or "", item, str(rating), note] for user, item, rating, note in made]
        parts.append((f"part-{n}.parquet", buffer.getvalue()))
    return {"format": "parquet", "writer": "pyarrow"}, parts, records


def main():
    cases, directory = int(sys.argv[1]), pathlib.Path(sys.argv[2])
    kinds = [delimited_case, delimited_case, delimited_case, tsv_case, jsonl_case, parquet_case, latin1_case]
    for seed in range(cases):
        rng = random.Random(seed)
        config, parts, records = kinds[seed % len(kinds)](rng)
        pairs, dropped, kept = expected(records)
        case = directory / f"{seed:03}"
        (case / "data").mkdir(parents=True)
        for name, content in parts:
            ending, content = ("", content) if config["format"] == "parquet" else compressed(rng, content)
            (case / "data" / (name + ending)).write_bytes(content)
        listed = sorted([user, item, weight] for (user, item), weight in pairs.items())
        (case / "case.json").write_text(
            json.dumps({**config, "pairs": listed, "kept": kept, "dropped": dict(dropped)}, ensure_ascii=False)
        )


main()
