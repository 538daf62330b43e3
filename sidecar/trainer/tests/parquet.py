"""Writes one table with all encodings and types that pyarrow supports, and invalid tables.

usage: parquet.py ROWS_CSV DIRECTORY: same/*.parquet contain the rows of the csv file; bad/*.parquet and nulls.parquet do not
"""

import csv
import datetime
import decimal
import itertools
import pathlib
import sys

import pyarrow as pa
import pyarrow.parquet as pq

UTC = datetime.timezone.utc
source, directory = sys.argv[1], pathlib.Path(sys.argv[2])
with open(source, encoding="utf-8") as file:
    rows = list(csv.DictReader(file))
users = [int(row["user_id"]) for row in rows]
items = [row["item_id"] for row in rows]
ratings = [float(row["rating"]) for row in rows]
seconds = [int(row["timestamp"]) for row in rows]
timestamps = [datetime.datetime.fromtimestamp(second, UTC) for second in seconds]


def table(**changed):
    columns = {
        # Columns that are not requested come before, between and after the others.
        "noise": pa.array([[1, None], None, []] * (len(rows) // 3) + [[]] * (len(rows) % 3), pa.list_(pa.int32())),
        "user_id": pa.array(users, pa.int64()),
        "struct": pa.array([{"user_id": "x", "y": None}] * len(rows)),
        "item_id": pa.array(items, pa.string()),
        "rating": pa.array(ratings, pa.float64()),
        "timestamp": pa.array(seconds, pa.int64()),
        "all_null": pa.nulls(len(rows)),
    }
    columns.update(changed)
    return pa.table(columns)


def same(name, table, **options):
    pq.write_table(table, directory / "same" / f"{name}.parquet", **options)


(directory / "same").mkdir()
(directory / "bad").mkdir()

for compression, dictionary, version in itertools.product(
    ["none", "snappy", "gzip", "brotli", "lz4", "zstd"], [True, False], ["1.0", "2.0"]
):
    name = f"{compression}-{'dictionary' if dictionary else 'plain'}-v{version}"
    same(name, table(), compression=compression, use_dictionary=dictionary, data_page_version=version)
same("small-groups-and-pages", table(), row_group_size=37, data_page_size=64)
same(
    "delta",
    table(),
    use_dictionary=False,
    column_encoding={
        "user_id": "DELTA_BINARY_PACKED",
        "item_id": "DELTA_BYTE_ARRAY",
        "rating": "BYTE_STREAM_SPLIT",
        "timestamp": "DELTA_BINARY_PACKED",
    },
)
same("delta-length", table(), use_dictionary=False, column_encoding={"item_id": "DELTA_LENGTH_BYTE_ARRAY"})
for name, kind in [
    ("int32", pa.int32()),
    ("uint16", pa.uint16()),
    ("uint32", pa.uint32()),
    ("uint64", pa.uint64()),
    ("decimal-5-0", pa.decimal128(5, 0)),
    ("decimal-38-0", pa.decimal128(38, 0)),
]:
    values = users if not name.startswith("decimal") else [decimal.Decimal(user) for user in users]
    same(f"user-{name}", table(user_id=pa.array(values, kind)))
same("user-string", table(user_id=pa.array([str(user) for user in users])))
same("item-large-string", table(item_id=pa.array(items, pa.large_string())))
same("item-binary", table(item_id=pa.array([item.encode() for item in items], pa.binary())))
same("item-categories", table(item_id=pa.array(items).dictionary_encode()))
same("item-required", table().cast(pa.schema([field.with_nullable(field.name != "item_id") for field in table().schema])))
for name, values in [
    ("float32", pa.array(ratings, pa.float32())),
    ("int8", pa.array([int(rating) for rating in ratings], pa.int8())),
    ("uint64", pa.array([int(rating) for rating in ratings], pa.uint64())),
    ("decimal-9-4", pa.array([decimal.Decimal(rating) for rating in ratings], pa.decimal128(9, 4))),
    ("decimal-18-2", pa.array([decimal.Decimal(rating) for rating in ratings], pa.decimal128(18, 2))),
    ("decimal-30-3", pa.array([decimal.Decimal(rating) for rating in ratings], pa.decimal128(30, 3))),
    ("text", pa.array([f"{rating:.2f}" for rating in ratings])),
]:
    same(f"rating-{name}", table(rating=values))
same("decimal-as-integer", table(rating=pa.array([decimal.Decimal(r) for r in ratings], pa.decimal128(9, 4))), store_decimal_as_integer=True)
for unit in ["s", "ms", "us", "ns"]:
    same(f"time-{unit}-utc", table(timestamp=pa.array(timestamps, pa.timestamp(unit, "UTC"))))
    same(f"time-{unit}-local", table(timestamp=pa.array([t.replace(tzinfo=None) for t in timestamps], pa.timestamp(unit))))
same("time-int96", table(timestamp=pa.array(timestamps, pa.timestamp("ns"))), use_deprecated_int96_timestamps=True)
same("time-date", table(timestamp=pa.array([timestamp.date() for timestamp in timestamps], pa.date32())))
same("time-float", table(timestamp=pa.array(seconds, pa.float64())))
same("time-text", table(timestamp=pa.array([timestamp.isoformat() for timestamp in timestamps])))

bad = {
    "user-float": table(user_id=pa.array(users, pa.float64())),
    "user-list": table(user_id=pa.array([[user] for user in users])),
    "user-struct": table(user_id=pa.array([{"id": user} for user in users])),
    "user-bool": table(user_id=pa.array([True] * len(rows))),
    "user-decimal-2": table(user_id=pa.array([decimal.Decimal(user) for user in users], pa.decimal128(9, 2))),
    "rating-bool": table(rating=pa.array([True] * len(rows))),
    "rating-time": table(rating=pa.array(timestamps, pa.timestamp("us"))),
    "time-bool": table(timestamp=pa.array([True] * len(rows))),
    "user-missing": table().drop_columns(["user_id"]),
    "no-rows": table().slice(0, 0),
    "all-users-null": table(user_id=pa.nulls(len(rows), pa.int64())),
}
for name, invalid in bad.items():
    pq.write_table(invalid, directory / "bad" / f"{name}.parquet")

# Forty additional rows; all but five have one invalid value.
n = len(rows)
extra = 40
user_id = pa.array(users + [None] * 10 + [7] * 30, pa.int64())
item_id = pa.array([item.encode() for item in items] + [b"i"] * 10 + [None] * 5 + [b""] * 5 + [b"\xff\xfe"] * 5 + [b"i"] * 15, pa.binary())
rating = pa.array(ratings + [1.0] * 25 + [None] * 5 + [float("nan"), float("inf"), 1e300] + [1.0] * 7)
timestamp = pa.array(timestamps + [timestamps[0]] * (extra - 2) + [None] * 2, pa.timestamp("us"))
nulls = pa.table({"user_id": user_id, "item_id": item_id, "rating": rating, "timestamp": timestamp})
pq.write_table(nulls, directory / "nulls.parquet")
