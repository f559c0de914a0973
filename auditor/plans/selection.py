"""Which buckets a backup selection takes: AWS's semantics, in three values.

1. Within one selection, `Resources` and `ListOfTags` each take resources, and the union is the candidate set.
2. Every condition must hold. 3. `NotResources` takes away, and beats everything. 4. A selection that states neither
takes every opted-in resource of its account and region. What AWS does not document is `undecided`, and is settled by
what was really backed up (sources.md, section 3.7).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

COVERED, NOT_COVERED, UNDECIDED = "covered", "not_covered", "undecided"

_TAG = "aws:ResourceTag/"


def either(answers: Iterable[str]) -> str:
    """Return covered if any is, else undecided if any is."""
    found = set(answers)
    return next((answer for answer in (COVERED, UNDECIDED) if answer in found), NOT_COVERED)


def both(answers: Iterable[str]) -> str:
    """Return not_covered if any is, else undecided if any is."""
    found = set(answers)
    return next((answer for answer in (NOT_COVERED, UNDECIDED) if answer in found), COVERED)


def matches_arn(pattern: str, arn: str) -> str:
    """Judge one ARN pattern: `*` stands for any run of characters that are not white space.

    The service model says that a wildcard must be at the end; one elsewhere in a bucket's name that would match is
    undecided.
    """
    if pattern == "*" or pattern == arn:
        return COVERED
    if not re.fullmatch(re.escape(pattern).replace(r"\*", r"\S*"), arn):
        return NOT_COVERED
    name = pattern.split(":", 5)[-1] if pattern.count(":") >= 5 else pattern
    return UNDECIDED if "*" in name[:-1] or "*" in pattern[: -len(name)] else COVERED


def selects(
    selection: Mapping[str, Any], arn: str, tags: Mapping[str, str] | None, opted_in: bool | None
) -> tuple[str, str]:
    """Judge one selection (a row of `backup_selection`) for one bucket, and say why.

    `tags` None: they were not read. `opted_in` None: the region's settings were not read.
    """
    resources: Sequence[str] | None = selection["resources"]
    by_tags: Sequence[Mapping[str, str]] | None = selection["list_of_tags"]
    conditions: Mapping[str, Any] | None = selection["conditions"]
    excluded: Sequence[str] | None = selection["not_resources"]
    if resources is None or by_tags is None or conditions is None or excluded is None:
        return UNDECIDED, "the selection was not read"
    taken = either([*(matches_arn(p, arn) for p in resources), *(_tag(tag, tags) for tag in by_tags)])
    if not resources and not by_tags:
        taken = COVERED  # it names nothing, so it takes every resource
    if taken == NOT_COVERED:
        return NOT_COVERED, "neither its resources nor its tags take it"
    held = both(
        _condition(op, test, tags) for op, tests in sorted(conditions.items()) for test in tests or ()
    )
    if held == NOT_COVERED:
        return _left_out(by_tags, tags)
    out = either(matches_arn(pattern, arn) for pattern in excluded)
    if out == COVERED:
        return NOT_COVERED, "its NotResources leave it out"
    exact = arn in resources
    if not exact and opted_in is False:
        return NOT_COVERED, "S3 is not opted in for AWS Backup in the region"
    if both([taken, held]) == UNDECIDED:
        unread = tags is None and (by_tags or conditions)
        return UNDECIDED, "the bucket's tags were not read" if unread else _UNDOCUMENTED
    if out == UNDECIDED:
        return UNDECIDED, _UNDOCUMENTED
    if not exact and opted_in is None:
        return UNDECIDED, "whether S3 is opted in for AWS Backup in the region was not read"
    return COVERED, _taken_by(resources, by_tags, arn, tags)


_UNDOCUMENTED = "AWS does not document what this selection means for it"


def _left_out(by_tags: Sequence[Mapping[str, str]], tags: Mapping[str, str] | None) -> tuple[str, str]:
    """Judge a bucket that a condition leaves out: whether conditions narrow ListOfTags too is not documented."""
    if by_tags and either(_tag(tag, tags) for tag in by_tags) != NOT_COVERED:
        return UNDECIDED, "its tags take it and a condition leaves it out: AWS does not document which counts"
    return NOT_COVERED, "a condition leaves it out"


def _taken_by(
    resources: Sequence[str], by_tags: Sequence[Mapping[str, str]], arn: str, tags: Mapping[str, str] | None
) -> str:
    if any(matches_arn(pattern, arn) == COVERED for pattern in resources):
        return "its resources name it"
    if any(_tag(tag, tags) == COVERED for tag in by_tags):
        return "its tags take it"
    return "it names nothing, so it takes every resource"


def _tag(tag: Mapping[str, str], tags: Mapping[str, str] | None) -> str:
    """Judge one entry of ListOfTags; its only type is STRINGEQUALS, and it compares case-sensitively."""
    key, wanted = tag.get("ConditionKey"), tag.get("ConditionValue")
    if (
        tags is None
        or not key
        or wanted is None
        or tag.get("ConditionType", "STRINGEQUALS") != "STRINGEQUALS"
    ):
        return UNDECIDED
    return COVERED if tags.get(key.removeprefix(_TAG)) == wanted else NOT_COVERED


def _condition(operator: str, test: Mapping[str, str], tags: Mapping[str, str] | None) -> str:
    key, wanted = test.get("ConditionKey"), test.get("ConditionValue")
    if tags is None or not key or wanted is None:
        return UNDECIDED
    value = tags.get(key.removeprefix(_TAG))
    negative = operator.startswith("StringNot")
    if operator not in ("StringEquals", "StringNotEquals", "StringLike", "StringNotLike"):
        return UNDECIDED
    if value is None:
        # What a negated test says of a bucket without the key is not documented.
        return UNDECIDED if negative else NOT_COVERED
    if operator in ("StringEquals", "StringNotEquals"):
        same = value == wanted
    else:
        same = re.fullmatch(re.escape(wanted).replace(r"\*", r".*"), value, re.DOTALL) is not None
    return COVERED if same != negative else NOT_COVERED
