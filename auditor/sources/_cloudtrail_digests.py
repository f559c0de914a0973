"""Digest files of a trail: `[PREFIX/]AWSLogs/ACCOUNT/CloudTrail-Digest/REGION/Y/M/D/…json.gz`, each signed by CloudTrail.

A digest names the log files of its hour with their SHA-256, and the digest before it with that one's SHA-256 and signature
(CloudTrail User Guide, "CloudTrail digest file structure"). Hashes are of the unpacked content; a signature is RSA PKCS #1
v1.5 with SHA-256 over four lines, in the metadata of the object. Each region has keys of its own.

Calls for one trail: 1 for the regions there are; per region ceil(digests / 1000), at least 1, 1 ListPublicKeys, and one
a digest: 24 a day.
"""

from __future__ import annotations

import hashlib
import json
import re
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from auditor.model import Gap, Row, Seen
from auditor.sources.ask import Malformed, Truncated, guard, listed, need, safe_text

if TYPE_CHECKING:
    from auditor.sources._cloudtrail_files import Reader

TABLE = "cloudtrail_digest"
LARGEST = 1 << 26
"""Bytes of a digest, unpacked."""
WORKERS = 8
BACK = timedelta(days=8)
"""How far back the first scan goes."""
SHOWN = 5
"""Log files that are named of one digest, where they are not what it says."""
_ENDED = re.compile(r"_(\d{8}T\d{6})Z\.json\.gz$")


@dataclass(slots=True)
class Digests:
    """Reads the digests of one trail's files of one account; `reader` has read its log files."""

    reader: Reader
    most: int
    """Digests that are read of it in one scan."""
    keys: dict[str, bytes] = field(default_factory=dict)
    """Public keys of the region at hand by fingerprint, PKCS #1 in DER."""

    def collect(self) -> Iterator[Row | Seen | Gap]:
        """Yield a row a digest, and coverage of each region of the trail."""
        reader, window = self.reader, self.reader.ask.window
        trail = reader.trail
        start = self.start
        scope = partial(Seen, TABLE, reader.account, from_at=start, until_at=window.until_at)
        regions: list[str] = []
        root = reader.root.removesuffix("CloudTrail/") + "CloudTrail-Digest/"
        with guard(scope("*", trail.arn)) as read:
            regions = [one for one in reader.folders(root) if trail.multi_region or one == trail.home]
        if not read.ok:
            yield from read
            return
        yield scope("*", trail.arn)
        left = self.most
        for region in regions:
            rows: list[Row] = []
            with guard(scope(region, trail.arn), action="s3:GetObject") as read:
                keys = list(self._keys(f"{root}{region}/", region))
                self.keys = self._public_keys(region) if keys else {}
                rows.extend(reader.ask.side_by_side(WORKERS, partial(self._row, region), keys[:left]))
                if len(keys) > left:
                    raise Truncated(f"more than {self.most} digests: raise digests_most")
            left -= len(rows)
            yield from rows
            yield from read

    @property
    def start(self) -> datetime:
        """From when on digests are read: a first scan does not go back as far as it does for events."""
        window = self.reader.ask.window
        return max(window.from_at, window.until_at - BACK)

    def _keys(self, under: str, region: str) -> Iterator[str]:
        """Yield the digests of the trail that end within the window."""
        window, account, trail = self.reader.ask.window, self.reader.account, self.reader.trail
        name = f"{account}_CloudTrail-Digest_{region}_{trail.about.get('Name')}_{trail.home}_"
        first = f"{under}{self.start:%Y/%m/%d}/"
        for page in self.reader.pages(Prefix=under, StartAfter=first):
            for item in page.get("Contents", ()):
                key = str(need(item, "Key"))
                ended = _ENDED.search(key)
                if ended is None or not key.rpartition("/")[2].startswith(name):
                    continue
                at = datetime.strptime(ended[1], "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
                if at > window.until_at:
                    return
                if at > self.start:
                    yield key

    def _public_keys(self, region: str) -> dict[str, bytes]:
        ask = self.reader.ask
        client = ask.clients.aws("cloudtrail", self.reader.trail.asker, region)
        start, end = ask.window.from_at - timedelta(days=1), ask.window.until_at + timedelta(days=1)
        found: dict[str, bytes] = {}
        token: dict[str, str] = {}
        while True:
            page = client.list_public_keys(StartTime=start, EndTime=end, **token)
            for one in listed(page, "PublicKeyList"):
                found[str(need(one, "Fingerprint"))] = bytes(need(one, "Value"))
            if not page.get("NextToken"):
                return found
            token = {"NextToken": page["NextToken"]}

    def _row(self, region: str, key: str) -> Row:
        """Return what one digest says, and what of it holds."""
        reader = self.reader
        bucket = reader.bucket
        values: dict[str, Any] = {
            "trail_arn": reader.trail.arn,
            "account": reader.account,
            "region": region,
            "bucket": bucket,
            "key": key,
            "end_at": datetime.strptime(_ENDED.search(key)[1], "%Y%m%dT%H%M%S").replace(tzinfo=UTC),  # type: ignore[index]
        }
        reply = reader.client.get_object(Bucket=bucket, Key=key)
        try:
            text = _unpacked(reply["Body"].read())
            digest = json.loads(text)
            if not isinstance(digest, dict):
                raise Malformed("not a digest of CloudTrail")  # noqa: TRY301  # one way to say what it is not
            return Row(TABLE, values | self._judged(digest, text, reply.get("Metadata") or {}, bucket, key))
        except (Malformed, ValueError, RecursionError, KeyError, TypeError) as error:
            # It was read, and is no digest any more: a finding, not a gap.
            return Row(
                TABLE,
                values | {"signature": "invalid", "says": safe_text(f"it cannot be read: {error}")[:300]},
            )

    def _judged(
        self, digest: Mapping[str, Any], text: bytes, metadata: Mapping[str, str], bucket: str, key: str
    ) -> dict[str, Any]:
        signed = metadata.get("signature", "")
        state, says = self._signature(digest, text, signed)
        if (digest["digestS3Bucket"], digest["digestS3Object"]) != (bucket, key):
            state, says = (
                "invalid",
                f"it says that it is s3://{digest['digestS3Bucket']}/{digest['digestS3Object']}",
            )
        wrong, missing, unread = self._files(digest)
        previous = digest.get("previousDigestSignature")
        return {
            "start_at": _time(digest["digestStartTime"]),
            "end_at": _time(digest["digestEndTime"]),
            "sha256": hashlib.sha256(text).hexdigest(),
            "signature": state,
            "signature_sha256": _short(signed),
            "previous_key": digest.get("previousDigestS3Object") or "",
            "previous_sha256": digest.get("previousDigestHashValue") or "",
            "previous_signature_sha256": _short(previous) if previous else "",
            "files": len(digest.get("logFiles") or ()),
            "files_changed": wrong,
            "files_missing": missing,
            "files_unread": unread,
            "says": says,
        }

    def _signature(self, digest: Mapping[str, Any], text: bytes, signed: str) -> tuple[str, str]:
        """Return `valid`, `invalid`, `unsigned` or `no_key`, and why."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
        from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
        from cryptography.hazmat.primitives.hashes import SHA256

        if not signed:
            return "unsigned", "the object has no signature in its metadata"
        name = str(digest.get("digestPublicKeyFingerprint"))
        if name not in self.keys:
            return "no_key", f"CloudTrail lists no public key {name} of that time"
        said = "\n".join(
            (
                str(digest["digestEndTime"]),
                f"{digest['digestS3Bucket']}/{digest['digestS3Object']}",
                hashlib.sha256(text).hexdigest(),
                digest.get("previousDigestSignature") or "null",
            )
        )
        public = _public(self.keys[name])
        assert isinstance(public, RSAPublicKey)
        try:
            public.verify(bytes.fromhex(signed), said.encode(), PKCS1v15(), SHA256())
        except (InvalidSignature, ValueError):
            return "invalid", "its signature does not verify"
        return "valid", ""

    def _files(self, digest: Mapping[str, Any]) -> tuple[list[str], list[str], int]:
        """Return the log files that differ, those that are gone, and how many were not read in this scan."""
        wrong: list[str] = []
        missing: list[str] = []
        unread = 0
        for file in digest.get("logFiles") or ():
            key = str(file["s3Object"])
            found = self.reader.hashes.get(key)
            if found is not None:
                if found != file["hashValue"]:
                    wrong.append(key)
            elif self.reader.was_listed(key):
                missing.append(key)
            else:
                unread += 1
        return wrong[:SHOWN], missing[:SHOWN], unread


def _public(der: bytes) -> Any:
    """Load a public key in PKCS #1; what cryptography reads is the SubjectPublicKeyInfo round it, too."""
    from cryptography.hazmat.primitives.serialization import load_der_public_key

    return load_der_public_key(der)


def _short(signature: str) -> str:
    return hashlib.sha256(signature.encode()).hexdigest() if signature else ""


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def _unpacked(packed: bytes) -> bytes:
    unpacking = zlib.decompressobj(wbits=31)
    try:
        text = unpacking.decompress(packed, LARGEST)
    except zlib.error as error:
        raise Malformed(f"not gzip: {error}") from None
    if unpacking.unconsumed_tail or not unpacking.eof:
        raise Malformed("too large, or the gzip stream breaks off")
    return text
