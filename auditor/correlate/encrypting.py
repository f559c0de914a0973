"""Which key a resource means by what it names, and whose it is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from auditor.correlate.zoning import NONE_SEEN, parsed

Row = Mapping[str, Any]
_KMS = ("aws:kms", "aws:kms:dsse")


@dataclass(frozen=True, slots=True)
class Key:
    """A key that something is encrypted with, as far as it is known."""

    arn: str | None
    """ARN of the key itself; NULL where only an alias of it is known."""
    customers: bool | None
    """It is a customer's and not AWS's own; NULL when nobody says."""


class Keys:
    """The keys that KMS told of, by every name that resources have for them.

    An ARN does not tell AWS's own key from a customer's: only KMS does. An alias of AWS tells without it.
    """

    def __init__(self, keys: Iterable[Row]) -> None:
        self._named: dict[tuple[str, str, str], Row] = {}
        for row in keys:
            for name in (row["arn"], *(parsed(row["named_as"]) or ())):
                place = ("", "") if name.startswith("arn:") else (row["account"], row["region"])
                self._named[name, *place] = row

    def of(self, name: str | None, account: str | None, region: str | None) -> Key | None:
        """Return the key that a resource of an account and region names; None when it names none."""
        if name in (None, "", NONE_SEEN):
            return None
        row = self._named.get((name, "", "")) or self._named.get((name, account or "", region or ""))
        known = row is not None and row["manager"] is not None
        arn = row["arn"] if row is not None and known else name if ":key/" in name else None
        if ":alias/aws/" in name or name.startswith("alias/aws/"):
            return Key(arn, False)
        return Key(arn, row["manager"] == "CUSTOMER" if row is not None and known else None)

    def of_bucket(self, bucket: Row) -> Key | None:
        """Return the key of a bucket's default encryption; None when it has none, or what it has was not read.

        Where KMS encrypts and no key is named, S3 takes its own of the account (Amazon S3 API Reference,
        ServerSideEncryptionByDefault).
        """
        named = bucket["kms_key_arn"]
        if bucket["encryption"] in _KMS and named in ("", NONE_SEEN):
            named = "alias/aws/s3"
        return self.of(named, bucket["account"], bucket["region"])
