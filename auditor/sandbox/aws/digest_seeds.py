"""Seed CloudTrail's digest files: signed, chained, by the hour; and whatever may be done to them behind its back."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Collection
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from auditor.sandbox.aws.trail_seeds import TrailSeeds

HOUR = timedelta(hours=1)


class DigestSeeds(TrailSeeds):
    """Write the digests of a trail without a request."""

    def put_digests(
        self,
        arn: str,
        region: str,
        *,
        from_at: datetime,
        until_at: datetime,
        every: timedelta = HOUR,
        skipped: Collection[datetime] = (),
        forged: Collection[datetime] = (),
    ) -> list[str]:
        """Write the digests that end in `(from_at, until_at]`, each of the log files delivered in its time; return their keys.

        `skipped`: ends of digests that are signed and chained but not there, as if deleted. `forged`: ends of digests that
        are signed by a key of somebody else.
        """
        trail = self._trail(arn)
        account, bucket = arn.split(":")[4], trail["S3BucketName"]
        chains: dict[str, Any] = trail.setdefault("Digests", {})
        root = f"{trail['S3KeyPrefix']}/" if trail.get("S3KeyPrefix") else ""
        keys, end = [], from_at
        while (end := end + every) <= until_at:
            name = f"{account}_CloudTrail-Digest_{region}_{trail['Name']}_{trail['HomeRegion']}_{end:%Y%m%dT%H%M%SZ}.json.gz"
            key = f"{root}AWSLogs/{account}/CloudTrail-Digest/{region}/{end:%Y/%m/%d}/{name}"
            before = chains.get(region, {})
            files = [
                {"s3Bucket": bucket, "s3Object": file, "hashValue": digest, "hashAlgorithm": "SHA-256"}
                for at, of, file, digest in trail.get("Files", ())
                if of == region and end - every < at <= end
            ]
            signer = _key("somebody else" if end in forged else region)
            body = {
                "awsAccountId": account,
                "digestStartTime": f"{end - every:%Y-%m-%dT%H:%M:%SZ}",
                "digestEndTime": f"{end:%Y-%m-%dT%H:%M:%SZ}",
                "digestS3Bucket": bucket,
                "digestS3Object": key,
                "digestPublicKeyFingerprint": fingerprint(region),
                "digestSignatureAlgorithm": "SHA256withRSA",
                "newestEventTime": None,
                "oldestEventTime": None,
                "previousDigestS3Bucket": bucket if before else None,
                "previousDigestS3Object": before.get("key"),
                "previousDigestHashValue": before.get("sha256"),
                "previousDigestHashAlgorithm": "SHA-256" if before else None,
                "previousDigestSignature": before.get("signature"),
                "logFiles": files,
            }
            text = json.dumps(body, separators=(",", ":")).encode()
            sha256 = hashlib.sha256(text).hexdigest()
            said = "\n".join(
                (body["digestEndTime"], f"{bucket}/{key}", sha256, before.get("signature") or "null")
            )
            signature = _signed(signer, said)
            chains[region] = {"key": key, "sha256": sha256, "signature": signature}
            if end not in skipped:
                metadata = {"signature": signature, "signature-algorithm": "SHA256withRSA"}
                packed = gzip.compress(text, compresslevel=6, mtime=0)
                self.put_object(bucket, key, packed, at=end, metadata=metadata)
                keys.append(key)
        return keys


@cache
def _key(whose: str) -> Any:  # noqa: ARG001  # one key each
    """Return the private key of a region, made when it is first needed."""
    from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key

    return generate_private_key(public_exponent=65537, key_size=2048)


def _signed(key: Any, said: str) -> str:
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.hashes import SHA256

    signature: bytes = key.sign(said.encode(), PKCS1v15(), SHA256())
    return signature.hex()


def public_key(region: str) -> bytes:
    """Return a region's public key as ListPublicKeys gives it: PKCS #1 in DER."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    found: bytes = _key(region).public_key().public_bytes(Encoding.DER, PublicFormat.PKCS1)
    return found


def fingerprint(region: str) -> str:
    """Return the name of a region's public key: the MD5 of it, as CloudTrail writes it."""
    return hashlib.md5(public_key(region), usedforsecurity=False).hexdigest()
