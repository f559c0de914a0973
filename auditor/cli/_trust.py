"""What the trust commands share: policies read from files and lines, and rows as docs/json.md has them."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auditor.errors import UsageError

if TYPE_CHECKING:
    from auditor.policy.compare import Comparison
    from auditor.policy.documents import Document
    from auditor.policy.findings import Finding
    from auditor.policy.model import Policy, Request
    from auditor.policy.who import Who

NOT_FINE = ("wider", "incomparable", "undecided")
"""Verdicts that a change must not have where only narrowing is accepted."""


def text_of(path: str) -> str:
    """Read a file, or stdin for `-`."""
    octets = sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
    try:
        return octets.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = octets.count(b"\n", 0, error.start) + 1
        raise UsageError(f"{path}, line {line}: not UTF-8", remedy="Save it as UTF-8.") from None


def given(pairs: Sequence[str], account: str | None) -> dict[str, str]:
    """Return what was said with `--set` and `--account` about values that a template leaves open."""
    values = {"AWS::AccountId": account} if account else {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise UsageError(f"--set takes NAME=VALUE, not {pair!r}")
        values[name] = value
    return values


def documents_of(path: str, values: Mapping[str, str]) -> tuple[Document, ...]:
    """Return the trust policies of a file of any kind that is known."""
    from auditor.policy.documents import documents

    text, name = text_of(path), "stdin" if path == "-" else path
    tree = None
    if path.lower().endswith((".yaml", ".yml", ".template")) and not text.lstrip().startswith("{"):
        from auditor.cli._templates import read

        tree = read(text, name)
    return documents(text, name, tree=tree, values=values)


def policy_of(document: Document, *, strict: bool = True) -> Policy:
    """Parse a document; the error names its file and role."""
    from auditor.policy.parse import PolicyError, parse

    if document.policy_text is None:
        raise UsageError(f"{document.name}: {document.error}")
    try:
        return parse(document.policy_text, strict=strict)
    except PolicyError as error:
        wrong = UsageError(f"{document.name}: {error.args[0]}")
        wrong.__cause__ = error
        raise wrong from error


def all_documents(paths: tuple[str, ...], values: Mapping[str, str]) -> list[Document]:
    """Return the trust policies of all files."""
    if not paths:
        raise UsageError("no file was named", remedy="Name a policy document, or - for stdin.")
    return [each for path in paths for each in documents_of(path, values)]


def pairs(
    paths: tuple[str, ...], values: Mapping[str, str]
) -> list[tuple[Document | None, Document | None, str]]:
    """Return what is to be compared with what: two files role by role, or a plan's two sides."""
    if len(paths) not in (1, 2):
        raise UsageError(
            "two files are compared", remedy="Name two, or --base OLD NEW, or one Terraform plan."
        )
    read = [all_documents((path,), values) for path in paths]
    if len(read) == 1:
        if not any(each.side for each in read[0]):
            raise UsageError(
                f"{paths[0]} is no Terraform plan, and there is no second file", remedy="Name two files."
            )
        sides = [[each for each in read[0] if each.side == side] for side in ("before", "after")]
    else:
        sides = [[each for each in found if each.side != "before"] for found in read]
    if len(sides[0]) == len(sides[1]) == 1:
        return [(sides[0][0], sides[1][0], sides[1][0].name)]
    old, new = ({each.role: each for each in side} for side in sides)
    names = [*new, *(role for role in old if role not in new)]
    return [(old.get(role), new.get(role), (new.get(role) or old[role]).name) for role in names]


def or_nobody(document: Document | None) -> Policy:
    """Return a policy; a role that is not there admits nobody."""
    from auditor.policy.model import NEW_VERSION, Policy

    return Policy(NEW_VERSION, None, ()) if document is None else policy_of(document)


def title(document: Document | None, side: str) -> str:
    """Name one side of a comparison."""
    if document is None:
        return f"no role {side}"
    return f"{document.name} ({document.side})" if document.side else document.name


def finding_row(found: Finding) -> dict[str, Any]:
    """Return a finding as JSON."""
    from auditor.policy.words import sentence

    return {
        "name": found.name,
        "severity": found.severity,
        "because": found.because,
        "witness": found.witness.as_dict() if found.witness else None,
        "in_words": sentence(found.witness) if found.witness else None,
        "statements": list(found.statements),
    }


def who_row(row: Who) -> dict[str, Any]:
    """Return one who may assume the role as JSON."""
    tests = [{"operator": each.operator, "key": each.key, "values": list(each.values)} for each in row.tests]
    return {"kind": row.kind, "principal": row.principal, "tests": tests, "example": _request(row.example)}


def comparison_row(language: Comparison, feasible: Comparison) -> dict[str, Any]:
    """Return a comparison as JSON: the verdict is that of the texts."""
    return {
        "verdict": language.verdict,
        "level": "language",
        "feasible_verdict": feasible.verdict,
        "witness_a_only": _request(language.witness_a_only),
        "witness_b_only": _request(language.witness_b_only),
        "because": language.because,
    }


def recognisable(found: Comparison, a: Policy, b: Policy) -> Comparison:
    """Return the comparison with witnesses that people recognise, each checked again."""
    from auditor.policy.evaluate import admits
    from auditor.policy.words import plainer

    def only(one: Policy, other: Policy, witness: Request | None) -> Request | None:
        if witness is None:
            return None
        return plainer(witness, lambda each: admits(one, each) and not admits(other, each))

    a_only, b_only = only(a, b, found.witness_a_only), only(b, a, found.witness_b_only)
    return replace(found, witness_a_only=a_only, witness_b_only=b_only)


def _request(request: Request | None) -> dict[str, Any] | None:
    return request.as_dict() if request else None


# Batches: JSON lines in, JSON lines out, same order; an error is a row


def batch(paths: Sequence[str], answer: Callable[[Mapping[str, Any]], Mapping[str, Any]]) -> None:
    """Answer every line of the files, or of stdin."""
    out = sys.stdout
    for number, line in enumerate(_lines(paths), 1):
        if line.strip():
            out.write(json.dumps(_row(line, number, answer), sort_keys=True) + "\n")
            out.flush()


def _lines(paths: Sequence[str]) -> Iterator[bytes]:
    for path in paths or ("-",):
        if path == "-":
            yield from sys.stdin.buffer
        else:
            with Path(path).open("rb") as file:
                yield from file


def _row(
    line: bytes, number: int, answer: Callable[[Mapping[str, Any]], Mapping[str, Any]]
) -> dict[str, Any]:
    from auditor.policy.findings import refused
    from auditor.policy.parse import PolicyError

    try:
        asked = _asked(line)
    except (ValueError, RecursionError) as error:
        return {"id": None, "error": f"line {number}: not JSON: {error}", "place": None}
    if not isinstance(asked, dict):
        return {"id": None, "error": f"line {number}: a line is a JSON object", "place": None}
    about = {"id": asked.get("id")}
    try:
        return {**about, **answer(asked)}
    except PolicyError as error:
        named = [finding_row(each) for each in refused(error)]
        more = {"findings": named, "who": []} if named else {}
        return {**about, "error": error.args[0], "place": error.place or None, **more}
    except UsageError as error:
        return {**about, "error": error.args[0], "place": None}
    except RecursionError:
        return {**about, "error": "nested too deeply", "place": None}


def _asked(line: bytes) -> Any:
    """Read a line; a policy in which a key stands twice becomes its text."""
    from auditor.policy.once import TwiceError, once

    text = line.decode("utf-8-sig")
    try:
        return json.loads(text, object_pairs_hook=once)
    except TwiceError:
        from auditor.policy.documents import parts

        return parts(text)


def policy_in(asked: Mapping[str, Any], name: str, *, strict: bool = True) -> Policy:
    """Return the policy under a name, as an object or as text under `NAME_text`."""
    from auditor.policy.documents import decoded
    from auditor.policy.parse import PolicyError, parse

    text = asked.get(f"{name}_text")
    if isinstance(text, str):
        held: Any = decoded(text)
    elif text is not None:
        raise UsageError(f"{name}_text is a text, not {type(text).__name__}")
    elif name in asked:
        held = asked[name]
    else:
        raise UsageError(f"there is neither {name} nor {name}_text")
    try:
        return parse(held, strict=strict)
    except PolicyError as error:
        if name in ("a", "b"):  # two policies in one line: say which
            error.args = (f"{name}: {error.args[0]}",)
        raise
