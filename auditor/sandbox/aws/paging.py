"""Pages as AWS Backup, CloudTrail and others cut them: names of tokens and lists from botocore's own paginators."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from functools import cache
from typing import Any

from auditor.sandbox.aws.books import Params, Record, Refused
from auditor.sandbox.aws.judge import data_loader, only, service_model

MOST = 1000
"""Rows of a page when the caller names no number."""


@cache
def _paging(service: str, operation: str) -> tuple[str, str, str, str]:
    form = data_loader().load_service_model(service, "paginators-1")["pagination"][operation]
    return form["input_token"], form["output_token"], form.get("limit_key", ""), form["result_key"]


def page(service: str, operation: str, asked: Params, rows: Sequence[Record], *, most: int = MOST) -> Record:
    """Return one page of rows, each with the members its shape has; raises Refused for a token we never gave."""
    came, goes, limit, key = _paging(service, operation)
    shape = service_model(service).operation_model(operation).output_shape.members[key].member
    start = offset(asked.get(came))
    size = min(int(asked.get(limit) or most), most)
    reply: Record = {key: [only(service, shape, row) for row in rows[start : start + size]]}
    if start + size < len(rows):
        reply[goes] = token(start + size)
    return reply


def token(start: int) -> str:
    """Write where the next page starts as an opaque token."""
    return base64.urlsafe_b64encode(f"from:{start}".encode()).decode().rstrip("=")


def offset(given: Any) -> int:
    """Read a token; raises Refused for one we never gave."""
    if not given:
        return 0
    try:
        text = base64.urlsafe_b64decode(str(given) + "=" * (-len(str(given)) % 4)).decode()
        return int(text.removeprefix("from:"))
    except ValueError as error:
        raise Refused("InvalidParameterValueException", "the page token is not valid") from error
