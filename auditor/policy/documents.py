"""Trust policies out of the files people have: a bare document, IAM's answers, templates and plans.

A document is handed on as text, key by key as it stood, so that a key which stands twice is still refused by the
parser. A value that a template leaves open (`Ref`, `Fn::GetAtt`, known after apply) is named and never guessed:
that one role cannot be judged, the others can.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import unquote_to_bytes

_ARN_ACCOUNT = re.compile(r"arn:aws[a-z-]*:iam::(\d{12}):")
_SUB = re.compile(r"\$\{(!?)([^}]*)\}")
_DEEPEST = 200
_FILES = ("RoleDetailList", "Roles", "Resources", "resource_changes", "planned_values", "values")
"""Keys that tell a file of many roles, also when it holds none."""


@dataclass(frozen=True, slots=True)
class Document:
    """One trust policy of a file, or why it cannot be read."""

    name: str
    """The file, and in a file of many the role: its ARN, its logical name or its address."""
    policy_text: str | None
    account: str | None = None
    """The role's own account, where the file tells."""
    error: str | None = None
    side: str = ""
    """`before` or `after` in a plan; else empty."""
    role: str = ""
    """The role within its file; empty for a bare document."""


@dataclass(frozen=True, slots=True)
class Entries:
    """A JSON object with every key as often as it stands."""

    pairs: tuple[tuple[str, Any], ...]

    def get(self, key: str) -> Any:
        """Return the last value under a key, or None."""
        return next((value for name, value in reversed(self.pairs) if name == key), None)

    def __contains__(self, key: str) -> bool:
        return any(name == key for name, _ in self.pairs)


class Open(Exception):  # noqa: N818  # a value left open is no error of the template
    """Raised for a value that the template does not hold."""


@dataclass(frozen=True, slots=True)
class _Number:
    """A number as it was written."""

    text: str


def documents(
    text: str,
    name: str,
    *,
    tree: Any = None,
    values: Mapping[str, str] | None = None,
) -> tuple[Document, ...]:
    """Return every trust policy of a file, in its order; a file that cannot be read gives one with `error`.

    `tree` is the file already read (YAML); `values` gives what a template leaves open, by name
    (`AWS::AccountId`, a parameter, `Resource.Arn`).
    """
    written = tree is None
    if written:
        text = decoded(text)
        try:
            tree = json.loads(text, object_pairs_hook=_entries, parse_int=_Number, parse_float=_Number)
        except (ValueError, RecursionError):
            return (Document(name, text),)  # the parser says what is wrong, and where
    if isinstance(tree, Entries) and "Statement" not in tree:
        if found := tuple(_found(tree, name, values or {})):
            return found
        if any(key in tree for key in _FILES):
            return (Document(name, None, error="there is no role with a trust policy in it"),)
    return (Document(name, text) if written else _document(name, tree),)


def decoded(text: str) -> str:
    """Return a document as JSON: IAM's own answers hold it URL-encoded (RFC 3986)."""
    start = text.lstrip("\ufeff \t\r\n")
    if start[:3].lower() == "%7b":
        return unquote_to_bytes(start.strip()).decode("utf-8", "replace")
    return text.removeprefix("\ufeff")


def _entries(pairs: list[tuple[str, Any]]) -> Entries:
    return Entries(tuple(pairs))


def _found(tree: Entries, name: str, values: Mapping[str, str]) -> Iterator[Document]:
    """Yield the trust policies of whatever kind of file this is."""
    for each in _of_file(tree, name, values):
        yield replace(each, role=each.name.removeprefix(f"{name}: ") if each.name != name else "")


def _of_file(tree: Entries, name: str, values: Mapping[str, str]) -> Iterator[Document]:
    if isinstance(role := tree.get("Role"), Entries):
        yield from _role(role, name)
    elif isinstance(roles := tree.get("RoleDetailList") or tree.get("Roles"), list):
        for at, each in enumerate(roles):
            if isinstance(each, Entries):
                yield from _role(each, f"{name}: role {at}")
    elif "AssumeRolePolicyDocument" in tree:
        yield from _role(tree, name)
    elif isinstance(resources := tree.get("Resources"), Entries):
        for logical, resource in resources.pairs:
            if isinstance(resource, Entries) and resource.get("Type") == "AWS::IAM::Role":
                yield _of_template(resource, f"{name}: {logical}", values)
    elif isinstance(changes := tree.get("resource_changes"), list):
        for change in changes:
            if isinstance(change, Entries) and change.get("type") == "aws_iam_role":
                yield from _of_plan(change, name)
    elif isinstance(state := tree.get("planned_values") or tree.get("values"), Entries):
        yield from _of_module(state.get("root_module"), name)


def _role(role: Entries, otherwise: str) -> Iterator[Document]:
    """Yield a role's trust policy as IAM answers it: an object, or text that is URL-encoded or not."""
    arn = role.get("Arn")
    name = arn if isinstance(arn, str) else otherwise
    held = role.get("AssumeRolePolicyDocument")
    if held is None:
        yield Document(name, None, account_of(arn), error="its AssumeRolePolicyDocument is not there")
    elif isinstance(held, str):
        yield Document(name, decoded(held), account_of(arn))
    else:
        yield _document(name, held, account_of(arn))


def account_of(arn: object) -> str | None:
    """Return the account of an IAM ARN, or None."""
    found = _ARN_ACCOUNT.match(arn) if isinstance(arn, str) else None
    return found[1] if found else None


def _of_template(resource: Entries, name: str, values: Mapping[str, str]) -> Document:
    properties = resource.get("Properties")
    held = properties.get("AssumeRolePolicyDocument") if isinstance(properties, Entries) else None
    if held is None:
        return Document(name, None, error="its AssumeRolePolicyDocument is not there")
    account = values.get("AWS::AccountId")
    try:
        resolved = _resolved(held, "AssumeRolePolicyDocument", values, _DEEPEST)
    except Open as left:
        return Document(name, None, account, error=str(left))
    return (
        Document(name, decoded(resolved), account)
        if isinstance(resolved, str)
        else _document(name, resolved, account)
    )


def _resolved(value: Any, place: str, values: Mapping[str, str], left: int) -> Any:
    """Return a value with every intrinsic function worked out; Open names the first that cannot be."""
    if left == 0:
        raise Open(f"{place}: nested too deeply")
    if isinstance(value, list):
        return [_resolved(each, f"{place}[{at}]", values, left - 1) for at, each in enumerate(value)]
    if not isinstance(value, Entries):
        return value
    if len(value.pairs) == 1:
        (function, argument) = value.pairs[0]
        if function == "Ref" or function.startswith("Fn::"):
            return _worked_out(function, argument, place, values, left)
    return Entries(
        tuple((key, _resolved(each, f"{place}.{key}", values, left - 1)) for key, each in value.pairs)
    )


def _worked_out(function: str, argument: Any, place: str, values: Mapping[str, str], left: int) -> str:
    if function == "Ref" and isinstance(argument, str):
        return _given(argument, f"Ref {argument}", place, values)
    if function == "Fn::GetAtt":
        path = (
            argument
            if isinstance(argument, str)
            else ".".join(map(str, argument))
            if isinstance(argument, list)
            else "?"
        )
        return _given(path, f"Fn::GetAtt {path}", place, values)
    if function == "Fn::Sub":
        return _substituted(argument, place, values, left)
    if (
        function == "Fn::Join"
        and isinstance(argument, list)
        and len(argument) == 2
        and isinstance(argument[1], list)
    ):
        parts = _resolved(argument[1], place, values, left - 1)
        if isinstance(argument[0], str) and all(isinstance(part, str) for part in parts):
            return argument[0].join(parts)
    raise Open(f"{place} is made by {function}, and the template alone does not say what it gives")


def _given(name: str, said: str, place: str, values: Mapping[str, str]) -> str:
    if name in values:
        return values[name]
    raise Open(f"{place} is {said}, whose value the template does not hold; --set {name}=VALUE gives it")


def _substituted(argument: Any, place: str, values: Mapping[str, str], left: int) -> str:
    """Return the text of a Fn::Sub: `${Name}` filled in, `${!Name}` as `${Name}`."""
    text, own = argument, dict(values)
    if isinstance(argument, list) and len(argument) == 2 and isinstance(argument[1], Entries):
        text = argument[0]
        for key, each in argument[1].pairs:
            filled = _resolved(each, place, values, left - 1)
            if isinstance(filled, str):
                own[key] = filled
    if not isinstance(text, str):
        raise Open(f"{place} is made by Fn::Sub, which has no text to fill in")

    def fill(found: re.Match[str]) -> str:
        if found[1]:
            return f"${{{found[2]}}}"
        return _given(found[2].strip(), f"Fn::Sub with ${{{found[2]}}}", place, own)

    return _SUB.sub(fill, text)


def _of_plan(change: Entries, name: str) -> Iterator[Document]:
    """Yield the trust policy that a plan finds, and the one that it leaves."""
    address = change.get("address")
    what = change.get("change")
    if not isinstance(what, Entries):
        return
    before, after = what.get("before"), what.get("after")
    account = account_of(before.get("arn")) if isinstance(before, Entries) else None
    label = f"{name}: {address}" if isinstance(address, str) else name
    for side, state in (("before", before), ("after", after)):
        if isinstance(state, Entries) and isinstance(held := state.get("assume_role_policy"), str):
            yield Document(label, held, account, side=side)
        elif side == "after" and isinstance(after, Entries):
            yield Document(label, None, account, "its assume_role_policy is known only after apply", side)


def _of_module(module: Any, name: str) -> Iterator[Document]:
    """Yield the trust policies of a state or of planned values, module by module."""
    waiting = [module]
    while waiting:
        here = waiting.pop(0)
        if not isinstance(here, Entries):
            continue
        for each in _listed(here.get("resources")):
            state = each.get("values") if isinstance(each, Entries) else None
            if (
                isinstance(state, Entries)
                and each.get("type") == "aws_iam_role"
                and each.get("mode") != "data"
            ):
                label, held = f"{name}: {each.get('address')}", state.get("assume_role_policy")
                account = account_of(state.get("arn"))
                if isinstance(held, str):
                    yield Document(label, held, account)
                else:
                    yield Document(label, None, account, "its assume_role_policy is known only after apply")
        waiting += _listed(here.get("child_modules"))


def parts(text: str) -> Any:
    """Return a JSON object whose own values that are objects stand as JSON text, every key as often as it was."""
    tree = json.loads(text, object_pairs_hook=_entries, parse_int=_Number, parse_float=_Number)
    if not isinstance(tree, Entries):
        return tree
    try:
        return {key: _plain(value) for key, value in tree.pairs}
    except Open as error:
        raise ValueError(str(error)) from None


def _plain(value: Any) -> Any:
    if isinstance(value, _Number):
        return json.loads(value.text)
    return _text(value, _DEEPEST) if isinstance(value, Entries) else value


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _document(name: str, tree: Any, account: str | None = None) -> Document:
    try:
        return Document(name, _text(tree, _DEEPEST), account)
    except Open as error:
        return Document(name, None, account, str(error))


def _text(tree: Any, left: int) -> str:
    """Write a tree as JSON, every key as often as it stands."""
    if left == 0:
        raise Open("nested too deeply")
    if isinstance(tree, Entries):
        return (
            "{" + ", ".join(f"{json.dumps(key)}: {_text(each, left - 1)}" for key, each in tree.pairs) + "}"
        )
    if isinstance(tree, list):
        return "[" + ", ".join(_text(each, left - 1) for each in tree) + "]"
    return tree.text if isinstance(tree, _Number) else json.dumps(tree)
