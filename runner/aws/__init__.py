"""AWS: sessions and clients, what their errors mean, and places in S3.

Imports only the root nouns. botocore and aioboto3 are imported when a client is opened, since most runs need neither.

- client: an aiobotocore client of one service, opened by `open_client`.
- place: a bucket, and a key in it or the start of keys; what an `s3://` url names.
- refusal: an answer of AWS that repeating does not change; raised as AwsRefused or ConfigError.
"""
