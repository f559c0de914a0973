"""What a vendor throws becomes a reason an operator can act on; what nobody throws rises."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import (
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    IncompleteReadError,
    NoCredentialsError,
    PaginationError,
    ReadTimeoutError,
)
from botocore.parsers import ResponseParserError
from google.api_core import exceptions as api
from google.auth import exceptions as auth
from google.protobuf.message import DecodeError

from auditor.model import GAP_REASONS, Gap, Seen
from auditor.sources.ask import BudgetSpent, Malformed, Suspect, Truncated, guard, listed, reason_of


def refused(code: str, status: int = 400) -> ClientError:
    response: Any = {
        "Error": {"Code": code, "Message": "vendor's words"},
        "ResponseMetadata": {"HTTPStatusCode": status},
        "Auditor": {"service": "s3", "account": "111111111111", "region": "eu-west-1"},
    }
    return ClientError(response, "ListBuckets")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (refused("AccessDenied"), "denied"),
        (refused("AccessDeniedException"), "denied"),
        (refused("UnauthorizedOperation"), "denied"),
        (refused("SomethingNew", 403), "denied"),
        (refused("ExpiredToken"), "expired"),
        (refused("ExpiredTokenException", 403), "expired"),
        (refused("Throttling"), "throttled"),
        (refused("ThrottlingException"), "throttled"),
        (refused("SlowDown", 503), "throttled"),
        (refused("TooManyRequestsException", 429), "throttled"),
        (refused("InternalError", 500), "failed"),
        (refused("ResourceNotFoundException", 404), "failed"),
        (EndpointConnectionError(endpoint_url="x"), "hung"),
        (ConnectTimeoutError(endpoint_url="x"), "hung"),
        (ReadTimeoutError(endpoint_url="x"), "hung"),
        (IncompleteReadError(actual_bytes=1, expected_bytes=2), "malformed"),
        (ResponseParserError("x"), "malformed"),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "x"), "malformed"),
        (PaginationError(message="same token twice"), "truncated"),
        (NoCredentialsError(), "denied"),
        (api.PermissionDenied("x"), "denied"),
        (api.Unauthenticated("x"), "expired"),
        (api.ResourceExhausted("x"), "throttled"),
        (api.DeadlineExceeded("x"), "hung"),
        (api.ServiceUnavailable("x"), "failed"),
        (api.RetryError("x", cause=api.ResourceExhausted("y")), "throttled"),
        (api.RetryError("x", cause=api.ServiceUnavailable("y")), "hung"),
        (auth.DefaultCredentialsError("x"), "denied"),
        (auth.RefreshError("x"), "expired"),
        (auth.TransportError("x"), "hung"),
        (DecodeError("x"), "malformed"),
        (Suspect("x"), "suspect"),
        (Malformed("x"), "malformed"),
        (Truncated("x"), "truncated"),
        (BudgetSpent("x"), "hung"),
    ],
    ids=str,
)
def test_every_vendor_error_has_a_reason(error: Exception, reason: str) -> None:
    found = reason_of(error)
    assert found is not None
    assert found[0] == reason
    assert reason in GAP_REASONS
    assert found[1]


@pytest.mark.parametrize("error", [ValueError("x"), KeyError("x"), AssertionError()], ids=repr)
def test_a_mistake_of_ours_is_no_gap_of_theirs(error: Exception) -> None:
    assert reason_of(error) is None
    with pytest.raises(type(error)), guard(Seen("s3_bucket", "a")):
        raise error


def test_a_denied_call_names_the_permission_to_add() -> None:
    found = reason_of(refused("AccessDenied"))
    assert found == (
        "denied",
        "s3:ListBuckets AccessDenied in 111111111111/eu-west-1: add s3:ListAllMyBuckets to the role",
    )


def test_a_missing_list_is_suspect_and_an_empty_one_is_not() -> None:
    assert listed({"Buckets": []}, "Buckets") == []
    for page in ({}, {"Buckets": None}, {"Buckets": "x"}):
        with pytest.raises(Suspect, match="no Buckets"):
            listed(page, "Buckets")


def test_a_failed_listing_is_a_gap_for_all_that_only_it_can_lead_to() -> None:
    below = Seen("s3_object_version", "a")
    with guard(Seen("s3_bucket", "a"), also=[below]) as read:
        raise Suspect("nothing")
    assert [(each.table, type(each)) for each in read] == [
        ("s3_bucket", Gap),
        ("s3_object_version", Gap),
    ]
    with guard(Seen("s3_bucket", "a"), also=[below]) as read:
        pass
    assert list(read) == [Seen("s3_bucket", "a")]


def test_credentials_in_an_answer_that_cannot_be_parsed_are_never_told() -> None:
    from botocore.parsers import QueryParser

    body = b"<AssumeRoleResponse><AssumeRoleResult><Credentials><SecretAccessKey>very-secret</SecretAcc"
    with pytest.raises(ResponseParserError, match="very-secret") as told:
        QueryParser().parse({"status_code": 200, "headers": {}, "body": body}, None)
    reason = reason_of(told.value)
    assert reason is not None
    assert reason[0] == "malformed"
    assert "Unable to parse response" in reason[1]
    assert "secret" not in reason[1]
    assert "Credentials" not in reason[1]
