"""A bucket of a local AWS that a test fills and inspects with its own client."""

from __future__ import annotations

from typing import Any

import boto3

from tests.support.aws import LocalAws


class Bucket:
    """A bucket, created with this object; `client` is boto3's, for calls without a method here."""

    def __init__(self, aws: LocalAws, name: str = "inbox") -> None:
        self.name = name
        self.client: Any = boto3.client("s3", **aws.client_arguments)
        self.client.create_bucket(Bucket=name)

    def put(self, *keys: str, content: bytes = b"a\n1\n", **arguments: Any) -> str:
        """Write the same content to each key; returns the last one's etag."""
        for key in keys:
            answer = self.client.put_object(Bucket=self.name, Key=key, Body=content, **arguments)
        return str(answer["ETag"]).strip('"')

    def get(self, key: str) -> bytes:
        content: bytes = self.client.get_object(Bucket=self.name, Key=key)["Body"].read()
        return content

    def delete(self, key: str) -> None:
        self.client.delete_object(Bucket=self.name, Key=key)

    def keys(self, prefix: str = "") -> list[str]:
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=prefix)
        return [found["Key"] for page in pages for found in page.get("Contents", ())]

    def uploads(self) -> list[str]:
        """Return the keys of multipart uploads that are neither completed nor aborted."""
        return [found["Key"] for found in self.client.list_multipart_uploads(Bucket=self.name).get("Uploads", ())]
