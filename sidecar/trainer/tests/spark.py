"""Writes tests/data/spark with Apache Spark: one table in several formats, which the trainer must read as equal.

usage: pip install pyspark==4.3.0 && python tests/spark.py   (needs Java 17; the result is committed to the repository)
"""

import datetime
import pathlib
import shutil

from pyspark.sql import SparkSession
from pyspark.sql import types as t

ROOT = pathlib.Path(__file__).parent / "data" / "spark"


def rows():
    """The rows, which the test computes with the same formulas; the last columns are additional ones, as in real tables."""
    for n in range(600):
        user, item = f"user{n * 7 % 97:02}", n * n % 23
        timestamp = datetime.datetime.fromtimestamp(1_700_000_000 + 3600 * n, datetime.timezone.utc)
        yield user, item, float(n % 5 + 1), timestamp, [n] if n % 3 else None, (n, None), n % 3


SCHEMA = t.StructType(
    [
        t.StructField("user_id", t.StringType()),
        t.StructField("item_id", t.LongType()),
        t.StructField("rating", t.DoubleType()),
        t.StructField("timestamp", t.TimestampType()),
        t.StructField("tags", t.ArrayType(t.IntegerType())),
        t.StructField("extra", t.StructType([t.StructField("a", t.IntegerType()), t.StructField("b", t.StringType())])),
        t.StructField("part", t.IntegerType()),
    ]
)


def main():
    spark = SparkSession.builder.master("local[2]").config("spark.sql.session.timeZone", "UTC").getOrCreate()
    table = spark.createDataFrame(list(rows()), SCHEMA).repartition(3)
    flat = table.drop("tags", "extra", "part")
    shutil.rmtree(ROOT, ignore_errors=True)
    for kind in ["INT96", "TIMESTAMP_MICROS", "TIMESTAMP_MILLIS"]:
        spark.conf.set("spark.sql.parquet.outputTimestampType", kind)
        table.write.parquet(str(ROOT / f"parquet-{kind.lower().replace('_', '-')}"))
    table.write.option("compression", "zstd").partitionBy("part").parquet(str(ROOT / "parquet-by-part-zstd"))
    flat.write.option("header", True).csv(str(ROOT / "csv"))
    flat.write.option("compression", "gzip").option("header", True).csv(str(ROOT / "csv-gzip"))
    flat.write.option("sep", "\t").option("header", False).csv(str(ROOT / "csv-tabs-no-header"))
    table.write.option("compression", "gzip").json(str(ROOT / "json-gzip"))
    spark.stop()


main()
