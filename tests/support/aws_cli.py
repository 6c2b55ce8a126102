"""A stand-in for two commands of the AWS command line, with its manners: nothing is printed if there is nothing."""

from __future__ import annotations

import argparse
import json
import os
import sys

import boto3


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("service", choices=["s3api"])
    parser.add_argument("operation")
    parser.add_argument("--bucket", required=True)
    parser.add_argument("--output")
    parser.add_argument("--notification-configuration")
    parser.add_argument("--skip-destination-validation", action="store_true")
    given = parser.parse_args()
    client = boto3.client("s3", **json.loads(os.environ["CLIENT"]))
    if given.operation == "get-bucket-notification-configuration":
        if os.environ["DENIED"]:
            print("An error occurred (AccessDenied)", file=sys.stderr)
            return 254
        found = client.get_bucket_notification_configuration(Bucket=given.bucket)
        del found["ResponseMetadata"]
        if found:
            print(json.dumps(found, indent=4))
        return 0
    assert given.operation == "put-bucket-notification-configuration"
    wanted = json.loads(given.notification_configuration)
    client.put_bucket_notification_configuration(
        Bucket=given.bucket,
        NotificationConfiguration=wanted,
        SkipDestinationValidation=given.skip_destination_validation,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
