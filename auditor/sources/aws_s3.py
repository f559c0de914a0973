"""Buckets with their settings, the account's own settings, and the objects of export buckets.

Calls, for A accounts, B buckets in scope, G regions that hold them, and S settings that the loaded
rules read (at most 10; 0 where those of an earlier scan stand): per account 1 GetCallerIdentity + 1 account
public access block + 1 ListBuckets per 10,000 buckets; per bucket S; tags ceil(tagged buckets / 100), at least 1, per
account and region. Objects: `listed_objects`. The fewest that tell these facts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from auditor.config_sections import Duration
from auditor.model import Bulk, Gap, Row, Seen
from auditor.sources._marked import marked
from auditor.sources._s3_objects import listed_objects
from auditor.sources._s3_settings import BLOCKS, SETTINGS, TAGS, UNBLOCKED, Setting, blocked, tagged
from auditor.sources.ask import Suspect, gap, guard, listed, need

if TYPE_CHECKING:
    from auditor.sources.ask import Ask

TABLES = ("aws_account", "s3_bucket", "s3_object_version", "s3_manifest", "s3_replica", "s3_listing")
AFTER = ("gcp_dataproc", "aws_backup", "aws_cloudtrail")
ACTIONS = (
    "kms:Decrypt",
    "s3:GetAccountPublicAccessBlock",
    "s3:GetBucketLocation",
    "s3:GetInventoryConfiguration",
    "s3:GetObject",
    "s3:GetObjectVersion",
    "s3:ListAllMyBuckets",
    "s3:ListBucket",
    "s3:ListBucketVersions",
    "sts:GetCallerIdentity",
    "tag:GetResources",
    TAGS.action,
    *(setting.action for setting in SETTINGS),
)
WORKERS = 16
FRESH = timedelta(hours=24)
"""A bucket younger than this may not be in the tagging API's index yet: its tags are asked of S3."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Buckets are found by listing each account; `[scope]` says which are left out."""

    inventory: bool = True
    """Read the objects of a bucket that exports go to from its S3 Inventory, where it has one; else they are listed."""
    inventory_max_age: Duration = 48 * 3600
    """An inventory that was begun longer ago is not read. A daily one comes within two days, says S3; a weekly one of
    six days ago would leave a week to be listed beside it."""
    inventory_margin: Duration = 24 * 3600
    """What was written less than this before an inventory was begun is listed too: it is complete in the long run only."""
    inventory_relist: Duration = 48 * 3600
    """Exports that ended less than this before that are listed too: what of them is deleted counts until they are
    captured. The time within which an export must be captured."""
    listing: Literal["bucket", "prefixes"] = "bucket"
    """What is listed of a bucket that no inventory tells of: all of it, or the prefixes that jobs and data events speak of
    (fewer calls; whatever else lies in the bucket is then not seen, and rules about it are unknown)."""


@dataclass(slots=True)
class _Bucket:
    """A bucket of a listing, with what was found out about it."""

    account: str
    name: str
    region: str
    """Empty when it could not be told."""
    created_at: datetime
    values: dict[str, Any] = field(default_factory=dict)
    gaps: list[Gap] = field(default_factory=list)
    stands: Seen | None = None
    """Its settings are those of an earlier scan."""

    @property
    def arn(self) -> str:
        return f"arn:aws:s3:::{self.name}"

    def missed(self, columns: tuple[str, ...], reason: str, detail: str) -> None:
        """Note that columns could not be read."""
        region = self.region or "*"
        for column in columns:
            scope = Seen("s3_bucket", self.account, region, f"{self.arn}#{column}")
            self.gaps.append(gap(scope, reason, detail))

    def row(self) -> Row:
        known = {
            "arn": self.arn,
            "bucket": self.name,
            "account": self.account,
            "region": self.region or None,
            "created_at": self.created_at,
        }
        return Row("s3_bucket", known | self.values)


def collect(ask: Ask) -> Iterator[Row | Bulk | Seen | Gap]:
    """Read accounts, buckets, settings and tags; then the objects of the export buckets."""
    homes: dict[str, tuple[str, str]] = {}
    replicated: set[str] = set()
    unversioned: set[str] = set()
    for account in ask.accounts():
        yield from _account(ask, account)
        buckets: list[_Bucket] = []
        yield from _listed_buckets(ask, account, buckets)
        _watch(ask, buckets)
        _read_tags(ask, buckets)
        for bucket in ask.side_by_side(WORKERS, lambda one: _ask_settings(ask, one), buckets):
            yield bucket.row()
            yield from bucket.gaps
            if bucket.stands:
                yield bucket.stands
            homes[bucket.name] = (bucket.account, bucket.region or "us-east-1")
            if bucket.values.get("replication"):
                replicated.add(bucket.name)
            if bucket.values.get("versioning") == "Off":
                unversioned.add(bucket.name)
    exports = sorted(ask.export_buckets())
    found = [name for name in exports if name in homes]
    yield from listed_objects(ask, homes, found, replicated, unversioned)
    for name in exports:
        if name not in homes:
            yield from _nowhere(ask, name)


def _account(ask: Ask, account: str) -> Iterator[Row | Seen | Gap]:
    values: dict[str, Any] = {"account": account}
    with guard(Seen("aws_account", account)) as read:
        identity = ask.clients.aws("sts", account).get_caller_identity()
        values["caller_arn"] = need(identity, "Arn")
    wanted = _wanted(ask, "aws_account", tuple(BLOCKS))
    scopes = [Seen("aws_account", account, "*", f"{account}#{column}") for column in wanted]
    with guard(*scopes) as block:
        if wanted:
            values |= _account_block(ask, account)
    yield Row("aws_account", values)
    yield from read
    if not block.ok:
        yield from block


def _account_block(ask: Ask, account: str) -> dict[str, bool]:
    from botocore.exceptions import ClientError

    client = ask.clients.aws("s3control", account)
    # Endpoint rules put the account before the host; a loopback address has no such names below it.
    client.meta.events.register(
        "before-call.s3-control", _without_account_host, unique_id="auditor-account-host"
    )
    try:
        return blocked(client.get_public_access_block(AccountId=account))
    except ClientError as error:
        if error.response["Error"]["Code"] == "NoSuchPublicAccessBlockConfiguration":
            return dict(UNBLOCKED)
        raise


def _without_account_host(params: dict[str, Any], **_: Any) -> None:
    """Drop `ACCOUNT.` from the host of a request that does not go to AWS."""
    from urllib.parse import urlsplit, urlunsplit

    url = urlsplit(params["url"])
    account, _dot, host = url.netloc.partition(".")
    if account.isdigit() and len(account) == 12 and "amazonaws." not in host:
        params["url"] = urlunsplit(url._replace(netloc=host))


def _listed_buckets(ask: Ask, account: str, buckets: list[_Bucket]) -> Iterator[Seen | Gap]:
    """List the buckets in scope into `buckets`, sorted by name."""
    also = [Seen(table, account) for table in ("s3_object_version", "s3_manifest", "s3_replica")]
    with guard(Seen("s3_bucket", account), also=also) as read:
        client = ask.clients.aws("s3", account)
        for page in marked(
            client.list_buckets,
            {"ContinuationToken": "ContinuationToken"},
            "Buckets",
            more="",
            MaxBuckets=10_000,
        ):
            found = (_bucket(account, item) for item in listed(page, "Buckets"))
            buckets.extend(bucket for bucket in found if ask.bucket_in(bucket.name))
    buckets.sort(key=lambda bucket: bucket.name)
    unplaced = [bucket for bucket in buckets if not bucket.region]
    for bucket, region in zip(
        unplaced, ask.side_by_side(WORKERS, lambda one: _region(ask, one), unplaced), strict=True
    ):
        bucket.region = region
    yield from read


def _bucket(account: str, item: Mapping[str, Any]) -> _Bucket:
    region = item.get("BucketRegion", "")
    return _Bucket(account, need(item, "Name"), region, need(item, "CreationDate"))


def _region(ask: Ask, bucket: _Bucket) -> str:
    """Ask where a bucket is, for an endpoint whose listing does not say; one call."""
    with guard(Seen("s3_bucket", bucket.account), action="s3:GetBucketLocation") as read:
        client = ask.clients.aws("s3", bucket.account)
        said = client.get_bucket_location(Bucket=bucket.name).get("LocationConstraint")
        return "eu-west-1" if said == "EU" else str(said or "us-east-1")
    bucket.missed(("region",), read.reason, read.detail)
    return ""


def _wanted(ask: Ask, table: str, columns: tuple[str, ...]) -> tuple[str, ...]:
    wanted = ask.wanted(table)
    return tuple(column for column in columns if wanted is None or column in wanted)


def _ask_settings(ask: Ask, bucket: _Bucket) -> _Bucket:
    """Make each call that a wanted column needs; a refusal costs only its own columns."""
    if _stands(ask, bucket):
        return bucket
    for setting in SETTINGS:
        if columns := _wanted(ask, "s3_bucket", setting.columns):
            _ask_setting(ask, bucket, setting, columns)
    return bucket


def _stands(ask: Ask, bucket: _Bucket) -> bool:
    """Take the settings that an earlier scan read, where nothing wrote to them since: for this very bucket, and all."""
    stood = bucket.region and ask.standing("s3_bucket", bucket.account, bucket.region, bucket.arn)
    if not stood or len(stood.rows) != 1 or stood.rows[0]["created_at"] != bucket.created_at:
        return False
    columns = [column for setting in SETTINGS for column in _wanted(ask, "s3_bucket", setting.columns)]
    if any(stood.rows[0][column] is None for column in columns):
        return False
    bucket.values |= {column: stood.rows[0][column] for column in columns}
    bucket.stands = Seen(
        "s3_bucket", bucket.account, bucket.region, bucket.arn, observed_at=stood.observed_at
    )
    return True


def _watch(ask: Ask, buckets: list[_Bucket]) -> None:
    """Let answers that are empty when nothing is set tell whether they came from S3."""
    for account, region in sorted({(one.account, one.region or "us-east-1") for one in buckets}):
        events = ask.clients.aws("s3", account, region).meta.events
        for operation in ("GetBucketVersioning", "GetBucketLogging", "GetBucketNotificationConfiguration"):
            events.register(f"after-call.s3.{operation}", _note_namespace, unique_id=f"auditor-{operation}")


def _note_namespace(parsed: dict[str, Any], http_response: Any, **_: Any) -> None:
    parsed["Namespaced"] = b"xmlns" in http_response.content[:1024]


def _whole(setting: Setting, reply: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the reply; Suspect when it is bare and lacks the namespace of every answer of S3."""
    if setting.bare and not reply.get("Namespaced"):
        raise Suspect("the answer is empty, and not as S3 writes it")
    return reply


def _ask_setting(ask: Ask, bucket: _Bucket, setting: Setting, columns: tuple[str, ...]) -> None:
    from botocore.exceptions import ClientError

    scope = Seen("s3_bucket", bucket.account, bucket.region or "*", bucket.arn)
    with guard(scope, action=setting.action) as read:
        client = ask.clients.aws("s3", bucket.account, bucket.region or "us-east-1")
        try:
            reply = getattr(client, setting.operation)(Bucket=bucket.name)
            found = setting.read(_whole(setting, reply))
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "")
            if code not in setting.absent:
                raise
            found = dict(setting.absent[code])
        bucket.values |= {column: found[column] for column in columns}
    if not read.ok:
        bucket.missed(columns, read.reason, read.detail)


def _read_tags(ask: Ask, buckets: list[_Bucket]) -> None:
    """Read the tags of all buckets, 100 a call; one call a bucket where that is denied.

    GetResources returns "all the tagged or previously tagged resources" of a region (Resource
    Groups Tagging API Reference), so a bucket that a complete listing leaves out has no tags.
    """
    if not _wanted(ask, "s3_bucket", TAGS.columns):
        return
    by_place: dict[tuple[str, str], list[_Bucket]] = {}
    for bucket in buckets:
        by_place.setdefault((bucket.account, bucket.region), []).append(bucket)
    alone = []
    for (account, region), here in sorted(by_place.items()):
        fresh = [bucket for bucket in here if ask.now - bucket.created_at < FRESH]
        settled = [bucket for bucket in here if bucket not in fresh] if region else []
        alone += fresh if region else here
        if settled:
            alone += _tags_of_region(ask, account, region, settled)
    for _ in ask.side_by_side(WORKERS, lambda bucket: _ask_setting(ask, bucket, TAGS, TAGS.columns), alone):
        pass


def _tags_of_region(ask: Ask, account: str, region: str, buckets: list[_Bucket]) -> list[_Bucket]:
    """Set the tags of `buckets`; returns those that have to be asked one by one."""
    found: dict[str, dict[str, str]] = {}
    with guard(Seen("s3_bucket", account, region), action="tag:GetResources") as read:
        client = ask.clients.aws("resourcegroupstaggingapi", account, region)
        for page in marked(
            client.get_resources,
            {"PaginationToken": "PaginationToken"},
            "ResourceTagMappingList",
            more="",
            ResourceTypeFilters=["s3"],
            ResourcesPerPage=100,
        ):
            for item in listed(page, "ResourceTagMappingList"):
                found[need(item, "ResourceARN")] = tagged(listed(item, "Tags"))
    if read.reason == "denied":
        return buckets
    for bucket in buckets:
        if bucket.arn in found:
            bucket.values["tags"] = found[bucket.arn]
        elif read.ok:
            bucket.values["tags"] = {}
        else:
            bucket.missed(TAGS.columns, read.reason, read.detail)
    return []


def _nowhere(ask: Ask, name: str) -> Iterator[Gap]:
    """Say that an export bucket is in no account that was seen; one call tells gone from foreign."""
    from botocore.exceptions import ClientError

    reason, detail = "not_configured", f"{name} is left out of the scope, or no account is in it"
    accounts = ask.accounts()
    if accounts and ask.bucket_in(name):
        detail = f"{name} is in no account that could be listed: add its account to the scope"
        with guard(Seen("s3_bucket", accounts[0])) as read:
            try:
                ask.clients.aws("s3", accounts[0]).head_bucket(Bucket=name)
            except ClientError as error:
                status = error.response["ResponseMetadata"]["HTTPStatusCode"]
                if status == 404:
                    reason, detail = "failed", f"{name}: S3 knows no such bucket"
                elif status != 301:
                    raise
        if not read.ok:
            reason = read.reason
            detail = f"{detail} ({read.detail})"
    for table in ("s3_bucket", "s3_object_version", "s3_manifest", "s3_replica"):
        yield Gap(table, "*", "*", f"arn:aws:s3:::{name}", reason, detail)
