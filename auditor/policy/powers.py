"""What a role or user may do, as lists of actions: each proven by a request, with those that hang on a condition apart."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TypeVar

from auditor.policy import actions
from auditor.policy.compare import compare
from auditor.policy.effective import Guard, Let, Region, lets, shown, stands
from auditor.policy.evaluate import admits
from auditor.policy.model import NEW_VERSION, Policy, Principal, Request, Statement
from auditor.policy.narrowed import Holder, fits
from auditor.policy.words import sentence

_Said = TypeVar("_Said")
ANYTHING = Region(("*",))
_FRESH = "AnythingElse"
"""Stands for the actions that no list of ours has."""
_NOBODY = "zq-named-by-nobody"
"""Stands for the users, roles, groups and policies that a policy does not name: who gets it gets any."""
_SHOWN = 3
_TOLD = (
    "iam:CreateUser",
    "iam:PassRole",
    "ec2:RunInstances",
    "kms:ScheduleKeyDeletion",
    "s3:DeleteBucket",
    "s3:GetObject",
)
"""What to say of a boundary where one of these is refused."""
_EVERYTHING = Policy(
    NEW_VERSION,
    None,
    (Statement(0, None, "Allow", None, None, ("*",), None, ("*",), None, (), "everything"),),
)


@dataclass(frozen=True, slots=True)
class Asked:
    """One question: an action under the name it is told by, and where."""

    name: str
    action: str
    region: Region

    @classmethod
    def of(cls, action: str, region: Region) -> Asked:
        """Ask for an action under its own name; what stands for those of no list is told as a wildcard."""
        return cls(action.replace(_FRESH, "*"), action, region)


@dataclass(frozen=True, slots=True)
class Powers:
    """What of the questions is let through."""

    may: tuple[str, ...]
    """Proven, sorted."""
    open: tuple[str, ...]
    """Under a condition, or undecided."""
    says: str
    """The first few, by their requests, in words: what changes something before what reads."""
    doubts: str
    """Why the others are open, with what such a request takes."""
    witness: Request | None = None


def powers(holder: Holder, asked: Iterable[Asked], guard: Guard | None = None) -> Powers:
    """Answer many questions about one holder; actions that no statement tells apart are asked about once."""
    may: dict[str, tuple[Request, str]] = {}
    open_: dict[str, tuple[Let, str]] = {}
    for group in _alike(holder, list(asked), guard):
        let = lets(holder, group[0].action, group[0].region, guard)
        for one in group if let.yes is not False else ():
            if let.yes and let.witness:
                may.setdefault(one.name, (let.witness, one.action))
            else:
                open_.setdefault(one.name, (let, one.action))
    left = {name: let for name, let in sorted(open_.items()) if name not in may}
    worst = sorted(
        may.items(), key=lambda each: (each[0] in actions.EXPORTING, actions.reads(each[0]), each[0])
    )
    return Powers(
        tuple(sorted(may)),
        tuple(left),
        _some(worst, lambda each: told_of(_asking(each[1]), holder)),
        _some(list(left.values()), lambda each: _why(each, holder)),
        _asking(worst[0][1]) if worst else None,
    )


def _asking(found: tuple[Request, str]) -> Request:
    """Return the witness of a question for the action that is meant: all of a group are answered by one."""
    witness, action = found
    return replace(witness, action=action)


def told_of(request: Request, holder: Holder) -> str:
    """Say what a request does, without the keys that all of the holder's requests carry."""
    named = request
    if request.resource is not None and request.resource.endswith(("/", ":")):
        named = replace(request, resource=f"{request.resource}any")
    if ":::/" in (named.resource or ""):
        named = replace(named, resource=(named.resource or "").replace(":::/", ":::another-bucket/"))
        named = named if stands(holder, named) else request
    if named.resource is not None and ":" not in named.resource:
        named = replace(named, resource=None)  # anything at all
    told = sentence(shown(named, holder))
    return told.replace(f"/{_NOBODY}", "/*").replace(f":{_FRESH}", ":*").replace("other:*", "everything else")


def _why(found: tuple[Let, str], holder: Holder) -> str:
    let, action = found
    return f"{told_of(_asking((let.witness, action)), holder)}: {let.cause}" if let.witness else let.cause


def _some(found: Sequence[_Said], say: Callable[[_Said], str]) -> str:
    said = list(dict.fromkeys(say(each) for each in found[:_SHOWN]))
    more = f"; and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return "; ".join(said) + more


def _alike(holder: Holder, asked: Sequence[Asked], guard: Guard | None) -> list[list[Asked]]:
    """Put questions together that every statement answers alike; leave out those that no Allow is about."""
    others = (holder.boundary, guard.policy if guard else None)
    policies = (*holder.identity, *(each for each in others if each is not None))
    shapes = tuple(
        (each.effect, each.actions, each.not_actions) for policy in policies for each in policy.statements
    )
    groups: dict[object, list[Asked]] = {}
    for one, mask in zip(asked, _masks(shapes, tuple(one.action for one in asked)), strict=True):
        if mask:
            groups.setdefault(
                (mask, one.region, one.action.partition(":")[0], _listing(one.action)), []
            ).append(one)
    return list(groups.values())


def _listing(action: str) -> bool:
    return action.lower().startswith("s3:listbucket")


Shape = tuple[str, tuple[str, ...] | None, tuple[str, ...] | None]


@lru_cache(maxsize=4096)
def _masks(shapes: tuple[Shape, ...], names: tuple[str, ...]) -> tuple[int, ...]:
    """Return for each action which statements are about it; 0 when none that allows is."""
    found = []
    for name in names:
        mask = allow = 0
        for bit, (effect, listed, unlisted) in enumerate(shapes):
            if _about(listed, unlisted, name):
                mask |= 1 << bit
                allow |= effect == "Allow"
        found.append(mask if allow else 0)
    return tuple(found)


def _about(listed: tuple[str, ...] | None, unlisted: tuple[str, ...] | None, name: str) -> bool:
    return fits(listed, name) if listed is not None else not fits(unlisted or (), name)


def on_prefixes(holder: Holder, places: Sequence[tuple[str, str]]) -> Powers:
    """List what an export role may do on its prefixes (bucket and glob), with keys, and in other services at all."""
    objects = Region(tuple(f"{_s3(holder)}:::{bucket}/{prefix}*" for bucket, prefix in places))
    buckets = Region(tuple(dict.fromkeys(f"{_s3(holder)}:::{bucket}" for bucket, _ in places)))
    asked = [Asked.of(each, objects) for each in (*actions.S3_OBJECT, f"s3:{_FRESH}")]
    asked += [Asked.of(each, buckets) for each in (*actions.S3_BUCKET, f"s3:{_FRESH}")]
    elsewhere = Region(("*",), (f"{_s3(holder)}:::*",))
    asked += [Asked(each, each, elsewhere) for each in actions.S3_OTHER]
    asked += [Asked.of(each, ANYTHING) for each in (*actions.KMS, f"kms:{_FRESH}")]
    return powers(holder, [*asked, *_others(holder, ("s3", "kms"))])


def _anywhere(holder: Holder) -> Holder:
    """Return the holder as it is free to ask about whatever account's resources."""
    return replace(holder, chosen=frozenset(("aws:resourceaccount", "s3:resourceaccount")))


def beyond(holder: Holder, places: Sequence[tuple[str, str]]) -> Powers:
    """List what an export role may do with objects and buckets that are not on its prefixes."""
    start = _s3(holder)
    mine = tuple(f"{start}:::{bucket}/{prefix}*" for bucket, prefix in places)
    own = tuple(dict.fromkeys(f"{start}:::{bucket}" for bucket, _ in places))
    objects = Region((f"{start}:::?*/*",), mine)
    buckets = Region((f"{start}:::?*",), (f"{start}:::*/*", *own))
    asked = [Asked.of(each, objects) for each in (*actions.S3_OBJECT, f"s3:{_FRESH}")]
    asked += [Asked(each, each, buckets) for each in actions.S3_BUCKET]
    return powers(_anywhere(holder), asked)


def escalations(holder: Holder, attached: Iterable[str] = ()) -> Powers:
    """List the actions by which a role gets whatever it lacks: on anything that nobody named, on itself, on its policies."""
    start = f"arn:{_partition(holder)}:iam::{holder.arn.split(':')[4]}"
    asked = [
        Asked(each, each, Region((f"{start}:{kind}/{_NOBODY}",)))
        for kind, names in actions.ESCALATIONS.items()
        for each in names
    ]
    anywhere = f"arn:{_partition(holder)}:iam::*:role/{_NOBODY}"
    asked.append(Asked("sts:AssumeRole", "sts:AssumeRole", Region((anywhere,))))
    asked += [Asked(each, each, Region((holder.arn,))) for each in actions.OWN]
    mine = tuple(sorted(each for each in attached if ":iam::aws:" not in each))
    asked += [Asked(each, each, Region(mine)) for each in actions.ESCALATIONS["policy"] if mine]
    return powers(holder, asked)


def changes(holder: Holder) -> Powers:
    """List what a holder may do that changes something, anywhere."""
    asked = [Asked(each, each, ANYTHING) for each in actions.WRITES]
    services = ("s3", "kms", "iam", "backup", "cloudtrail")
    asked += [Asked(f"{each}:*", f"{each}:{_FRESH}", ANYTHING) for each in services]
    found = [each for each in _others(holder, services) if not actions.reads(each.name)]
    return powers(_anywhere(holder), [*asked, *found])


def object_writes(holder: Holder, bucket: str, prefixes: Iterable[str], guard: Guard | None) -> Powers:
    """List by which actions a holder may write objects on prefixes of a bucket."""
    region = Region(tuple(f"{_s3(holder)}:::{bucket}/{prefix}*" for prefix in prefixes))
    asked = [Asked(each, each, region) for each in actions.OBJECT_WRITES]
    return powers(holder, asked, guard)


def fences(boundary: Policy) -> Let:
    """Say whether a permissions boundary holds anything back, with a request that it refuses."""
    found = compare(_EVERYTHING, boundary, among=(Principal("aws", "arn:aws:iam::111111111111:role/holder"),))
    if found.witness_a_only is not None:
        known = (replace(found.witness_a_only, action=each) for each in _TOLD)
        refused = (each for each in known if not admits(boundary, each))
        return Let(yes=True, witness=next(refused, found.witness_a_only))
    return Let(None, cause=found.because) if found.verdict == "undecided" else Let(yes=False)


def _others(holder: Holder, known: Sequence[str]) -> list[Asked]:
    """Return the patterns of actions of other services that Allow statements name; each is asked about by a name it fits."""
    found: dict[str, str] = {}
    for policy in holder.identity:
        for each in policy.statements:
            if each.effect != "Allow":
                continue
            if each.not_actions is not None:
                found["every action but some"] = f"other:{_FRESH}"
            for pattern in each.actions or ():
                service, _, name = pattern.partition(":")
                if service.lower() in known:
                    continue
                if not name:
                    found[pattern] = f"other:{_FRESH}"
                else:
                    found[pattern] = pattern.replace("*", "xq").replace("?", "x")
    return [Asked(name, action, ANYTHING) for name, action in sorted(found.items())]


def _partition(holder: Holder) -> str:
    return holder.arn.split(":")[1]


def _s3(holder: Holder) -> str:
    return f"arn:{_partition(holder)}:s3"
