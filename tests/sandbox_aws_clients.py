"""Real boto3 clients on a sandbox cloud, for the tests of the sandbox."""

from __future__ import annotations

import re
from typing import Any

import boto3
from botocore.config import Config

from auditor.sandbox.aws import AwsCloud

A, B = "111111111111", "222222222222"
R, FAR = "eu-west-1", "eu-central-1"


def client(
    cloud: AwsCloud, service: str, key: str = A, region: str = R, *, attempts: int = 1, read_s: float = 20
) -> Any:
    """Return a client whose access key id is an account id; `attempts` 1 shows every fault as it is."""
    made = boto3.client(
        service,
        region_name=region,
        endpoint_url=cloud.endpoint,
        aws_access_key_id=key,
        aws_secret_access_key="secret",
        config=Config(
            retries={"mode": "standard", "total_max_attempts": attempts},
            connect_timeout=5,
            read_timeout=read_s,
        ),
    )
    made.meta.events.register("before-send.s3-control", _one_host)
    return made


def _one_host(request: Any, **_: Any) -> None:
    """S3 Control puts the account before the host, which loopback cannot resolve."""
    request.url = re.sub(r"//\d{12}\.", "//", request.url)
