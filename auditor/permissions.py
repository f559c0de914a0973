"""The least permissions that a scan and its deliveries need, made from the actions that the sources declare.

Three purposes: `scan` reads, and goes to the role in every account and to the service account on every project; `delivery`
sends alerts and puts reports where the configuration says; `caller` assumes the roles of `[aws] accounts`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any

from auditor.sources import NAMES, running, source

PURPOSES = ("scan", "delivery", "caller")
MOST_CHARACTERS = 6144
"""A managed policy has at most so many characters, white space not counted (IAM User Guide, "IAM and AWS STS quotas")."""
_FRAME = len('{"Version":"2012-10-17","Statement":[]}')

_LISTING = frozenset({"s3:ListBucket"})
_OBJECTS = frozenset({"s3:GetObject", "s3:GetObjectVersion"})
_VERSIONS = frozenset({"s3:ListBucketVersions"})
_NO_BUCKET = frozenset({"s3:GetAccountPublicAccessBlock", "s3:ListAllMyBuckets"})
_TRAILS = "*/AWSLogs/*/CloudTrail*"
"""Keys of CloudTrail's log and digest files, below any prefix (CloudTrail User Guide, "Finding your CloudTrail log files")."""

_MARKERS = "*_SUCCESS"
"""Keys of the markers that committers of Hadoop and Spark leave."""

_DELIVERED = "Files of CloudTrail and of S3 Inventory: any bucket, for the trail or the inventory names it"

_SENT_TO = {
    "sns": (re.compile(r"arn:aws[a-z-]*:sns:[^\s]+"), ("sns:Publish",)),
    "eventbridge": (re.compile(r"arn:aws[a-z-]*:events:[^\s]+:event-bus/[^\s]+"), ("events:PutEvents",)),
    "s3": (re.compile(r"s3://[a-z0-9][a-z0-9.-]+[a-z0-9](?:/[^\s]*)?"), ("s3:PutObject",)),
    "pubsub": (re.compile(r"projects/[^/\s]+/topics/[^/\s]+"), ("pubsub.topics.publish",)),
}
"""How a setting names each kind of receiver, and what sending to it takes."""


@dataclass(frozen=True, slots=True)
class Statement:
    """Actions that are allowed on the same resources, and why these."""

    sid: str
    """Letters and digits alone: IAM takes nothing else."""
    because: str
    actions: tuple[str, ...]
    resources: tuple[str, ...] = ("*",)
    condition: Mapping[str, Mapping[str, tuple[str, ...]]] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """Return the statement as it stands in a policy."""
        said: dict[str, Any] = {
            "Sid": self.sid,
            "Effect": "Allow",
            "Action": list(self.actions),
            "Resource": self.resources[0] if len(self.resources) == 1 else list(self.resources),
        }
        if self.condition:
            said["Condition"] = {
                how: {key: list(values) for key, values in keys.items()}
                for how, keys in self.condition.items()
            }
        return said


@dataclass(frozen=True, slots=True)
class Permissions:
    """What one purpose needs in both clouds."""

    purpose: str
    statements: tuple[Statement, ...] = ()
    gcp: tuple[str, ...] = ()
    """Permissions of a custom role, sorted."""

    @property
    def actions(self) -> tuple[str, ...]:
        """Every IAM action, sorted."""
        return tuple(sorted({action for each in self.statements for action in each.actions}))

    def policies(self) -> list[dict[str, Any]]:
        """Return the policy documents: one, or as many as the size of a managed policy asks for."""
        return [
            {"Version": "2012-10-17", "Statement": [each.document() for each in part]}
            for part in parted(self.statements)
        ]

    def statements_for(self, action: str) -> list[dict[str, Any]]:
        """Return the statements to add where this one action is denied: as many as there are kinds of resources it is for."""
        return [
            replace(each, actions=(action,)).document() for each in self.statements if action in each.actions
        ]


def permissions(
    config: Any | None, purpose: str, *, every: bool = False, sources: Sequence[str] = ()
) -> Permissions:
    """Return what a purpose needs: of the sources and receivers that a configuration names, or of `every` one.

    Without a configuration nothing is narrowed. `sources` asks for these alone.
    """
    if purpose == "scan":
        wanted = sources or (_running(config) if config is not None and not every else NAMES)
        return _scan(config, sorted(wanted))
    if purpose == "delivery":
        return _delivery(config, every=every)
    roles = sorted({each.role_arn for each in _accounts(config) if each.role_arn})
    because = "The roles of [aws] accounts; for whoever runs auditor, not for these roles themselves"
    told = (Statement("AssumeTheRolesOfTheConfiguration", because, ("sts:AssumeRole",), tuple(roles)),)
    return Permissions(purpose, told if roles else ())


def _running(config: Any) -> list[str]:
    return running({name: source(name) for name in NAMES}, config.sources)


def _accounts(config: Any | None) -> Sequence[Any]:
    return config.aws.accounts if config is not None else ()


def _scan(config: Any | None, names: Sequence[str]) -> Permissions:
    declared = {name: set(source(name).ACTIONS) for name in names}
    if "gcp_logging" in declared:
        declared["gcp_logging"] -= _unused(config)
    scope = _Scope(config)
    aws = {name: {each for each in actions if ":" in each} for name, actions in declared.items()}
    gcp = sorted({each for actions in declared.values() for each in actions if ":" not in each})
    return Permissions("scan", tuple(_statements(scope, aws)), tuple(gcp))


def _unused(config: Any | None) -> set[str]:
    """Return the actions that Cloud Logging's files would take where they stand nowhere near."""
    settings = config.sources.get("gcp_logging") if config is not None else None
    if settings is None:
        return set()
    unused = (
        set()
        if any(each.startswith("s3://") for each in settings.files)
        else {"s3:GetObject", "s3:ListBucket"}
    )
    return unused | (
        set()
        if any(each.startswith("gs://") for each in settings.files)
        else {"storage.objects.get", "storage.objects.list"}
    )


def _statements(scope: _Scope, by_source: Mapping[str, set[str]]) -> Iterator[Statement]:
    """Yield the statements: what cannot be narrowed first, then buckets, then objects."""
    every = {action for actions in by_source.values() for action in actions}
    on_s3 = {each for each in every if each.startswith("s3:")} - _NO_BUCKET
    of_buckets = on_s3 - _LISTING - _OBJECTS - _VERSIONS
    if left := every - on_s3 - {"kms:Decrypt"}:
        because = (
            "Lists and describes what an account holds: any resource, for the whole account is in scope, "
            "and most of these actions take no narrower one"
        )
        yield Statement("ReadWhatTheAccountHolds", because, tuple(sorted(left)))
    if of_buckets:
        because = "Settings of the buckets of [scope] buckets"
        yield Statement("ReadSettingsOfBucketsInScope", because, tuple(sorted(of_buckets)), scope.buckets())
    yield from _objects(scope, by_source)
    if "kms:Decrypt" in every:
        because = (
            "Files that S3 keeps under a KMS key: the configuration does not name the keys, so any, but through S3 alone. "
            "AWS classes it as a write; it changes nothing"
        )
        condition = {"StringLike": {"kms:ViaService": ("s3.*.amazonaws.com",)}}
        yield Statement("DecryptWhatIsReadFromS3", because, ("kms:Decrypt",), ("*",), condition)


def _objects(scope: _Scope, by_source: Mapping[str, set[str]]) -> Iterator[Statement]:
    """Yield what is listed in buckets and read of objects: of exports, trails, inventories and log files."""
    of_s3, trails = by_source.get("aws_s3", set()), by_source.get("aws_cloudtrail", set())
    exports = scope.exports()
    if versions := sorted(of_s3 & _VERSIONS):
        because = "Names and versions of objects, no contents, of any bucket in scope: a job may write where nothing is declared"
        yield Statement("ListObjectsOfBucketsInScope", because, tuple(versions), scope.buckets())
    if "s3:ListBucket" in of_s3:
        because = "Whether a bucket that an export is declared to go to is there"
        yield Statement("FindExportBuckets", because, ("s3:ListBucket",), scope.arns(exports))
    if "s3:GetObjectVersion" in of_s3:
        because = (
            "Markers in any bucket in scope; any object in the buckets that [exports], [[federation]] and [[buckets]] name, "
            "for how the newest one was replicated"
        )
        objects = {
            *(f"{each}/{_MARKERS}" for each in scope.buckets()),
            *(f"{each}/*" for each in scope.arns(exports)),
        }
        yield Statement("ReadMarkersOfExports", because, ("s3:GetObjectVersion",), tuple(sorted(objects)))
    prefixes = (("*AWSLogs/*",) if "s3:ListBucket" in trails else ()) + (
        tuple("*" if bucket == "*" else f"*{bucket}/*" for bucket in exports)
        if "s3:ListBucket" in of_s3
        else ()
    )
    if prefixes:
        because = f"{_DELIVERED}, below their own prefixes"
        condition = {"StringLike": {"s3:prefix": prefixes}}
        yield Statement("ListDeliveredFiles", because, ("s3:ListBucket",), scope.arns(("*",)), condition)
    files = ((_TRAILS,) if "s3:GetObject" in trails else ()) + (
        tuple("*" if bucket == "*" else f"*/{bucket}/*" for bucket in exports)
        if "s3:GetObject" in of_s3
        else ()
    )
    if files:
        because = f"{_DELIVERED}, by the form of their keys"
        yield Statement("ReadDeliveredFiles", because, ("s3:GetObject",), scope.arns(files))
    places = scope.log_files()
    if places and by_source.get("gcp_logging", set()) & _OBJECTS:
        because = "Files of Cloud Logging: [sources.gcp_logging] files"
        buckets = sorted({bucket for bucket, _ in places})
        yield Statement("ListLogFiles", because, ("s3:ListBucket",), scope.arns(buckets))
        files_there = scope.arns(sorted({f"{bucket}/{prefix}*" for bucket, prefix in places}))
        yield Statement("ReadLogFiles", because, ("s3:GetObject",), files_there)


class _Scope:
    """What the configuration says of buckets, as ARNs; without one, everything."""

    def __init__(self, config: Any | None) -> None:
        self._config = config
        arns = [each.role_arn for each in _accounts(config) if each.role_arn]
        self._partition = arns[0].split(":")[1] if arns else "aws"

    def arns(self, names: Iterable[str]) -> tuple[str, ...]:
        return tuple(f"arn:{self._partition}:s3:::{name}" for name in names)

    def buckets(self) -> tuple[str, ...]:
        """Return the buckets in scope; a glob that IAM has no word for is taken for all."""
        globs = sorted(set(self._config.scope.buckets.include)) if self._config is not None else ["*"]
        if not globs or "*" in globs or any("[" in each for each in globs):
            globs = ["*"]
        return self.arns(globs)

    def exports(self) -> tuple[str, ...]:
        """Return the buckets that exports are declared to go to; all of them where none is declared."""
        config = self._config
        if config is None:
            return ("*",)
        declared = (*config.exports, *config.federation)
        named = {each.bucket for each in declared if each.bucket} | {each.name for each in config.buckets}
        return tuple(sorted(named)) or ("*",)

    def log_files(self) -> list[tuple[str, str]]:
        """Return bucket and prefix of each place of log files in S3."""
        settings = self._config.sources.get("gcp_logging") if self._config is not None else None
        if settings is None:
            return [("*", "")]
        places = (
            each.removeprefix("s3://").partition("/") for each in settings.files if each.startswith("s3://")
        )
        return sorted(
            {(bucket, f"{prefix.rstrip('/')}/" if prefix.rstrip("/") else "") for bucket, _, prefix in places}
        )


def _delivery(config: Any | None, *, every: bool) -> Permissions:
    """Return what sending takes: to the receivers that settings of channels and reports name, or to any of each kind."""
    said = (
        sorted(_texts([config.alerts, config.report, getattr(config, "delivery", None)]))
        if config is not None
        else []
    )
    found = {
        kind: sorted({text.rstrip("/") for text in said if form.fullmatch(text)})
        for kind, (form, _) in _SENT_TO.items()
    }
    whole = every or config is None
    scope = _Scope(config)
    statements = []
    for kind, sid, because in (
        ("sns", "PublishAlerts", "Alerts to topics of Amazon SNS"),
        ("eventbridge", "PutAlertEvents", "Alerts to event buses of Amazon EventBridge"),
    ):
        if whole or found[kind]:
            on = tuple(found[kind]) if not whole else ("*",)
            statements.append(Statement(sid, because, _SENT_TO[kind][1], on))
    if whole or found["s3"]:
        places = [each.removeprefix("s3://") for each in found["s3"]] if not whole else ["*"]
        objects = scope.arns(f"{place}/*" for place in places)
        because = "Reports, bundles and receipts"
        statements.append(Statement("PutReports", because, ("s3:PutObject",), objects))
        because = "Retention of each report, where its bucket has Object Lock; put by nothing else"
        statements.append(Statement("LockReports", because, ("s3:PutObjectRetention",), objects))
        buckets = scope.arns(sorted({place.partition("/")[0] for place in places}))
        because = "Whether the bucket of reports has Object Lock"
        statements.append(
            Statement("SeeObjectLock", because, ("s3:GetBucketObjectLockConfiguration",), buckets)
        )
    gcp = _SENT_TO["pubsub"][1] if whole or found["pubsub"] else ()
    return Permissions("delivery", tuple(statements), gcp)


def _texts(value: Any) -> set[str]:
    """Return every text in settings."""
    if isinstance(value, str):
        return {value}
    if is_dataclass(value) and not isinstance(value, type):
        return _texts([getattr(value, each.name) for each in fields(value)])
    if isinstance(value, Mapping):
        return _texts(list(value.values()))
    return {text for each in value for text in _texts(each)} if isinstance(value, list | tuple) else set()


def parted(statements: Iterable[Statement], most: int = MOST_CHARACTERS) -> list[list[Statement]]:
    """Return statements in as few parts as fit a managed policy each, in their order; one too long is cut by its resources."""
    parts: list[list[Statement]] = []
    size = most + 1
    for each in (piece for whole in statements for piece in _cut(whole, most - _FRAME)):
        grown = size + _length(each) + 1
        if grown > most:
            parts.append([])
            grown = _FRAME + _length(each)
        parts[-1].append(each)
        size = grown
    return parts


def _length(statement: Statement) -> int:
    return len(json.dumps(statement.document(), separators=(",", ":"), ensure_ascii=False))


def _cut(statement: Statement, room: int) -> Iterator[Statement]:
    """Yield a statement, or it in halves until each fits: by resources, by values of its condition, then by actions."""
    if _length(statement) <= room:
        yield statement
        return
    halves: tuple[Statement, ...] = ()
    for name in ("resources", "actions"):
        values = getattr(statement, name)
        if len(values) > 1 and not halves:
            middle = len(values) // 2
            halves = tuple(
                replace(statement, **{name: part}, sid=f"{statement.sid}{letter}")
                for part, letter in ((values[:middle], "A"), (values[middle:], "B"))
            )
    for how, keys in statement.condition.items():
        for key, given in keys.items():
            if len(given) > 1 and len(statement.resources) == 1:
                middle = len(given) // 2
                halves = tuple(
                    replace(statement, condition={how: {key: part}}, sid=f"{statement.sid}{letter}")
                    for part, letter in ((given[:middle], "A"), (given[middle:], "B"))
                )
    if not halves:
        yield statement
        return
    for half in halves:
        yield from _cut(half, room)
