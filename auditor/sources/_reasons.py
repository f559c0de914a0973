"""What can go wrong while a source is read, and the reason of the gap that it leaves, with what the operator can do."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from auditor.canonical import safe_text
from auditor.sources.clients import BudgetSpent


class Suspect(Exception):  # noqa: N818
    """An answer too empty to be believed."""


class Malformed(Exception):  # noqa: N818
    """An answer that cannot be understood."""


class Refused(Exception):  # noqa: N818
    """A call that was not answered, with the gap's reason: for services without a client of their vendor's."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


class Truncated(Exception):  # noqa: N818
    """A listing whose first pages were read and whose end was not."""


_LEADS_ON = frozenset({"failed", "hung", "malformed", "suspect"})
"""Reasons that mean, after a first page, that the listing was cut: a later scan may read on."""


def cut_short(read: int, error: Exception) -> Truncated | None:
    """Return what to raise of a listing that ended in the middle, after `read` pages; None: the error as it is."""
    found = reason_of(error)
    if read and found and found[0] in _LEADS_ON:
        return Truncated(f"after {read} pages: {found[1]}")
    return None


_EXPIRED = {"RequestExpired", "TokenRefreshRequired", "ExpiredToken", "ExpiredTokenException"}
_THROTTLED = {
    "SlowDown",
    "RequestLimitExceeded",
    "BandwidthLimitExceeded",
    "PriorRequestNotComplete",
    "ProvisionedThroughputExceededException",
    "TransactionInProgressException",
}
_DENIED = {
    "UnauthorizedOperation",
    "AuthFailure",
    "AllAccessDisabled",
    "NotAuthorized",
    "Forbidden",
    "403",
    "OptInRequired",
    "SubscriptionRequiredException",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
    "MissingAuthenticationToken",
    "KMS.AccessDeniedException",
}
_ACTIONS = {
    "s3:ListBuckets": "s3:ListAllMyBuckets",
    "s3:ListObjectsV2": "s3:ListBucket",
    "s3:ListObjectVersions": "s3:ListBucketVersions",
    "s3:HeadObject": "s3:GetObject",
    "s3:HeadBucket": "s3:ListBucket",
    "s3:GetBucketEncryption": "s3:GetEncryptionConfiguration",
    "s3:GetBucketLifecycleConfiguration": "s3:GetLifecycleConfiguration",
    "s3:GetBucketReplication": "s3:GetReplicationConfiguration",
    "s3:GetBucketNotificationConfiguration": "s3:GetBucketNotification",
    "s3:GetObjectLockConfiguration": "s3:GetBucketObjectLockConfiguration",
    "s3:GetPublicAccessBlock": "s3:GetBucketPublicAccessBlock",
    "s3control:GetPublicAccessBlock": "s3:GetAccountPublicAccessBlock",
}
"""Operations whose permission has another name (AWS Service Authorization Reference, Amazon S3)."""


def reason_of(error: Exception, *, action: str = "") -> tuple[str, str] | None:
    """Return a gap's reason and its detail for the operator; None for what no vendor throws."""
    if isinstance(error, Refused):
        return error.reason, error.detail
    if isinstance(error, Suspect):
        return "suspect", str(error)
    if isinstance(error, Truncated):
        return "truncated", str(error)
    if isinstance(error, BudgetSpent):
        return "hung", str(error)
    if isinstance(error, Malformed | UnicodeDecodeError):
        return "malformed", _words(error)
    return _aws_reason(error, action) or _gcp_reason(error, action)


def _words(error: object, limit: int = 300) -> str:
    text = " ".join(safe_text(str(error)).split())
    return text if len(text) <= limit else text[:limit] + " …"


def _aws_reason(error: Exception, action: str) -> tuple[str, str] | None:
    if "botocore.exceptions" not in sys.modules:
        return None
    from botocore import exceptions as botocore

    if isinstance(error, botocore.ClientError):
        return _client_error(error, action)
    from botocore.parsers import ResponseParserError

    if isinstance(error, ResponseParserError):  # an Exception, and no BotoCoreError
        # What it quotes after this is the body: of an AssumeRole, the keys.
        said, quotes, _ = str(error).partition(", invalid XML received")
        return "malformed", _words(f"{said}: invalid XML" if quotes else error)
    if not isinstance(error, botocore.BotoCoreError | botocore.HTTPClientError):
        return None
    match error:
        case botocore.PaginationError():
            reason = "truncated"
        case botocore.IncompleteReadError() | botocore.ResponseStreamingError():
            reason = "malformed"
        case (
            botocore.EndpointConnectionError() | botocore.ConnectTimeoutError() | botocore.ReadTimeoutError()
        ):
            reason = "hung"
        case botocore.UnauthorizedSSOTokenError() | botocore.TokenRetrievalError():
            reason = "expired"
        case (
            botocore.NoCredentialsError()
            | botocore.PartialCredentialsError()
            | botocore.CredentialRetrievalError()
        ):
            reason = "denied"
        case _:
            reason = "failed"
    return reason, _words(error)


def _client_error(error: Any, action: str) -> tuple[str, str]:
    said = error.response.get("Error", {})
    code, status = str(said.get("Code", "")), _status(error.response)
    asked = error.response.get("Auditor", {})
    if error.operation_name == "AssumeRole":
        operation, advice = "sts:AssumeRole", "see that the role exists and that it trusts the caller"
    else:
        operation = f"{asked.get('service', '')}:{error.operation_name}".removeprefix(":")
        advice = f"add {action or _ACTIONS.get(operation, operation)} to the role"
    where = "/".join(filter(None, (asked.get("account"), asked.get("region"))))
    head = f"{operation} {code}" + (f" in {where}" if where else "")
    if code in _EXPIRED or code.startswith("ExpiredToken"):
        return "expired", f"{head}: renew the credentials and scan again"
    if code in _THROTTLED or "Throttl" in code or code.startswith("TooManyRequests"):
        return "throttled", f"{head}: scan at a quieter time or ask AWS for a higher rate"
    if code in _DENIED or code.startswith("AccessDenied") or status == 403:
        return "denied", f"{head}: {advice}"
    return "failed", _words(f"{head}: {said.get('Message', '')}")


def _status(response: Mapping[str, Any]) -> int:
    return int(response.get("ResponseMetadata", {}).get("HTTPStatusCode") or 0)


def _gcp_reason(error: Exception, action: str) -> tuple[str, str] | None:
    named = {f"{kind.__module__}.{kind.__name__}" for kind in type(error).__mro__}
    if "google.api_core.exceptions.RetryError" in named:
        cause = getattr(error, "cause", None)
        found = _gcp_reason(cause, action) if isinstance(cause, Exception) else None
        return found if found and found[0] != "failed" else ("hung", _words(error))
    for kinds, reason, advice in _GCP:
        if not named.isdisjoint(kinds):
            permission = f": grant {action}" if action and reason == "denied" else advice
            return reason, _words(f"{type(error).__name__}: {error}") + permission
    return None


_API = "google.api_core.exceptions."
_GCP = (
    ({_API + "Forbidden"}, "denied", ": grant the permission it names"),
    (
        {_API + "Unauthorized", "google.auth.exceptions.RefreshError"},
        "expired",
        ": renew the credentials and scan again",
    ),
    (
        {"google.auth.exceptions.DefaultCredentialsError"},
        "denied",
        ": set up Application Default Credentials",
    ),
    (
        {_API + "TooManyRequests"},
        "throttled",
        ": scan at a quieter time or ask Google for a higher quota",
    ),
    ({_API + "GatewayTimeout", "google.auth.exceptions.TransportError"}, "hung", ""),
    ({"google.protobuf.message.DecodeError"}, "malformed", ""),
    ({_API + "GoogleAPIError", "google.auth.exceptions.GoogleAuthError"}, "failed", ""),
)
"""Kinds of exceptions, the first that fits: PermissionDenied is a Forbidden, ResourceExhausted a
TooManyRequests, Unauthenticated an Unauthorized, DeadlineExceeded a GatewayTimeout."""
