"""Creates a template's buckets in the S3 emulator."""

from collections.abc import Mapping, Sequence
from typing import Any

from infra.entry_point import Explained
from infra.local.template.model import Bucket


class BucketsFailed(Explained):
    """The storage does not take a bucket of the template; the text says why."""


def create_buckets(buckets: Sequence[Bucket], aws_variables: Mapping[str, str]) -> None:
    """Creates what does not exist yet, with its CORS rules. Blocks. Raises BucketsFailed."""
    if not buckets:
        return
    # boto3 takes long to load, and only a cloud with buckets needs it.
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    client: Any = boto3.client(
        "s3",
        endpoint_url=aws_variables["AWS_ENDPOINT_URL"],
        region_name=aws_variables["AWS_REGION"],
        aws_access_key_id=aws_variables["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=aws_variables["AWS_SECRET_ACCESS_KEY"],
        aws_session_token=aws_variables.get("AWS_SESSION_TOKEN"),
    )
    try:
        existing = {bucket["Name"] for bucket in client.list_buckets()["Buckets"]}
    except (BotoCoreError, ClientError) as error:
        raise BucketsFailed(f"the storage does not list its buckets: {error}") from error
    for bucket in buckets:
        try:
            _create(client, bucket, existing, aws_variables["AWS_REGION"])
        except (BotoCoreError, ClientError) as error:
            raise BucketsFailed(f"{bucket.logical_id}: no bucket {bucket.name}: {error}") from error


def _create(client: Any, bucket: Bucket, existing: set[str], region: str) -> None:
    if bucket.name not in existing:
        # us-east-1 is the one region that must not be named.
        if region == "us-east-1":
            client.create_bucket(Bucket=bucket.name)
        else:
            client.create_bucket(
                Bucket=bucket.name, CreateBucketConfiguration={"LocationConstraint": region}
            )
    if bucket.cors_rules:
        client.put_bucket_cors(
            Bucket=bucket.name, CORSConfiguration={"CORSRules": list(bucket.cors_rules)}
        )
