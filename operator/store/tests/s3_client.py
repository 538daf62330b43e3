"""Tests the embedded store with boto3. Run by tests/it; prints one line per check and exits at the first failure.

usage: s3_client.py ENDPOINT PREFIX ACCESS_KEY SECRET_KEY ... with three key pairs: train, serve, operator of one Recommender
"""

import hashlib
import io
import sys

import boto3
from botocore.client import Config
from botocore.exceptions import ClientError

BUCKET = "recmesh"


def client(endpoint, key, secret):
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        region_name="us-east-1",
        config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 1}),
    )


def assert_rejected(what, status, call, **arguments):
    try:
        call(Bucket=BUCKET, **arguments)
    except ClientError as error:
        got = error.response["ResponseMetadata"]["HTTPStatusCode"]
        assert got == status, f"{what}: expected {status}, got {got}: {error}"
        print(f"ok {what}: {status}")
        return
    raise AssertionError(f"{what}: expected {status}, but the request succeeded")


def main():
    endpoint, prefix, *keys = sys.argv[1:]
    train, serve, operator = (client(endpoint, *keys[i : i + 2]) for i in (0, 2, 4))
    body = bytes(range(256)) * 40

    def snapshot_key(content):  # the store verifies that the key of a snapshot is the digest of its content
        return f"{prefix}snapshots/{hashlib.sha256(content).hexdigest()}.safetensors"

    snapshot = snapshot_key(body)

    train.put_object(Bucket=BUCKET, Key=snapshot, Body=body)
    assert train.get_object(Bucket=BUCKET, Key=snapshot)["Body"].read() == body
    assert serve.get_object(Bucket=BUCKET, Key=snapshot)["Body"].read() == body
    assert serve.head_object(Bucket=BUCKET, Key=snapshot)["ContentLength"] == len(body)
    part = serve.get_object(Bucket=BUCKET, Key=snapshot, Range="bytes=100-199")
    assert part["Body"].read() == body[100:200] and part["ResponseMetadata"]["HTTPStatusCode"] == 206
    print("ok put, get, head, range")

    runs = [f"{prefix}runs/{number:010}-0123456789.json" for number in range(1, 13)]
    for key in runs:
        train.put_object(Bucket=BUCKET, Key=key, Body=key.encode(), IfNoneMatch="*")
    assert_rejected("a second put of a run", 412, train.put_object, Key=runs[0], Body=b"other", IfNoneMatch="*")
    assert train.get_object(Bucket=BUCKET, Key=runs[0])["Body"].read() == runs[0].encode()
    pages = operator.get_paginator("list_objects_v2").paginate(
        Bucket=BUCKET, Prefix=f"{prefix}runs/", PaginationConfig={"PageSize": 5}
    )
    pages = [[entry["Key"] for entry in page["Contents"]] for page in pages]
    assert [len(page) for page in pages] == [5, 5, 2] and sum(pages, []) == runs, pages
    print("ok create-if-absent, list with paging")

    chunk = b"x" * (5 << 20)
    large = snapshot_key(chunk + b"end")
    upload = train.create_multipart_upload(Bucket=BUCKET, Key=large)["UploadId"]
    parts = [
        {"PartNumber": n, "ETag": train.upload_part(Bucket=BUCKET, Key=large, UploadId=upload, PartNumber=n, Body=io.BytesIO(data))["ETag"]}
        for n, data in ((1, chunk), (2, b"end"))
    ]
    train.complete_multipart_upload(Bucket=BUCKET, Key=large, UploadId=upload, MultipartUpload={"Parts": parts})
    assert serve.get_object(Bucket=BUCKET, Key=large)["Body"].read() == chunk + b"end"
    print("ok multipart")

    operator.delete_object(Bucket=BUCKET, Key=large)
    assert_rejected("get of a deleted object", 404, serve.get_object, Key=large)

    assert_rejected("a snapshot with another digest as key", 400, train.put_object, Key=snapshot, Body=b"other")
    assert_rejected("serve puts", 403, serve.put_object, Key=f"{prefix}snapshots/c", Body=b"")
    assert_rejected("serve deletes", 403, serve.delete_object, Key=snapshot)
    assert_rejected("train deletes", 403, train.delete_object, Key=snapshot)
    wrong = client(endpoint, keys[0], "0" * 64)
    assert_rejected("a wrong secret", 403, wrong.get_object, Key=snapshot)
    invalid_role = client(endpoint, "shop.movies.root", keys[1])
    assert_rejected("an invalid role", 403, invalid_role.get_object, Key=snapshot)

    # Another Recommender's prefix, a prefix that begins with ours, and the root: denied for every role and operation.
    for foreign in (prefix.replace("/movies/", "/books/"), prefix.rstrip("/") + "2/", ""):
        for role, s3 in (("train", train), ("serve", serve), ("operator", operator)):
            key = f"{foreign}snapshots/x"
            at = f"{role} at {foreign or 'the root'}"
            assert_rejected(f"{at} gets", 403, s3.get_object, Key=key)
            assert_rejected(f"{at} heads", 403, s3.head_object, Key=key)
            assert_rejected(f"{at} puts", 403, s3.put_object, Key=key, Body=b"")
            assert_rejected(f"{at} deletes", 403, s3.delete_object, Key=key)
            assert_rejected(f"{at} lists", 403, s3.list_objects_v2, Prefix=foreign)
            assert_rejected(f"{at} begins an upload", 403, s3.create_multipart_upload, Key=key)
            assert_rejected(f"{at} copies", 403, s3.copy_object, Key=key, CopySource={"Bucket": BUCKET, "Key": snapshot})
            assert_rejected(f"{at} copies from", 403, s3.copy_object, Key=f"{prefix}snapshots/y", CopySource={"Bucket": BUCKET, "Key": key})
    print("ok all")


main()
