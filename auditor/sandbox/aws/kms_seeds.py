"""Seed KMS: keys that a bucket or a vault names exist by being named; others, and what is wrong with one, are put here."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from auditor.sandbox.aws.books import Books, Record, derived_uuid
from auditor.sandbox.aws.judge import judge_member

_MADE = datetime(2025, 1, 1, tzinfo=UTC)


def own_policy(account: str) -> str:
    """Return the policy that KMS gives a new key: the account decides (AWS KMS Developer Guide, "Default key policy")."""
    statement = {
        "Sid": "Enable IAM User Permissions",
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{account}:root"},
        "Action": "kms:*",
        "Resource": "*",
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def known_key(books: Books, name: str) -> str:
    """Make sure that there is a key of this ARN, or a key of AWS behind an alias of AWS; returns the key's own ARN."""
    _, _, _, region, account, rest = name.split(":", 5)
    if rest.startswith("alias/"):
        for arn, key in books.keys.items():
            if name in key["aliases"]:
                return arn
        own = f"arn:aws:kms:{region}:{account}:key/{derived_uuid(rest, account, region)}"
        key = _key(own, manager="AWS" if rest.startswith("alias/aws/") else "CUSTOMER")
        books.keys[own] = key | {"aliases": [name]}
        return own
    books.keys.setdefault(name, _key(name))
    return name


def named_key(books: Books, name: str, *, alias: str = "") -> str:
    """Return the name of a key that something is made with, and see that it is there; `alias`: AWS's own key."""
    if name.startswith("arn:aws:kms:"):
        arn = known_key(books, name)
        if alias:
            *place, _ = name.split(":", 5)
            books.keys[arn] |= {"KeyManager": "AWS", "aliases": [":".join((*place, alias))]}
    return name


def _key(arn: str, *, manager: str = "CUSTOMER") -> Record:
    _, _, _, _, account, rest = arn.split(":", 5)
    record: Record = {
        "AWSAccountId": account,
        "KeyId": rest.partition("/")[2],
        "Arn": arn,
        "CreationDate": _MADE,
        "Enabled": True,
        "Description": "",
        "KeyUsage": "ENCRYPT_DECRYPT",
        "KeyState": "Enabled",
        "Origin": "AWS_KMS",
        "KeyManager": manager,
        "KeySpec": "SYMMETRIC_DEFAULT",
        "MultiRegion": False,
        "aliases": [],
        "rotation": True,
        "policy": own_policy(account),
    }
    judge_member("kms", "KeyMetadata", record)
    return record


class KmsSeeds:
    """Put, change and drop keys, without a request."""

    books: Books

    def put_key(
        self, account: str, region: str, name: str, *, aliases: Sequence[str] = (), **changes: Any
    ) -> str:
        """Make a key and return its ARN; `changes` as of `set_key`."""
        arn = known_key(
            self.books, f"arn:aws:kms:{region}:{account}:key/{derived_uuid('kms', account, region, name)}"
        )
        self.books.keys[arn]["aliases"] = [f"arn:aws:kms:{region}:{account}:alias/{each}" for each in aliases]
        self.set_key(arn, **changes)
        return arn

    def set_key(self, arn: str, **changes: Any) -> None:
        """Change rotation (a bool), policy (a document), state, deletion_at, origin or spec of a key."""
        key = self.books.keys[arn]
        named = {
            "state": "KeyState", "deletion_at": "DeletionDate", "origin": "Origin", "spec": "KeySpec", "manager": "KeyManager",
        }  # fmt: skip
        for setting, value in changes.items():
            if setting in ("rotation", "policy"):
                key[setting] = json.dumps(value) if isinstance(value, dict) else value
            else:
                key[named[setting]] = value
        key["Enabled"] = key["KeyState"] == "Enabled"
        judge_member("kms", "KeyMetadata", key)

    def drop_key(self, arn: str) -> None:
        """Delete a key: whoever names it is told that there is none."""
        self.books.keys.pop(arn, None)
