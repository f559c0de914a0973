"""What the emulated AWS remembers beside moto: one set of books per cloud, every time explicit, every id derived."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

Params = dict[str, Any]
"""What a caller asked for, parsed by botocore's model."""
Record = dict[str, Any]
"""One thing in the shape of AWS's replies; holds more members than any one reply."""

JOBS_KEPT = timedelta(days=30)
"""AWS Backup lists a job for 30 days (API reference, ListBackupJobs)."""


class Refused(Exception):  # noqa: N818 - AWS's answer, not a mistake of ours
    """The service's own refusal: its error code, words and HTTP status."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.status = status


def digest(*parts: object) -> str:
    """Return 64 hexadecimal digits that depend on these parts only."""
    return hashlib.sha256("\x1f".join(map(str, parts)).encode("utf-8", "surrogatepass")).hexdigest()


def derived_uuid(*parts: object) -> str:
    """Return a UUID that depends on these parts only."""
    return str(UUID(hex=digest(*parts)[:32], version=4))


def derived_id(prefix: str, *parts: object) -> str:
    """Return an IAM style id that depends on these parts only: a prefix such as AROA, then 16 letters and digits."""
    octets = bytes.fromhex(digest(*parts))
    return prefix + "".join("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"[octet % 32] for octet in octets[:16])


@dataclass(slots=True)
class BackupBook:
    """AWS Backup in one account and region."""

    account: str
    region: str
    vaults: dict[str, Record] = field(default_factory=dict)
    policies: dict[str, str] = field(default_factory=dict)
    notifications: dict[str, Record] = field(default_factory=dict)
    report_plans: dict[str, Record] = field(default_factory=dict)
    frameworks: dict[str, Record] = field(default_factory=dict)
    plans: dict[str, Record] = field(default_factory=dict)
    selections: dict[str, dict[str, Record]] = field(default_factory=dict)
    points: dict[str, Record] = field(default_factory=dict)
    backup_jobs: dict[str, Record] = field(default_factory=dict)
    copy_jobs: dict[str, Record] = field(default_factory=dict)
    restore_jobs: dict[str, Record] = field(default_factory=dict)
    tags: dict[str, dict[str, str]] = field(default_factory=dict)
    opted_in: dict[str, bool] = field(default_factory=lambda: {"S3": True})

    def arn(self, rest: str) -> str:
        """Return an ARN of this account and region; `rest` is `backup-vault:NAME` and the like."""
        return f"arn:aws:backup:{self.region}:{self.account}:{rest}"


@dataclass(slots=True)
class TrailBook:
    """CloudTrail in one account and region."""

    trails: dict[str, Record] = field(default_factory=dict)
    events: list[Record] = field(default_factory=list)
    """Management events, as `lookup_events` gives them, newest first."""


@dataclass(slots=True)
class Session:
    """Temporary credentials that STS issued: whose account they act in."""

    account: str
    arn: str
    user_id: str


@dataclass(slots=True)
class Books:
    """Everything one emulated AWS remembers beside moto's own state."""

    account: str
    """Account of callers whose key says nothing of one."""
    now: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    backup: dict[tuple[str, str], BackupBook] = field(default_factory=dict)
    trails: dict[tuple[str, str], TrailBook] = field(default_factory=dict)
    sessions: dict[str, Session] = field(default_factory=dict)
    user_keys: dict[str, str] = field(default_factory=dict)
    """Long-term access key -> account of its user."""
    keys_used: dict[str, Record] = field(default_factory=dict)
    """Long-term access key -> AccessKeyLastUsed; a key that is not here was never used."""
    aws_policies: dict[str, str] = field(default_factory=dict)
    """ARN of a policy of AWS's own -> its document; those that are not here are not shown."""
    public_blocks: dict[str, Record] = field(default_factory=dict)
    """Account -> its S3 public access block."""
    keys: dict[str, Record] = field(default_factory=dict)
    """ARN of a KMS key -> KeyMetadata, with its aliases, rotation and policy."""
    issued: int = 0
    """How many ids were made where no content told two apart."""
    lies: list[str] = field(default_factory=list)
    """Replies of ours that broke botocore's model."""

    def backup_of(self, account: str, region: str) -> BackupBook:
        """Return AWS Backup of one account and region."""
        return self.backup.setdefault((account, region), BackupBook(account, region))

    def trails_of(self, account: str, region: str) -> TrailBook:
        """Return CloudTrail of one account and region."""
        return self.trails.setdefault((account, region), TrailBook())

    def next_id(self) -> int:
        """Return a number never given before by these books."""
        self.issued += 1
        return self.issued


@dataclass(frozen=True, slots=True)
class Here:
    """Where one call arrives: the books, and the caller's account and region."""

    books: Books
    account: str
    region: str
    access_key: str = ""

    @property
    def backup(self) -> BackupBook:
        """AWS Backup, here."""
        return self.books.backup_of(self.account, self.region)

    @property
    def trails(self) -> TrailBook:
        """CloudTrail, here."""
        return self.books.trails_of(self.account, self.region)

    @property
    def now(self) -> datetime:
        """What the servers think the time is."""
        return self.books.now


def given(record: Mapping[str, Any]) -> Record:
    """Return a record without the members that are None."""
    return {name: value for name, value in record.items() if value is not None}
