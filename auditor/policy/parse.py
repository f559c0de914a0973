"""A policy document read strictly: every mistake is a PolicyError that names the place."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from auditor.errors import AuditorError
from auditor.policy.model import BASES, NEW_VERSION, Policy, Principal, Statement, Test

LARGEST = 1_000_000
"""Characters of a document that is still read; IAM's own limits lie far below (a trust policy: 2,048, 4,096 on request)."""
VERSIONS = ("2008-10-17", NEW_VERSION)

ACCOUNT = re.compile(r"\d{12}", re.ASCII)
UNIQUE_ID = re.compile(r"A[A-Z0-9]{15,127}")
"""What IAM shows for a principal that was deleted: AIDA… for a user, AROA… for a role."""
_PARTITION = re.compile(r"aws[a-z-]*")
_OPERATOR = re.compile(r"(?i)(?:(forallvalues|foranyvalue):)?(\w+?)(ifexists)?")
_BASES = {base.lower(): base for base in BASES}
_PRINCIPALS = {"AWS": "aws", "Service": "service", "Federated": "federated", "CanonicalUser": "canonical"}
_OF_POLICY = ("Version", "Id", "Statement")
_OF_STATEMENT = (
    "Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource", "NotResource", "Condition",
)  # fmt: skip


class PolicyError(AuditorError):
    """What is wrong with a document, and where in it."""

    exit_code = 2

    def __init__(self, message: str, *, place: str = "", line: int | None = None, finding: str = "") -> None:
        at = f"{place or 'the policy'}{f', line {line}' if line else ''}"
        super().__init__(f"{at}: {message}")
        self.place = place
        """Such as `Statement[2].Condition.StringLike`; empty for the document as a whole."""
        self.line = line
        self.finding = finding
        """The finding that the mistake amounts to: `duplicate-key`, `invalid-principal`, or nothing."""


class _Number(str):
    """A JSON number as it was written."""

    __slots__ = ()


class _Object(dict[str, Any]):
    """A JSON object that remembers a key it was given twice."""

    repeated: str | None = None


def parse(document: str | bytes | Mapping[str, Any], *, strict: bool = True) -> Policy:
    """Read a document. Raises PolicyError and nothing else.

    With `strict` off, principals that IAM would refuse are kept, for `findings` to name; they admit nobody.
    """
    told = dict(document) if isinstance(document, Mapping) else _loaded(document)
    _only(told, _OF_POLICY, "")
    version = told.get("Version", VERSIONS[0])
    if version not in VERSIONS:
        raise PolicyError(f"the version is {' or '.join(VERSIONS)}, not {_shown(version)}", place="Version")
    if "Statement" not in told:
        raise PolicyError("there is no Statement")
    stated = told["Statement"]
    listed = stated if isinstance(stated, list | tuple) else [stated]
    statements = tuple(_statement(each, index, strict) for index, each in enumerate(listed))
    return Policy(version, _optional(told, "Id", ""), statements)


@lru_cache(maxsize=4096)
def as_it_stands(text: str) -> Policy:
    """Read a document as `parse` does that is not strict; one that was read lately is not read again."""
    return parse(text, strict=False)


def _loaded(document: str | bytes) -> dict[str, Any]:
    if not isinstance(document, str | bytes | bytearray):
        raise PolicyError(f"a policy is a JSON object, not {_shown(document)}")
    if len(document) > LARGEST:
        raise PolicyError(f"the document has {len(document):,} characters; at most {LARGEST:,} are read")
    try:
        text = document if isinstance(document, str) else bytes(document).decode("utf-8-sig")
        told = _DECODER.decode(text.removeprefix("\ufeff"))
    except UnicodeDecodeError:
        raise PolicyError("the document is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise PolicyError(f"not JSON: {error.msg} (column {error.colno})", line=error.lineno) from None
    except RecursionError:
        raise PolicyError("the document is nested too deeply") from None
    if not isinstance(told, dict):
        raise PolicyError(f"a policy is a JSON object, not {_shown(told)}")
    return told


def _object(pairs: list[tuple[str, Any]]) -> _Object:
    held = _Object(pairs)
    if len(held) < len(pairs):
        names = [name for name, _ in pairs]
        held.repeated = next(name for name in names if names.count(name) > 1)
    return held


def _no_constant(name: str) -> Any:
    raise PolicyError(f"not JSON: {name} is no JSON value")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_Number, parse_float=_Number, parse_constant=_no_constant
)
"""Made once: to make one takes as long as to read a short document."""


def _only(held: Mapping[str, Any], known: tuple[str, ...], place: str) -> None:
    _unrepeated(held, place)
    for name in held:
        if name not in known:
            raise PolicyError(f"{_shown(name)} is no element; there are {', '.join(known)}", place=place)


def _unrepeated(held: Mapping[str, Any], place: str) -> None:
    repeated = getattr(held, "repeated", None)
    if repeated is not None:
        raise PolicyError(
            f"the key {_shown(repeated)} stands there twice", place=place, finding="duplicate-key"
        )


def _statement(told: Any, index: int, strict: bool) -> Statement:
    place = f"Statement[{index}]"
    if not isinstance(told, Mapping):
        raise PolicyError(f"a statement is an object, not {_shown(told)}", place=place)
    _only(told, _OF_STATEMENT, place)
    effect = told.get("Effect")
    if effect not in ("Allow", "Deny"):
        raise PolicyError(f"the Effect is Allow or Deny, not {_shown(effect)}", place=f"{place}.Effect")
    for one in ("Principal", "Action", "Resource"):
        if one in told and f"Not{one}" in told:
            raise PolicyError(f"there are both {one} and Not{one}", place=place)
    if "Action" not in told and "NotAction" not in told:
        raise PolicyError("there is neither Action nor NotAction", place=place)
    return Statement(
        index=index,
        sid=_optional(told, "Sid", place),
        effect=effect,
        principals=_principals(told, "Principal", place, strict),
        not_principals=_principals(told, "NotPrincipal", place, strict),
        actions=_texts(told, "Action", place),
        not_actions=_texts(told, "NotAction", place),
        resources=_texts(told, "Resource", place),
        not_resources=_texts(told, "NotResource", place),
        tests=tuple(_tests(told.get("Condition", {}), f"{place}.Condition")),
        place=place,
    )


def _optional(told: Mapping[str, Any], name: str, place: str) -> str | None:
    return None if told.get(name) is None else _text(told[name], f"{place}.{name}".lstrip("."))


def _texts(told: Mapping[str, Any], name: str, place: str) -> tuple[str, ...] | None:
    if name not in told:
        return None
    return tuple(_text(each, f"{place}.{name}") for each in _each(told[name]))


def _each(told: Any) -> Iterable[Any]:
    return told if isinstance(told, list | tuple) else (told,)


def _text(told: Any, place: str) -> str:
    if not isinstance(told, str) or isinstance(told, _Number):
        raise PolicyError(f"a text belongs here, not {_shown(told)}", place=place)
    try:
        told.encode()
    except UnicodeEncodeError:
        raise PolicyError("the text holds half a surrogate pair", place=place) from None
    return str(told)


def _principals(told: Mapping[str, Any], name: str, place: str, strict: bool) -> tuple[Principal, ...] | None:
    if name not in told:
        return None
    held, place = told[name], f"{place}.{name}"
    if held == "*":
        return (Principal("any", "*"),)
    if not isinstance(held, Mapping):
        message = f'a principal is "*" or an object of {", ".join(_PRINCIPALS)}, not {_shown(held)}'
        raise PolicyError(message, place=place, finding="invalid-principal")
    _unrepeated(held, place)
    found = []
    for kind, values in held.items():
        if kind not in _PRINCIPALS:
            message = f"{_shown(kind)} is no kind of principal; there are {', '.join(_PRINCIPALS)}"
            raise PolicyError(message, place=place, finding="invalid-principal")
        for value in _each(values):
            text = _text(value, f"{place}.{kind}")
            wrong = refused(_PRINCIPALS[kind], text) if strict else ""
            if wrong:
                raise PolicyError(wrong, place=f"{place}.{kind}", finding="invalid-principal")
            everyone = kind == "AWS" and text == "*"
            found.append(Principal("any", "*") if everyone else Principal(_PRINCIPALS[kind], text))
    return tuple(found)


def refused(kind: str, value: str) -> str:
    """Say why a principal is neither a well-formed ARN nor an account id; empty when it is one.

    Kept although they admit nobody: wildcards inside an ARN, and ids of deleted principals.
    """
    if not value:
        return "the principal is empty"
    if kind not in ("aws", "federated") or value == "*":
        return ""
    if value.startswith("arn:"):
        return "" if "*" in value or "?" in value else _no_arn(value)
    if kind == "federated" or "*" in value or "?" in value:
        return ""
    if ACCOUNT.fullmatch(value) or UNIQUE_ID.fullmatch(value):
        return ""
    if value.isdigit():
        return f"{_shown(value)} is no account id: it has {len(value)} digits, not 12"
    return f'{_shown(value)} is neither an ARN, nor an account id, nor "*"'


def _no_arn(value: str) -> str:
    parts = value.split(":", 5)
    if len(parts) < 6 or not parts[5]:
        return f"{_shown(value)} is no ARN: it has not six parts"
    _, partition, service, region, account, _ = parts
    if not _PARTITION.fullmatch(partition) or service not in ("iam", "sts") or region:
        return f"{_shown(value)} is no ARN of a principal: those begin with arn:aws:iam:: or arn:aws:sts::"
    if not ACCOUNT.fullmatch(account) and account != "cloudfront":
        return f"{_shown(value)} is no ARN of a principal: {_shown(account)} is no account id of 12 digits"
    return ""


def _tests(told: Any, place: str) -> Iterator[Test]:
    if not isinstance(told, Mapping):
        raise PolicyError(f"a Condition is an object of operators, not {_shown(told)}", place=place)
    _unrepeated(told, place)
    for operator, keys in told.items():
        parts = _OPERATOR.fullmatch(operator) if isinstance(operator, str) else None
        base = _BASES.get(parts[2].lower()) if parts else None
        if parts is None or base is None or (base == "Null" and parts[3]):
            raise PolicyError(f"{_shown(operator)} is no condition operator", place=place)
        here = f"{place}.{operator}"
        if not isinstance(keys, Mapping):
            raise PolicyError(f"an operator holds an object of keys, not {_shown(keys)}", place=here)
        _unrepeated(keys, here)
        modifier = {"forallvalues": "all", "foranyvalue": "any"}[parts[1].lower()] if parts[1] else None
        for key, values in keys.items():
            name = _text(key, here).lower()
            held = tuple(_condition_value(value, f"{here}.{key}") for value in _each(values))
            yield Test(operator, base, modifier, bool(parts[3]), name, held)


def _condition_value(told: Any, place: str) -> str:
    if isinstance(told, bool):
        return "true" if told else "false"
    if isinstance(told, _Number):
        return str(told)
    if isinstance(told, int | float):
        try:
            return str(told)
        except ValueError:  # Python converts no integer of more than 4,300 digits
            raise PolicyError("the number is too long", place=place) from None
    return _text(told, place)


def _shown(told: object) -> str:
    if told is None or isinstance(told, bool):
        return json.dumps(told)
    if isinstance(told, _Number):
        return str(told)[:60]
    if isinstance(told, str):
        return ascii(told if len(told) <= 80 else f"{told[:77]}...")
    return "an object" if isinstance(told, Mapping) else f"a {type(told).__name__}"
