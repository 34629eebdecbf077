"""An S3 double: moto's server on a free port of this machine, with one bucket."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import boto3
from moto.server import ThreadedMotoServer


class S3Double:
    """One bucket. ``environment`` is what a process needs in order to reach it."""

    def __init__(self, url: str, bucket: str) -> None:
        self.bucket = bucket
        self.environment = {
            "AWS_ENDPOINT_URL": url,
            "AWS_ACCESS_KEY_ID": "double",
            "AWS_SECRET_ACCESS_KEY": "double",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        self._client: Any = boto3.client(
            "s3",
            endpoint_url=url,
            aws_access_key_id="double",
            aws_secret_access_key="double",
            region_name="us-east-1",
        )
        self._client.create_bucket(Bucket=bucket)

    def write(self, key: str, content: bytes) -> None:
        self._client.put_object(Bucket=self.bucket, Key=key, Body=content)

    def read(self, key: str) -> bytes:
        content: bytes = self._client.get_object(Bucket=self.bucket, Key=key)["Body"].read()
        return content

    def list(self) -> set[str]:
        listed = self._client.list_objects_v2(Bucket=self.bucket)
        return {entry["Key"] for entry in listed.get("Contents", ())}

    def written_at(self, key: str) -> datetime:
        at: datetime = self._client.head_object(Bucket=self.bucket, Key=key)["LastModified"]
        return at


@contextmanager
def s3_double(bucket: str = "shop") -> Iterator[S3Double]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield S3Double(f"http://{host}:{port}", bucket)
    finally:
        server.stop()
