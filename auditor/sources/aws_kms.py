"""KMS keys that what we look at is encrypted with: only those that a bucket, a vault or a recovery point names.

Calls, for K named keys of accounts in scope: 1 DescribeKey each; for a customer's key also 1 GetKeyPolicy, and 1
GetKeyRotationStatus where it can rotate by itself; none where what an earlier scan read stands.
Keys are never listed: nobody needs the others. A key of an account
that is not in scope is named, and nothing of it is known.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from auditor.model import Gap, Row, Seen
from auditor.sources.ask import Malformed, gap, guard, need

if TYPE_CHECKING:
    from auditor.sources.ask import Ask

TABLES = ("kms_key",)
AFTER = ("aws_backup", "aws_s3")
ACTIONS = ("kms:DescribeKey", "kms:GetKeyPolicy", "kms:GetKeyRotationStatus")
WORKERS = 8
NONE = ("", "none")
GONE = "gone"
"""The state of a key that KMS knows no more: what it encrypted cannot be read again."""
_NAMES = frozenset({"account", "region", "named_as"})
NAMED_IN = ("s3_bucket", "backup_vault", "backup_recovery_point")


@dataclass(frozen=True, slots=True)
class Settings:
    """Keys are found by the buckets, vaults and recovery points that name them."""


@dataclass(slots=True)
class _Key:
    """A name of a key, made whole, with what KMS said of it."""

    name: str
    """ARN of the key or of an alias of it."""
    account: str
    region: str
    named_as: set[str] = field(default_factory=set)
    values: dict[str, Any] = field(default_factory=dict)
    gaps: list[Gap] = field(default_factory=list)
    stands: Seen | None = None
    exists: bool = True


def collect(ask: Ask) -> Iterator[Row | Seen | Gap]:
    """Describe every key that was named."""
    found: dict[str, _Key] = {}
    for key in ask.side_by_side(WORKERS, lambda one: _read(ask, one), _named(ask)):
        if not key.exists:
            continue
        same = found.setdefault(key.values.get("arn", key.name), key)
        same.named_as |= key.named_as
    for arn, key in sorted(found.items()):
        place = {"account": key.account, "region": key.region}
        yield Row("kms_key", {"arn": arn, **place, "named_as": sorted(key.named_as), **key.values})
        yield from key.gaps
        if key.stands:
            yield key.stands
    unread = _unread(ask)
    for account in ask.accounts():
        for region in ask.regions(account):
            seen = Seen("kms_key", account, region)
            if buckets := unread.get((account, region)):
                some = (
                    f"the encryption of {buckets[0]} and {len(buckets) - 1} more buckets"
                    if buckets[1:]
                    else buckets[0]
                )
                yield gap(
                    seen, "suspect", f"what key is named is not known of {some}: its key may not be here"
                )
            else:
                yield seen


def _named(ask: Ask) -> list[_Key]:
    """Return every key that something names, by its whole name."""
    keys: dict[str, _Key] = {}
    for table in NAMED_IN:
        for said in ask.collected(table):  # one by one: there may be more points than memory
            name = said.get("kms_key_arn")
            if name in NONE and str(said.get("encryption") or "").startswith("aws:kms"):
                name = "alias/aws/s3"  # S3 takes its own key of the account where none is named
            if not name or name in NONE or not said.get("region"):
                continue
            whole = whole_name(name, said["account"], said["region"])
            _, _, _, region, account, _ = whole.split(":", 5)
            key = keys.setdefault(whole, _Key(whole, account, region))
            key.named_as |= {name, whole}
    return [key for _, key in sorted(keys.items())]


def _unread(ask: Ask) -> dict[tuple[str, str], list[str]]:
    """Return the buckets whose encryption could not be read, by their place: a key that they alone name is not found."""
    found: dict[tuple[str, str], list[str]] = {}
    for bucket in ask.collected("s3_bucket"):
        if bucket.get("kms_key_arn") is None and bucket.get("encryption") is None and bucket.get("region"):
            found.setdefault((bucket["account"], bucket["region"]), []).append(bucket["arn"])
    return found


def whole_name(name: str, account: str, region: str) -> str:
    """Return the ARN that a resource means by a key id, a key's ARN, or either form of an alias."""
    if name.count(":") >= 5:
        return name
    kind = "" if name.startswith(("alias/", "key/")) else "key/"
    return f"arn:aws:kms:{region}:{account}:{kind}{name}"


def _read(ask: Ask, key: _Key) -> _Key:
    scope = Seen("kms_key", key.account, key.region, key.name)
    if key.account not in ask.accounts():
        detail = f"{key.account} is not among [aws] accounts: what it says of its key cannot be asked"
        key.gaps.append(gap(scope, "not_configured", detail))
        return key
    if _stands(ask, key):
        return key
    with guard(scope, action="kms:DescribeKey") as read:
        _describe(ask, key)
    if not read.ok:
        key.gaps.append(gap(scope, read.reason, read.detail))
    elif key.values.get("manager") == "CUSTOMER":
        _read_customers(ask, key)
    return key


def _stands(ask: Ask, key: _Key) -> bool:
    """Take what an earlier scan read of a key, where nothing wrote to it since; what an alias leads to is asked anew."""
    if ":key/" not in key.name:
        return False
    stood = ask.standing("kms_key", key.account, key.region, key.name)
    if not stood or len(stood.rows) != 1:
        return False
    key.values |= {column: value for column, value in stood.rows[0].items() if column not in _NAMES}
    key.stands = Seen("kms_key", key.account, key.region, key.name, observed_at=stood.observed_at)
    return True


def _describe(ask: Ask, key: _Key) -> None:
    from botocore.exceptions import ClientError

    client = ask.clients.aws("kms", key.account, key.region)
    try:
        said = need(client.describe_key(KeyId=key.name), "KeyMetadata")
    except ClientError as error:
        if error.response["Error"]["Code"] != "NotFoundException":
            raise
        # Aliases of AWS come with the first use of their key; any other name that leads nowhere is a lost key.
        key.exists = ":alias/aws/" not in key.name
        key.values["state"] = GONE
        return
    key.values |= {
        "arn": need(said, "Arn"),
        "manager": need(said, "KeyManager"),
        "state": need(said, "KeyState"),
        "deletion_at": said.get("DeletionDate"),
        "origin": said.get("Origin"),
        "spec": said.get("KeySpec"),
        "multi_region": said.get("MultiRegion"),
    }


def _read_customers(ask: Ask, key: _Key) -> None:
    """Ask what only a customer's key has: a policy of its own, and rotation that may be off."""
    if key.values["state"] not in ("PendingDeletion", "PendingReplicaDeletion") and rotates_itself(
        key.values
    ):
        _ask(ask, key, "rotation", "kms:GetKeyRotationStatus")
    _ask(ask, key, "policy", "kms:GetKeyPolicy")


def rotates_itself(key: Mapping[str, Any]) -> bool | None:
    """Tell whether KMS can rotate a key of its own accord: one symmetric, with material that KMS made.

    AWS KMS Developer Guide, "Rotate AWS KMS keys".
    """
    if key.get("spec") is None or key.get("origin") is None:
        return None
    return bool(key["spec"] == "SYMMETRIC_DEFAULT" and key["origin"] == "AWS_KMS")


def _ask(ask: Ask, key: _Key, column: str, action: str) -> None:
    scope = Seen("kms_key", key.account, key.region, f"{key.values['arn']}#{column}")
    with guard(scope, action=action) as read:
        client = ask.clients.aws("kms", key.account, key.region)
        if column == "rotation":
            reply = client.get_key_rotation_status(KeyId=key.values["arn"])
            key.values["rotation"] = bool(need(reply, "KeyRotationEnabled"))
        else:
            key.values["policy"] = _policy(client.get_key_policy(KeyId=key.values["arn"]))
    if not read.ok:
        key.gaps.append(gap(scope, read.reason, read.detail))


def _policy(reply: Mapping[str, Any]) -> str:
    policy = str(need(reply, "Policy"))
    try:
        json.loads(policy)
    except (ValueError, RecursionError) as error:
        raise Malformed(f"the answer is no policy: {error}") from None
    return policy
