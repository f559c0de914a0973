"""Judge emulated replies by botocore's own model, so that an emulator that lies fails the test.

botocore's validator is made for input and lenient: it looks at no enum and no pattern, and skips plain values inside
lists. The judge looks at all three, and on the server's side at unknown members too (the client's parser drops them).
"""

from __future__ import annotations

import json
import re
from functools import cache
from typing import TYPE_CHECKING, Any

import botocore.session
from botocore.validate import ParamValidator, ValidationErrors

if TYPE_CHECKING:
    from auditor.sandbox.aws.books import Record


class Lie(AssertionError):  # noqa: N818 - the word for it
    """Raised for an emulated reply that AWS could never give."""


TOO_NARROW = {"ObjectVersionStorageClass": "StorageClass"}
"""Enums of S3's model that S3 itself does not keep to: versions are listed with every class that objects have."""


class ShapeJudge(ParamValidator):
    """botocore's validator on output shapes, strict where it is lenient."""

    def _shape_has_constraints(self, shape: Any) -> bool:  # noqa: ARG002 - botocore's signature
        return True

    def _validate_string(self, param: Any, shape: Any, errors: Any, name: str) -> None:
        super()._validate_string(param, shape, errors, name)  # type: ignore[misc]
        enum, pattern = shape.enum, shape.metadata.get("pattern")
        if shape.name in TOO_NARROW:
            enum = service_model("s3").shape_for(TOO_NARROW[shape.name]).enum
        if enum and param not in enum:
            errors.report(name, "invalid type", param=f"{param!r}", valid_types=list(enum))
        if isinstance(param, str) and pattern and not re.search(_plain(pattern), param):
            errors.report(name, "invalid type", param=f"{param!r}", valid_types=[pattern])


JUDGE = ShapeJudge()


@cache
def _plain(pattern: str) -> re.Pattern[str]:
    """Compile a pattern of AWS's models, which know classes and surrogate pairs of Java that Python does not."""
    pattern = pattern.replace(r"\uD800\uDC00-\uDBFF\uDFFF", "\U00010000-\U0010ffff")
    return re.compile(re.sub(r"\\p\{[A-Za-z]+\}", r"\\w\\s", pattern))


@cache
def service_model(service: str) -> Any:
    """Return botocore's model of a service."""
    return _session().get_service_model(service)


def data_loader() -> Any:
    """Return the one loader of botocore's models here: each new one lists all their folders again."""
    return _session().get_component("data_loader")


@cache
def _session() -> Any:
    return botocore.session.get_session()


def judge_reply(service: str, operation: str, reply: Record) -> None:
    """Judge a reply of ours before it is sent; raises Lie."""
    shape = service_model(service).operation_model(operation).output_shape
    if shape is None:
        if reply:
            raise Lie(f"{service}:{operation} answers nothing, not {sorted(reply)}")
        return
    _judge(f"{service}:{operation}", shape, reply)


def judge_member(service: str, shape: str, record: Record) -> Record:
    """Judge the members of a record that a shape has; returns the record, raises Lie."""
    model = service_model(service).shape_for(shape)
    known = {member: value for member, value in record.items() if member in model.members}
    _judge(f"{service} {shape}", model, known)
    return record


def only(service: str, shape: Any, record: Record) -> Record:
    """Return the members of a record that a shape (or the shape of that name) has."""
    model = service_model(service).shape_for(shape) if isinstance(shape, str) else shape
    return {member: value for member, value in record.items() if member in model.members}


def _judge(where: str, shape: Any, reply: Record) -> None:
    report: ValidationErrors = JUDGE.validate(reply, shape)
    problems = [report.generate_report()] if report.has_errors() else []
    problems += [f"Unknown member {path}" for path in _unknown(shape, reply, "")]
    if problems:
        raise Lie(f"{where} would break its own model: {'; '.join(problems)[:2000]}")


def _unknown(shape: Any, value: Any, path: str) -> list[str]:
    if shape.type_name == "structure" and isinstance(value, dict):
        return [
            found
            for name, inner in value.items()
            for found in (
                _unknown(shape.members[name], inner, f"{path}.{name}")
                if name in shape.members
                else [f"{path}.{name}"]
            )
        ]
    if shape.type_name == "list" and isinstance(value, list):
        return [found for inner in value for found in _unknown(shape.member, inner, f"{path}[]")]
    return []


def watch(client: Any, faults: dict[str, str]) -> Any:
    """Judge every reply that a boto3 client parses, whoever emulated it; `faults` collects by service:operation."""

    def check(http_response: Any, parsed: Record, model: Any, **_: Any) -> None:
        if http_response.status_code >= 300 or model.output_shape is None:
            return
        body = _encoded({k: v for k, v in parsed.items() if k != "ResponseMetadata"})
        streamed = model.get_streaming_output()
        if streamed is not None:
            body.pop(model.output_shape.serialization["payload"], None)
        report = JUDGE.validate(body, model.output_shape)
        if report.has_errors():
            service = client.meta.service_model.service_name
            faults[f"{service}:{model.name}"] = report.generate_report()

    client.meta.events.register("after-call", check)
    return client


def _encoded(value: Any) -> Any:
    """Turn policy documents that botocore decoded by itself back to the text its model promises."""
    if isinstance(value, dict):
        return {
            name: json.dumps(inner)
            if isinstance(inner, dict) and (name.endswith("PolicyDocument") or name == "Document")
            else _encoded(inner)
            for name, inner in value.items()
        }
    return [_encoded(inner) for inner in value] if isinstance(value, list) else value
