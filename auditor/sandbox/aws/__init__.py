"""An emulated AWS under the real boto3: moto, extended where it is silent and mended where it lies."""

from auditor.sandbox.aws.cloud import AwsCloud

__all__ = ["AwsCloud"]
