"""What the trust policy of a role means, as facts: who gets in, what it should be known for, what a change let in.

A document is judged once, however many roles carry it; roles whose documents differ only in the ids of accounts and of
Google's service accounts share the judgement, for a name does not change what a policy means.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from auditor.baselines import BEFORE
from auditor.correlate.zoning import Row
from auditor.policy.change import trust_change
from auditor.policy.export import GOOGLE, Answer, admits_only, audience_pinned
from auditor.policy.findings import findings
from auditor.policy.parse import PolicyError, as_it_stands
from auditor.policy.who import Who, who
from auditor.policy.words import sentence

_LONGEST = 600
_ID = re.compile(r"(?<!\d)(?:\d{12}|\d{21})(?!\d)")
_RENAMING_MATTERS = re.compile(r"\d[*?]|[*?]\d|\\|numeric|date", re.IGNORECASE)
"""Patterns on digits, escapes and numbers that are compared: there another id may mean something else."""
_EXAMPLES = re.compile(r"([4-8])\1{11}|\d{18}777")
"""Ids that findings take for strangers; a document that names one is judged as it stands."""
_NOT_READ = "its trust policy was not read"


@dataclass(frozen=True, slots=True)
class Known:
    """What else is known when a trust policy is judged."""

    accounts: frozenset[str]
    """Those in scope: not external to one another."""
    subjects: Mapping[str, str]
    """Unique id of each service account that is configured, by e-mail."""
    active: frozenset[str]
    """Subjects that the configuration or an active entry of the directory names."""
    ended: frozenset[str]
    """Subjects whose entry in the directory is disabled."""


@dataclass(frozen=True, slots=True)
class _Found:
    name: str
    severity: str
    because: str
    witness: str | None
    """The request that proves it, as JSON."""
    in_words: str


def trust_facts(role: Row, ways: Sequence[Row], known: Known) -> dict[str, Any]:
    """Return the facts of a role's trust policy; `ways` are its entries in [[federation]]."""
    text, account = role.get("trust_policy"), role.get("account") or ""
    if text is None:
        return dict.fromkeys(("trust_unknown", "admits_because", "audience_because"), _NOT_READ)
    try:
        policy = as_it_stands(text)
    except PolicyError as error:
        unread = f"its trust policy cannot be read: {error.args[0]}"
        return dict.fromkeys(("trust_unknown", "admits_because", "audience_because"), unread)
    found = _found(text, account, frozenset(each for each in known.accounts if each in text))
    callers = who(policy)
    doubts = [each.because for each in found if each.name == "undecided"]
    doubts += [f"whether {each.principal} gets in" for each in callers if each.example is None]
    worst = next((each for each in found if each.name != "undecided"), None)
    kinds = {each.kind for each in callers}
    subjects = _subjects(callers)
    return {
        "trusts": sorted({each.principal for each in callers if each.example is not None}),
        "trusts_tokens": bool(kinds & {"oidc", "saml"}),
        "trusts_services": "service" in kinds,
        "trust_decided": None if doubts else True,
        "trust_unknown": "; ".join(doubts)[:_LONGEST],
        "trust_findings": [each.name for each in found if each.name != "undecided"],
        "trust_worst": worst.severity if worst else "none",
        "trust_says": _said(found),
        "trust_witness": json.loads(worst.witness) if worst and worst.witness else None,
        "trusted_subjects": list(subjects),
        "unknown_subjects": [each for each in subjects if each in known.ended or each not in known.active],
        **_export(text, ways, known),
    }


def trust_drift(
    before: str | None, now: str | None, *, known_before: bool, against: str = BEFORE
) -> dict[str, Any]:
    """Return what became of a trust policy since the state that `against` names."""
    told: dict[str, Any] = {"trust_known_before": known_before, "trust_compared_with": against}
    if before is None or now is None:
        return told | {"trust_change_says": "one of its trust policies was not read"}
    if before == now:
        return told | {"trust_change": "equivalent", "trust_no_wider": True, "trust_change_says": "the same"}
    change = trust_change(before, now)
    try:
        as_it_stands(before), as_it_stands(now)
        no_wider: bool | None = not change.opens
    except PolicyError:
        no_wider = None
    return told | {
        "trust_change": change.verdict,
        "trust_no_wider": no_wider,
        "trust_change_says": change.because[:_LONGEST],
    }


def _subjects(callers: Sequence[Who]) -> tuple[str, ...]:
    """Return the Google subjects that statements which let somebody in name in full."""
    held = {
        value
        for row in callers
        for each in row.tests
        if each.key == f"{GOOGLE}:sub" and each.base in ("StringEquals", "StringLike")
        for value in each.values
        if not {"*", "?", "$"} & set(value)
    }
    return tuple(sorted(held))


def _export(text: str, ways: Sequence[Row], known: Known) -> dict[str, Any]:
    """Return whether an export role admits exactly its service account and audience."""
    if not ways:
        return {"admits_because": "it is none", "audience_because": "it is none"}
    providers = {way["provider"] for way in ways}
    audiences = {tuple(sorted(_list(way["audiences"]))) for way in ways}
    if len(audiences) > 1 or not (asked := next(iter(audiences))):
        unsaid = "no audience is declared for it, or several ways with different ones"
        return {"admits_because": unsaid, "audience_because": unsaid}
    pinned = _pinned(text, asked)
    told = {"audience_pinned": pinned.yes, "audience_because": pinned.because[:_LONGEST]}
    if providers != {GOOGLE}:
        return told | {"admits_because": f"service accounts are those of {GOOGLE} alone"}
    subjects: set[str] = set()
    for way in ways:
        named = way["subject_of"]
        if named and named not in known.subjects:
            return told | {"admits_because": f"the unique id of {named} is not configured"}
        subjects |= {known.subjects[named]} if named else set(known.subjects.values())
    if not subjects:
        return told | {"admits_because": "no service account has a unique id in the configuration"}
    answer = _admitted(text, tuple(sorted(subjects)), asked)
    return told | {
        "admits_exactly": answer.yes,
        "admits_because": answer.because[:_LONGEST],
        "admits_witness": answer.witness.as_dict() if answer.witness else None,
    }


@lru_cache(maxsize=4096)
def _pinned(text: str, audiences: tuple[str, ...]) -> Answer:
    return audience_pinned(as_it_stands(text), audiences)


@lru_cache(maxsize=4096)
def _admitted(text: str, subjects: tuple[str, ...], audiences: tuple[str, ...]) -> Answer:
    return admits_only(as_it_stands(text), subjects=subjects, audiences=audiences)


def _list(value: Any) -> list[str]:
    return json.loads(value) if isinstance(value, str) else list(value or ())


def _said(found: Collection[_Found]) -> str:
    told = [f"{each.because} ({each.in_words})" if each.in_words else each.because for each in found]
    return " ".join(told)[:_LONGEST]


def _found(text: str, account: str, trusted: frozenset[str]) -> tuple[_Found, ...]:
    """Judge a document by its shape where ids can be exchanged without a change of meaning."""
    ids = list(dict.fromkeys([*_ID.findall(text), *_ID.findall(account)]))
    if _RENAMING_MATTERS.search(text) or any(_EXAMPLES.fullmatch(each) for each in ids):
        return _judged(text, account, trusted)
    names = {each: f"9{at:0{len(each) - 1}d}" for at, each in enumerate(ids)}
    back = {name: each for each, name in names.items()}

    def renamed(told: str, by: Mapping[str, str]) -> str:
        return _ID.sub(lambda held: by.get(held[0], held[0]), told)

    shaped = _judged(
        renamed(text, names), renamed(account, names), frozenset(names.get(each, each) for each in trusted)
    )
    return tuple(
        _Found(
            each.name,
            each.severity,
            renamed(each.because, back),
            each.witness and renamed(each.witness, back),
            renamed(each.in_words, back),
        )
        for each in shaped
    )


@lru_cache(maxsize=4096)
def _judged(text: str, account: str, trusted: frozenset[str]) -> tuple[_Found, ...]:
    return tuple(
        _Found(
            each.name,
            each.severity,
            each.because,
            json.dumps(each.witness.as_dict(), sort_keys=True) if each.witness else None,
            sentence(each.witness) if each.witness else "",
        )
        for each in findings(as_it_stands(text), account=account or None, trusted_accounts=trusted)
    )
