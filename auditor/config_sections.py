"""The sections of config.toml as frozen values. A field's docstring is its line in the reference.

Durations are held in seconds. -1 says that nothing is demanded, None that nobody said.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

Duration = Annotated[int, "duration"]
Limit = Annotated[int | None, "limit"]
"""A duration, or "none" where the zone asks for nothing."""
Days = Annotated[int | None, "days"]
"""Days, or "none" where the zone asks for nothing."""
AccountId = Annotated[str, "account"]
RoleArn = Annotated[str, "role_arn"]
Glob = Annotated[str, "glob"]
Secret = Annotated[str, "secret"]
Required = Annotated[str, "required"]
Day = Annotated[str, "day"]
"""A day in UTC, as 2026-01-31; empty where it may be left open."""
Prefix = Annotated[str, "prefix"]


@dataclass(frozen=True, slots=True)
class State:
    """Where the product keeps what it remembers."""

    dir: str = "auditor-state"
    """Folder of the ledger and the snapshots; relative to where the command runs."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a scan may use."""

    workers: int = 16
    """Calls at once, over all sources."""
    attempts: int = 4
    """Attempts a call has when the service throttles or fails."""
    connect_timeout_s: int = 10
    """Seconds to wait for a connection."""
    read_timeout_s: int = 60
    """Seconds to wait for an answer."""
    source_budget_s: int = 900
    """Seconds one source may take in one scan; what is left then is a gap."""
    memory_mb: int = 1024
    """Most memory the engine may take; it begins with less, and what does not fit spills to disk."""
    spill_mb: int = 20_000
    """Most that the engine may spill into a temporary folder; a scan that needs more ends, and nothing of it is recorded."""
    keep_raw: bool = False
    """Keep the answers of both clouds as received beside each snapshot."""

    @property
    def budget_s(self) -> int:
        """Seconds one source may take."""
        return self.source_budget_s


@dataclass(frozen=True, slots=True)
class Account:
    """An AWS account in scope."""

    id: AccountId
    """Account id: 12 digits, in quotes."""
    role_arn: RoleArn = ""
    """Role to assume there; empty: the credentials at hand."""
    external_id: str = ""
    """External id that the role's trust policy asks for; empty: none."""
    regions: tuple[str, ...] = ()
    """Regions of this account; empty: those of [aws]."""


@dataclass(frozen=True, slots=True)
class Aws:
    """Amazon Web Services."""

    endpoint: str = ""
    """One URL for every service, for a sandbox; empty in production."""
    regions: tuple[str, ...] = ()
    """Regions of every account that names none of its own."""
    accounts: tuple[Account, ...] = ()
    """Accounts in scope."""


@dataclass(frozen=True, slots=True)
class Gcp:
    """Google Cloud."""

    endpoint: str = ""
    """One URL for every service, for a sandbox; empty in production."""
    projects: tuple[str, ...] = ()
    """Projects in scope."""
    regions: tuple[str, ...] = ()
    """Regions of every project."""


@dataclass(frozen=True, slots=True)
class Exclusion:
    """Something kept out of scope, and who said so."""

    kind: Literal["bucket", "project", "account", "region", "role"]
    """What is kept out: bucket, project, account, region or role."""
    match: Glob
    """Glob on its name."""
    reason: Required
    """Why."""
    approved_by: Required
    """Who approved it."""


@dataclass(frozen=True, slots=True)
class ScopeFile:
    """What is looked at, as the file says it."""

    buckets: tuple[Glob, ...] = ("*",)
    """Globs of buckets in scope."""
    exclude: tuple[Exclusion, ...] = ()
    """What is kept out of it."""


@dataclass(frozen=True, slots=True)
class Buckets:
    """Which buckets are in scope: one that is included and not excluded."""

    include: tuple[str, ...] = ("*",)
    exclude: tuple[Exclusion, ...] = ()


@dataclass(frozen=True, slots=True)
class Scope:
    """What is looked at."""

    buckets: Buckets = field(default_factory=Buckets)
    exclude: tuple[Exclusion, ...] = ()


@dataclass(frozen=True, slots=True)
class Scan:
    """When scans run and what they keep."""

    schedule: Duration = 7 * 86400
    """Time between two scans."""
    lookback: Duration = 30 * 86400
    """How far back the first scan reads events."""
    full: Duration = 7 * 86400
    """A scan this long after the last full pass reads everything anew, and proves what was carried until then."""
    carry_max_age: Duration = 86400
    """A setting that nothing wrote to is read anew after this long. 0: nothing is carried."""
    max_age: Duration = 7 * 86400
    """What was read longer ago than this counts as not seen, whatever was carried."""


@dataclass(frozen=True, slots=True)
class Snapshots:
    """How long snapshots stay on disk; the ledger is never pruned."""

    keep: Duration = 400 * 86400
    """Every snapshot is kept this long."""
    window: Duration = 400 * 86400
    """As long, at least, are those that a bundle carries: the last scan of each week, and scans that moved a finding."""


@dataclass(frozen=True, slots=True)
class Horizons:
    """How late evidence may be, and how far clocks may differ."""

    cloudtrail: Duration = 3600
    """CloudTrail is settled this long after a window's end."""
    logging: Duration = 3600
    """Cloud Logging is settled this long after a window's end."""
    listing: Duration = 0
    """A listing is settled this long after a window's end."""
    skew: Duration = 120
    """How far two clocks may differ."""
    grace: Duration = 3600
    """How long access may outlive a person's end."""


@dataclass(frozen=True, slots=True)
class CopyTo:
    """A required destination of copies."""

    account: AccountId
    """Account of the copy."""
    region: Required
    """Region of the copy."""
    retention_d: Days = None
    """Days the copy must be kept; the zone's own when not given."""


@dataclass(frozen=True, slots=True)
class ZoneFile:
    """A class of data and what is demanded of it. What is not said is unknown; "none" asks for nothing."""

    policy_ref: Required
    """The policy that says so."""
    approved_by: Required
    """Who approved these limits."""
    capture: Limit = None
    """An export must be in a recovery point this long after its end."""
    retention_d: Days = None
    """Days a recovery point must be kept."""
    copy_lag: Limit = None
    """A copy must be complete this long after the recovery point."""
    copy_to: tuple[CopyTo, ...] | None = None
    """Required destinations: {account, region, retention_d}; [] asks for no copy."""
    bucket_min_d: Days = None
    """Days the bucket itself must keep the objects."""
    regions: tuple[str, ...] | None = None
    """Regions that data of this zone may be in."""
    supersede: bool = False
    """A proven re-run may supersede an export that it overwrote."""
    preset: str = ""
    """Named limits that the rules of this zone start from, such as hipaa-proposed; empty: none."""
    rules: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Parameters of rules, by id or code, that differ in this zone."""


@dataclass(frozen=True, slots=True)
class Zone(ZoneFile):
    """A zone with its name and rank."""

    name: str = ""
    rank: int = 0
    """0 is the strictest."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket the configuration speaks of."""

    name: Required
    """Name."""
    zone: str = ""
    """Its zone, where it has no tag of its own."""
    owner: str = ""
    """Owner's e-mail."""


@dataclass(frozen=True, slots=True)
class ExportFile:
    """A declared export."""

    bucket: Required
    """Bucket it writes to."""
    project: Glob = "*"
    """Glob of projects."""
    job_id: str = ""
    """Glob of job ids; empty: only by label."""
    prefix: Prefix = ""
    """Prefix, ends in /; {date}, {job_id} and * stand for one run's part."""
    every: Limit = -1
    """Expected interval; "none" when it has none."""
    retry: Duration = 6 * 3600
    """A failed run must be repeated within this."""
    complete: Literal["manifest", "marker", "none"] = "marker"
    """How a run attests that it is complete: manifest, marker or none."""
    owner: str = ""
    """Owner's e-mail."""


@dataclass(frozen=True, slots=True)
class Export(ExportFile):
    """A declared export with its name."""

    name: str = ""


@dataclass(frozen=True, slots=True)
class Federation:
    """How exports reach S3."""

    role_arn: RoleArn
    """Export role."""
    provider: str = "accounts.google.com"
    """Identity provider as CloudTrail writes it."""
    audiences: tuple[str, ...] = ()
    """Accepted audiences."""
    subject_of: str = ""
    """Service account this role is for; empty: any with a subject in [subjects]."""
    bucket: str = ""
    """Bucket it writes; empty: not said."""
    prefix: Prefix = ""
    """Prefix it writes, ends in /; empty: the whole bucket."""


@dataclass(frozen=True, slots=True)
class Writer:
    """A declared writer beside the jobs: replication, restore, inventory, log delivery."""

    match: Glob
    """Glob on the principal's ARN or service name."""
    reason: Required
    """What it is."""
    bucket: Glob = "*"
    """Glob on the bucket."""


@dataclass(frozen=True, slots=True)
class Duty:
    """Which group may trigger what, where, and into which zone."""

    group: Required
    """Group in the directory."""
    directory: Literal["", "csv", "scim", "okta", "google"] = ""
    """Directory of the group; empty: whichever has it, and nobody's while two have one of that name."""
    kinds: tuple[Literal["*", "job", "batch", "session", "workflow"], ...] = ("*",)
    """What it may start: job, batch, session, or workflow for jobs that a workflow template starts; "*" for all."""
    projects: tuple[Glob, ...] = ("*",)
    """Globs of projects."""
    regions: tuple[Glob, ...] = ("*",)
    """Globs of regions."""
    job_ids: tuple[Glob, ...] = ("*",)
    """Globs of job ids."""
    zones: tuple[str, ...] = ("*",)
    """Zones of the exports; "*" for all."""


@dataclass(frozen=True, slots=True)
class Automation:
    """A registered automation that may trigger jobs under a named owner."""

    principal: Required
    """Service account e-mail, or the whole principal of a workload identity pool."""
    owner: Required
    """Owner's e-mail, a person of the directory."""
    kind: Literal["service_account", "workflow", "agent"] = "service_account"
    """service_account, workflow, or agent: an agent decides for itself, so its owner's own duties must cover the job too."""
    kinds: tuple[Literal["*", "job", "batch", "session", "workflow"], ...] = ("*",)
    """What it may start, as of [[duties]]."""
    projects: tuple[Glob, ...] = ("*",)
    """Globs of projects."""
    regions: tuple[Glob, ...] = ("*",)
    """Globs of regions."""
    job_ids: tuple[Glob, ...] = ("*",)
    """Globs of job ids."""
    zones: tuple[str, ...] = ("*",)
    """Zones of the exports; "*" for all."""


@dataclass(frozen=True, slots=True)
class WorkforcePool:
    """A workforce identity pool and the directory its people are in."""

    pool: Required
    """Id of the pool, as in principal://iam.googleapis.com/locations/global/workforcePools/POOL."""
    directory: Literal["csv", "scim", "okta", "google"]
    """Directory that knows its subjects."""
    subject: Literal["subject", "email"] = "subject"
    """What google.subject is mapped to: the directory's subject, or its e-mail."""


@dataclass(frozen=True, slots=True)
class Provider:
    """A declared identity provider."""

    url: Required
    """Issuer host and path, without scheme."""
    client_ids: tuple[str, ...] = ()
    """Audiences."""
    thumbprints: tuple[str, ...] = ()
    """Thumbprints; [] when not pinned."""


@dataclass(frozen=True, slots=True)
class ApprovedJob:
    """A definition of a job that was approved by change management: by its digest, or a template's name and version."""

    approved_by: Required
    """Who approved it."""
    digest: str = ""
    """Digest of the job's definition, as `auditor exports show` prints it; empty: it is named by a template."""
    template: str = ""
    """Glob on the workflow template, as `projects/P/regions/R/workflowTemplates/T@VERSION`; empty: by digest."""
    since: Day = ""
    """From which day on it may start, such as 2026-01-31, in UTC; empty: always."""
    until: Day = ""
    """The day from which on it may no longer start; empty: none."""


@dataclass(frozen=True, slots=True)
class Change:
    """A change that was approved: drift that it explains needs no other record."""

    id: Required
    """Id of its record, such as CHG-1042."""
    approved_by: Required
    """Who approved it."""
    since: Day
    """From which day on it may be made, such as 2026-01-31, in UTC."""
    until: Day
    """The day from which on it may no longer be made."""
    subjects: tuple[Glob, ...] = ("*",)
    """Globs on the keys of what it changes: ARNs, mappings of duties."""
    actors: tuple[Glob, ...] = ("*",)
    """Globs on who makes it: an ARN with its session name, such as "*:assumed-role/deploy/CHG-1042*"."""


@dataclass(frozen=True, slots=True)
class Report:
    """The weekly report."""

    dir: str = "reports"
    """Folder that reports are written to."""
    title: str = "Evidence of protection"
    """Its title."""


@dataclass(frozen=True, slots=True)
class Signing:
    """How bundles are signed."""

    key: Secret = ""
    """Private Ed25519 key in OpenSSH form: file:PATH or env:NAME; empty: bundles are not signed."""
    bundles: str = "bundles"
    """Folder that bundles are kept in: every scan looks whether they are still there and unchanged."""
