"""A document that changed, told by what it now lets in and keeps out, with the statements that differ."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from auditor.policy.compare import Comparison, compare
from auditor.policy.evaluate import allowed, only_first
from auditor.policy.meaning import meaning
from auditor.policy.model import NEW_VERSION, Policy, Principal, Request, Statement
from auditor.policy.parse import PolicyError, as_it_stands
from auditor.policy.who import who
from auditor.policy.words import caller, plainer, sentence

_SHOWN = 3
NO_POLICY = "none"
"""How a policy that was read and is not there is written."""
_PAIRS = 1 << 14
"""Comparisons that are remembered: a scan asks for the same one three times, and ten thousand policies may change at once."""


@dataclass(frozen=True, slots=True)
class Change:
    """What a document became against what it was."""

    verdict: str
    """`equivalent`, `narrower`, `wider`, `incomparable` or `undecided`: what real callers can do now."""
    because: str
    """In words, with the caller who proves it."""
    before: str
    """The statements that only the old one has, as a JSON list; the whole text when it cannot be read."""
    after: str
    """Those that only the new one has."""
    by_text: bool = False
    """An equivalent change that the texts alone would not call so: no caller of today can make use of it."""

    @property
    def opens(self) -> bool:
        """Whether it lets more in, or may."""
        return self.verdict in ("wider", "incomparable", "undecided")


@lru_cache(maxsize=_PAIRS)
def trust_change(before: str, after: str) -> Change:
    """Compare two trust policies of a role."""
    return _change(before, after)


@lru_cache(maxsize=_PAIRS)
def resource_change(before: str, after: str, arn: str, account: str) -> Change:
    """Compare two policies of a bucket or a vault; `none` is no policy.

    Both what the policy admits by itself and what it takes from those whom the account's identity policies let in: a
    Deny that is gone admits nobody, and yet holds nobody back any more.
    """
    return _change(before, after, arn, account)


def _change(before: str, after: str, arn: str = "", account: str = "") -> Change:
    try:
        old, new = _parsed(before), _parsed(after)
    except PolicyError as error:
        because = f"it cannot be compared: {error.args[0]}"
        return Change("undecided", because, before, after)
    said_before, said_after = ([meaning(each, one.version) for each in one.statements] for one in (old, new))
    told = (_only(before, old, said_before, said_after), _only(after, new, said_after, said_before))
    if not arn:
        found = compare(old, new, level="feasible", words=False)
        if found.verdict in ("equivalent", "undecided"):  # else a request proves that the texts differ too
            by_text = compare(old, new)
            if by_text.verdict == "equivalent":
                return Change("equivalent", "it admits the same requests", *told)
            if found.verdict == "equivalent":
                return Change("equivalent", _by_text(by_text), *told, by_text=True)
        said = [f"it could not be decided: {found.because}"] if found.verdict == "undecided" else []
        said += _callers(old, new, found.witness_b_only, "may now")
        said += _callers(new, old, found.witness_a_only, "may no longer")
        return Change(found.verdict, "; ".join(said), *told)
    # Keys of other services are not in the table of what callers can present, so the texts are compared.
    sides = [(old, new), (_leaving(old, account), _leaving(new, account))]
    return _both([(compare(a, b), a, b) for a, b in sides], told, arn)


def _both(found: list[tuple[Comparison, Policy, Policy]], told: tuple[str, str], arn: str) -> Change:
    """Put two comparisons together: what the policy admits, and what it leaves to others to admit."""
    undecided = [each.because for each, _, _ in found if each.verdict == "undecided"]
    more = any(each.witness_b_only for each, _, _ in found)
    less = any(each.witness_a_only for each, _, _ in found)
    verdict = {(True, False): "wider", (True, True): "incomparable", (False, True): "narrower"}.get(
        (more, less), "equivalent"
    )
    if undecided and not more:
        return Change("undecided", f"it could not be decided: {undecided[0]}", *told)
    said = [_said(each, a, b, arn) for each, a, b in found if each.witness_a_only or each.witness_b_only]
    return Change(verdict, "; ".join(dict.fromkeys(said)) or "it admits and denies the same requests", *told)


def _leaving(policy: Policy, account: str) -> Policy:
    """Return what a policy leaves to the account's own principals when their identity policies allow everything."""
    whole = Statement(
        index=-1, sid=None, effect="Allow", principals=(Principal("aws", account),), not_principals=None,
        actions=("*",), not_actions=None, resources=("*",), not_resources=None, tests=(),
        place="the account's own policies",
    )  # fmt: skip
    return replace(policy, statements=(whole, *(each for each in policy.statements if each.effect == "Deny")))


def _parsed(text: str) -> Policy:
    return Policy(NEW_VERSION, None, ()) if text == NO_POLICY else as_it_stands(text)


def _only(text: str, ours: Policy, said: Sequence[object], theirs: Collection[object]) -> str:
    """Return the statements of a document that the other does not have, as JSON; `said` is what each says."""
    if text == NO_POLICY:
        return "[]"
    held = set(theirs)
    told: Any = json.loads(text.removeprefix("\ufeff"))["Statement"]
    listed = told if isinstance(told, list) else [told]
    kept = [listed[each.index] for each, what in zip(ours.statements, said, strict=True) if what not in held]
    return _as_json(kept)


_as_json = json.JSONEncoder(sort_keys=True, ensure_ascii=False).encode


def _by_text(found: Comparison) -> str:
    return f"its text differs ({found.verdict}), and no caller can make use of that: {found.because}"


def _callers(no: Policy, yes: Policy, witness: Request | None, may: str) -> list[str]:
    """Say who gets in by one trust policy and not by the other: those first who do not get in there in any way."""
    if witness is None:
        return []

    def proves(other: Request) -> bool:
        return only_first(yes, no, other)

    met = {caller(row.example) for row in who(no) if row.example}
    examples = [row.example for row in who(yes) if row.example and proves(row.example)]
    found = plainer(witness, proves)
    shown = [*(found if each == witness else plainer(each, proves) for each in examples), found]
    strangers = list(dict.fromkeys(sentence(each, may=may) for each in shown if caller(each) not in met))
    if strangers:
        more = f" and {len(strangers) - _SHOWN} more" if len(strangers) > _SHOWN else ""
        return [f"{', '.join(strangers[:_SHOWN])}{more}"]
    before = "refused" if may == "may now" else "accepted"
    return [f"{sentence(shown[-1], may=may)} with what was {before} before: {_refusal(no, shown[-1])}"]


def _refusal(policy: Policy, request: Request) -> str:
    return allowed(policy, request).because.removeprefix("no statement allows it: ")


def _said(found: Comparison, old: Policy, new: Policy, arn: str) -> str:
    said = [f"it could not be decided: {found.because}"] if found.verdict == "undecided" else []
    said += _witness(found.witness_b_only, new, old, "may now", arn)
    said += _witness(found.witness_a_only, old, new, "may no longer", arn)
    return "; ".join(said)


def _witness(request: Request | None, yes: Policy, no: Policy, may: str, arn: str) -> Iterable[str]:
    """Say who may, by a request that people recognise where one proves it as well."""
    if request is None:
        return ()

    def proves(other: Request) -> bool:
        return only_first(yes, no, other)

    for resource in _resources(arn):
        for action in dict.fromkeys((request.action, *_ACTIONS[":backup:" in arn])):
            other = replace(request, action=action, resource=resource)
            if not action.endswith(":x") and proves(other):
                return (sentence(plainer(other, proves), may=may),)
    return (sentence(plainer(request, proves), may=may),)


_ACTIONS = (
    ("s3:GetObject", "s3:PutObject", "s3:ListBucket"),
    ("backup:DeleteRecoveryPoint", "backup:CopyIntoBackupVault"),
)
"""What to say of a bucket and of a vault when the statement says `s3:*`."""


def _resources(arn: str) -> tuple[str, ...]:
    if not arn:
        return ()
    place, vault, _ = arn.partition(":backup-vault:")
    return (f"{place}:recovery-point:any", arn) if vault else (f"{arn}/any-object", arn)
