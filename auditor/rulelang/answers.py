"""What a rule answers in other products' words, and their parameters turned into its own.

A block says `answers: {bam/CONTROL: {our_param: how}}`, where `how` is one of

- `theirName`: the same value; a list may be written as they write it, with commas;
- `{days: theirName}`, `{hours: …}` or `{minutes: …}`: a number of that unit, for a duration of ours;
- `{value: theirName, unit: theirName}`: a number and `hours` or `days` beside it; days when no unit is given.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from auditor.rulelang.marks import did_you_mean

PEERS = {"bam": "AWS Backup Audit Manager", "config": "AWS Config"}
"""The products whose words are known, by the short name they have in a block."""

BAM: Mapping[str, tuple[str, ...]] = {
    "BACKUP_RESOURCES_PROTECTED_BY_BACKUP_PLAN": (),
    "BACKUP_PLAN_MIN_FREQUENCY_AND_MIN_RETENTION_CHECK": (
        "requiredFrequencyUnit",
        "requiredFrequencyValue",
        "requiredRetentionDays",
    ),
    "BACKUP_RECOVERY_POINT_MANUAL_DELETION_DISABLED": ("principalArnList",),
    "BACKUP_RECOVERY_POINT_ENCRYPTED": (),
    "BACKUP_RECOVERY_POINT_MINIMUM_RETENTION_CHECK": ("requiredRetentionDays",),
    "BACKUP_RESOURCES_PROTECTED_BY_CROSS_REGION": ("crossRegionList",),
    "BACKUP_RESOURCES_PROTECTED_BY_CROSS_ACCOUNT": ("crossAccountList",),
    "BACKUP_RESOURCES_PROTECTED_BY_BACKUP_VAULT_LOCK": ("maxRetentionDays", "minRetentionDays"),
    "BACKUP_LAST_RECOVERY_POINT_CREATED": ("recoveryPointAgeUnit", "recoveryPointAgeValue"),
    "RESTORE_TIME_FOR_RESOURCES_MEET_TARGET": ("maxRestoreTime",),
    "RESOURCES_IN_LOGICALLY_AIR_GAPPED_VAULT": ("recoveryPointAgeUnit", "recoveryPointAgeValue"),
}
"""The controls of AWS Backup Audit Manager and their parameters (AWS Backup developer guide, "Choosing your controls" and
"Creating frameworks using the AWS Backup API")."""

_AGE = ("recoveryPointAgeUnit", "recoveryPointAgeValue", "resourceId", "resourceTags")
_FLAGS = ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets")
CONFIG: Mapping[str, tuple[str, ...]] = {
    "s3-access-point-in-vpc-only": (),
    "s3-access-point-public-access-blocks": ("excludedAccessPoints",),
    "s3-account-level-public-access-blocks": _FLAGS,
    "s3-account-level-public-access-blocks-periodic": _FLAGS,
    "s3-bucket-acl-prohibited": (),
    "s3-bucket-blacklisted-actions-prohibited": ("blacklistedActionPattern",),
    "s3-bucket-cross-region-replication-enabled": (),
    "s3-bucket-default-lock-enabled": ("mode",),
    "s3-bucket-level-public-access-prohibited": ("excludedPublicBuckets",),
    "s3-bucket-logging-enabled": ("targetBucket", "targetPrefix"),
    "s3-bucket-mfa-delete-enabled": (),
    "s3-bucket-policy-grantee-check": (
        "awsPrincipals",
        "federatedUsers",
        "ipAddresses",
        "servicePrincipals",
        "vpcIds",
    ),
    "s3-bucket-policy-not-more-permissive": ("controlPolicy",),
    "s3-bucket-public-read-prohibited": (),
    "s3-bucket-public-write-prohibited": (),
    "s3-bucket-replication-enabled": ("ReplicationType",),
    "s3-bucket-server-side-encryption-enabled": (),
    "s3-bucket-ssl-requests-only": (),
    "s3-bucket-tagged": ("requiredKeyTags",),
    "s3-bucket-versioning-enabled": ("isMfaDeleteEnabled",),
    "s3-default-encryption-kms": ("kmsKeyArns",),
    "s3-directory-bucket-lifecycle-policy-rule-check": (),
    "s3-event-notifications-enabled": ("destinationArn", "eventTypes"),
    "s3-last-backup-recovery-point-created": _AGE,
    "s3-lifecycle-policy-check": (
        "bucketNames",
        "targetExpirationDays",
        "targetPrefix",
        "targetTransitionDays",
        "targetTransitionStorageClass",
    ),
    "s3-meets-restore-time-target": ("maxRestoreTime", "resourceId", "resourceTags"),
    "s3-resources-in-logically-air-gapped-vault": _AGE,
    "s3-resources-protected-by-backup-plan": (
        "backupVaultLockCheck",
        "crossAccountList",
        "crossRegionList",
        "maxRetentionDays",
        "minRetentionDays",
        "resourceId",
        "resourceTags",
    ),
    "s3-version-lifecycle-policy-check": ("bucketNames",),
    "s3express-dir-bucket-lifecycle-rules-check": ("targetExpirationDays",),
}
"""The managed rules of AWS Config for S3 and their parameters (AWS Config developer guide, "List of AWS Config Managed
Rules", September 2026)."""
CONTROLS: Mapping[str, Mapping[str, tuple[str, ...]]] = {"bam": BAM, "config": CONFIG}

_SECONDS = {"minutes": 60, "hours": 3600, "days": 86_400}
_UNITS = ("hours", "days")
"""What a unit parameter of theirs may say."""
_FORM = {"bam": re.compile(r"[A-Z][A-Z0-9_]+\Z"), "config": re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*\Z")}
_NAME = re.compile(r"[a-zA-Z][A-Za-z0-9]*\Z")
_FORMS = "NAME, {days: NAME}, {hours: NAME}, {minutes: NAME} or {value: NAME, unit: NAME}"


@dataclass(frozen=True, slots=True)
class Borrowed:
    """A parameter of ours as another product names it."""

    param: str
    name: str
    """Their name of its value."""
    unit: str = ""
    """minutes, hours or days; empty when it is the same value, or its unit is a parameter."""
    unit_name: str = ""
    """Their name of its unit; empty when it has none."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One control of another product that a rule answers."""

    control: str
    """peer/CONTROL."""
    borrowed: tuple[Borrowed, ...] = ()

    @property
    def peer(self) -> str:
        """The product, by its short name."""
        return self.control.partition("/")[0]

    @property
    def names(self) -> tuple[str, ...]:
        """Every parameter of theirs that is accepted, sorted."""
        return tuple(sorted({name for one in self.borrowed for name in (one.name, one.unit_name) if name}))


def read_answer(control: str, given: object, params: Mapping[str, bool]) -> tuple[Answer, list[str]]:
    """Read one entry of `answers`; `params`: the rule's own, and whether each is a duration. Returns mistakes beside it."""
    wrong: list[str] = []
    peer, _, name = control.partition("/")
    if peer not in PEERS:
        wrong.append(f"{control!r} names no product that is known{did_you_mean(peer, PEERS)}")
    elif not _FORM[peer].match(name):
        wrong.append(f"{control!r} is no control of {PEERS[peer]}")
    elif name not in CONTROLS[peer]:
        wrong.append(f"{PEERS[peer]} has no control {name!r}{did_you_mean(name, CONTROLS[peer])}")
    if not isinstance(given, dict):
        return Answer(control), [
            *wrong,
            "an answer is a map of the rule's parameters to theirs; {} when there are none",
        ]
    borrowed: list[Borrowed] = []
    for param, how in given.items():
        if param not in params:
            wrong.append(f"the rule has no parameter :{param}{did_you_mean(str(param), params)}")
            continue
        one = _borrowed(param, how)
        if one is None:
            wrong.append(f":{param} must be told as {_FORMS}")
        elif bool(one.unit or one.unit_name) != params[param]:
            wrong.append(f":{param} is {'a' if params[param] else 'no'} duration: write {_FORMS}")
        else:
            borrowed.append(one)
    answer = Answer(control, tuple(borrowed))
    if name in (known := CONTROLS.get(peer, {})):
        wrong += [
            f"{name} has no parameter {theirs!r}{did_you_mean(theirs, known[name])}"
            for theirs in answer.names
            if theirs not in known[name]
        ]
    return answer, wrong


def _borrowed(param: str, how: object) -> Borrowed | None:
    if isinstance(how, str):
        return Borrowed(param, how) if _NAME.match(how) else None
    if not isinstance(how, dict) or not all(
        isinstance(name, str) and _NAME.match(name) for name in how.values()
    ):
        return None
    if set(how) == {"value", "unit"}:
        return Borrowed(param, how["value"], "", how["unit"])
    if len(how) == 1 and set(how) <= set(_SECONDS):
        ((unit, name),) = how.items()
        return Borrowed(param, name, unit)
    return None


def clashes(answers: Iterable[Answer]) -> list[str]:
    """Return where two answers of a rule read one name of theirs differently."""
    said: dict[str, Borrowed] = {}
    every = [one for answer in answers for one in answer.borrowed]
    return [
        f"{one.name!r} is told as :{said[one.name].param} and as :{one.param}, or in two units"
        for one in every
        if said.setdefault(one.name, one) != one
    ]


def own_words(
    answers: Iterable[Answer], given: Mapping[str, Any], kinds: Mapping[str, str]
) -> tuple[dict[str, Any], set[str], list[tuple[str, str]]]:
    """Turn the parameters given in other products' words into the rule's own.

    Returns the values by our names, the names of theirs that were used, and mistakes as (name, sentence). `kinds`: INT,
    LIST, BOOL or TEXT of each parameter of ours.
    """
    values: dict[str, Any] = {}
    used: set[str] = set()
    wrong: list[tuple[str, str]] = []
    for one in sorted(
        {one for answer in answers for one in answer.borrowed}, key=lambda one: (one.name, one.param)
    ):
        theirs = [name for name in (one.name, one.unit_name) if name in given]
        if not theirs:
            continue
        used.update(theirs)
        if one.param in given or one.param in values:
            wrong += [
                (name, f"says the same as {one.param!r}, which is given too: keep one of them")
                for name in theirs
            ]
            continue
        if one.name not in given:
            wrong.append((one.unit_name, f"is the unit of {one.name!r}, which is not given"))
            continue
        try:
            values[one.param] = _turned(one, given, kinds[one.param])
        except _No as no:
            wrong.append((no.name, no.sentence))
    return values, used, wrong


class _No(Exception):  # noqa: N818  # a sentence for the operator
    def __init__(self, name: str, sentence: str) -> None:
        super().__init__(sentence)
        self.name, self.sentence = name, sentence


def _turned(one: Borrowed, given: Mapping[str, Any], kind: str) -> Any:
    value = given[one.name]
    unit = one.unit
    if one.unit_name:
        unit = given.get(one.unit_name, "days")
        if unit not in _UNITS:
            raise _No(one.unit_name, f"must be {' or '.join(_UNITS)}, not {unit!r}")
    if unit:
        return _number(one.name, value, least=1) * _SECONDS[unit]
    if kind == "INT":
        return _number(one.name, value, least=0)
    if kind == "LIST":
        listed = [part.strip() for part in value.split(",")] if isinstance(value, str) else value
        if not isinstance(listed, list) or not all(isinstance(part, str) and part.strip() for part in listed):
            raise _No(one.name, f"must be a list of texts, or one text with commas, not {value!r}")
        return tuple(listed)
    if kind == "BOOL":
        truth = {"true": True, "false": False}.get(str(value).lower())
        if truth is None:
            raise _No(one.name, f"must be true or false, not {value!r}")
        return truth
    if not isinstance(value, str):
        raise _No(one.name, f"must be text, not {value!r}")
    return value


def _number(name: str, value: object, *, least: int) -> int:
    """Return a whole number; they write theirs as texts, so a text of digits is one too."""
    text = str(value).strip()
    if isinstance(value, bool) or not isinstance(value, int | str) or not re.fullmatch(r"[0-9]{1,9}", text):
        raise _No(name, f"must be a whole number, not {value!r}")
    if int(text) < least:
        raise _No(name, f"must be at least {least}, not {value!r}")
    return int(text)
