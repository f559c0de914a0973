"""A JSON Schema of rule files, for editors: every key, subject, severity, control and verdict that the loader knows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from auditor.model import SEVERITIES, Verdict
from auditor.rulelang.block import OPTIONAL, REQUIRED
from auditor.schema import Table

DRAFT = "https://json-schema.org/draft/2020-12/schema"
_TEXT = {"type": "string", "minLength": 1}
_DURATION = {"type": "string", "pattern": "^[0-9]+[smhd]$"}
_VALUE: dict[str, Any] = {"type": ["integer", "string", "boolean", "array", "null"]}
_WORDS = {
    "id": "A slug of the rule's own, such as export-captured-in-time.",
    "code": "The catalogue's code, such as CHN-001; one of your own needs letters that no shipped pack uses.",
    "title": "What holds when the rule passes, in a few words.",
    "supports": "Controls that it helps, as framework/control.",
    "evidences": "Those that it may make evidenced.",
    "for": "The subject it judges: an entity of docs/tables.md.",
    "when": "It applies where this is true; false is not_applicable, NULL is unknown.",
    "due": "It is due where this is true; until then not_applicable, reason not_due.",
    "because": "The sentence of a failure, with {columns} and {:parameters}.",
    "because_pass": "The sentence of a pass.",
    "remedy": "What to do: the command or the console path.",
    "needs_history": "How far gap-free scans must reach back before it may pass.",
    "cannot": "Verdicts it never gives, each with the reason.",
}


def json_schema(entities: Iterable[Table], controls: Iterable[str]) -> dict[str, Any]:
    """Return the schema of a rule file, given the subjects and the controls there are."""
    subjects = {table.entity: table for table in entities if table.entity}
    verdicts = [str(verdict) for verdict in Verdict]
    control = {"enum": sorted(controls)}
    properties: dict[str, Any] = {
        "id": {"type": "string", "pattern": "^[a-z0-9]+(-[a-z0-9]+)*$"},
        "code": {"type": "string", "pattern": "^[A-Z]{2,5}-[0-9]{3}$"},
        "title": _TEXT,
        "severity": {"enum": list(SEVERITIES)},
        "supports": {"type": "array", "minItems": 1, "uniqueItems": True, "items": control},
        "evidences": {"type": "array", "uniqueItems": True, "items": control},
        "for": {"enum": sorted(subjects)},
        "when": _TEXT,
        "due": _TEXT,
        "params": _params(),
        "checks": {
            "type": "array",
            "minItems": 1,
            "items": _closed({"name": _TEXT, "expr": _TEXT}, ("name", "expr")),
        },
        "because": _TEXT,
        "because_pass": _TEXT,
        "remedy": _TEXT,
        "needs_history": _DURATION,
        "cannot": {
            "type": "object",
            "propertyNames": {"enum": verdicts},
            "additionalProperties": _TEXT,
        },
        "examples": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/example"}},
    }
    for name, said in _WORDS.items():
        properties[name] = {**properties[name], "description": said}
    rest = {name: True for name in (*REQUIRED, *OPTIONAL) if name not in properties}
    rule = _closed({**properties, **rest}, REQUIRED) | {
        # The facts that an example may give are the columns of the rule's own subject.
        "allOf": [_facts_of(table) for _, table in sorted(subjects.items())]
    }
    example = _closed(
        {
            "given": {"type": "object"},
            "params": {"type": "object", "additionalProperties": _VALUE},
            "zone": {"type": ["string", "null"]},
            "not_collected": {"type": "array", "items": _TEXT},
            "verdict": {"enum": verdicts},
        },
        ("verdict",),
    )
    rules = {"type": "array", "items": {"$ref": "#/$defs/rule"}}
    return {
        "$schema": DRAFT,
        "title": "A pack of rules",
        **_closed(
            {
                "pack": _TEXT,
                "rules": rules,
                "overrides": {"type": "array", "items": {"$ref": "#/$defs/override"}},
            },
            ("pack",),
        ),
        "$defs": {"rule": rule, "example": example, "override": _override()},
    }


def _closed(properties: Mapping[str, Any], required: Iterable[str]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(required),
        "additionalProperties": False,
    }


def _override() -> dict[str, Any]:
    words = {"rule": _TEXT, "reason": _TEXT, "approved_by": _TEXT}
    either = [{"required": ["params"]}, {"required": ["off"]}]
    return _closed({**words, "params": _params(), "off": {"const": True}}, words) | {"oneOf": either}


def _params() -> dict[str, Any]:
    by_zone = {"type": "object", "additionalProperties": _VALUE}
    return {
        "type": "object",
        "propertyNames": {"pattern": "^[a-z][a-z0-9_]*$"},
        "additionalProperties": {"anyOf": [_VALUE, by_zone]},
        "description": "Parameters: a value, or {default: VALUE, zone: VALUE}.",
    }


def _facts_of(table: Table) -> dict[str, Any]:
    facts = {column.name: {"description": column.meaning} for column in table.columns}
    given = {"properties": {"given": {"properties": facts, "additionalProperties": False}}}
    return {
        "if": {"properties": {"for": {"const": table.entity}}, "required": ["for"]},
        "then": {"properties": {"examples": {"items": given}}},
    }
