"""Denied attempts to start work or to act as somebody, a row a principal, place and day, and who reviewed them.

One row an attempt would drown the reader: whoever is refused tries again. A review counts when it was signed after the latest
attempt of the day, and by somebody else than the principal.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from auditor.correlate import Tables
from auditor.correlate.callers import bare, caller
from auditor.correlate.zoning import Row, seconds, strictest_declared
from auditor.persons import same_person

TABLE = "audit_entry_facts"
READS = ("gcp_audit_entry", "sts_session", "history_signoff", "config_zone", "as_of")

KIND = "denied-attempts"
"""Kind of the sign-offs that are reviews of denied attempts."""
ATTEMPTS = (
    "SubmitJob",
    "SubmitJobAsOperation",
    "CreateBatch",
    "CreateSession",
    "InstantiateWorkflowTemplate",
    "InstantiateInlineWorkflowTemplate",
    "CreateCluster",
    "GenerateAccessToken",
    "GenerateIdToken",
)
"""Calls that start work, or need the right to act as a service account (iam.serviceAccounts.actAs or getAccessToken)."""
_DENIED = {7, 16}
"""google.rpc.Code: PERMISSION_DENIED, UNAUTHENTICATED."""
_REFUSED = ("AccessDenied", "Unauthorized", "InvalidIdentityToken", "IDPRejectedClaim", "ExpiredToken")
"""Error codes of STS that mean a caller was refused, as they begin (STS API reference, AssumeRole*)."""


def derive(tables: Tables) -> Iterator[Mapping[str, Any]]:
    """Yield one row a principal, place and day with denied attempts."""
    (now,) = tables["as_of"]
    zone = strictest_declared(tables["config_zone"])
    found: dict[str, list[tuple[Any, str]]] = defaultdict(list)
    about: dict[str, dict[str, Any]] = {}
    for at, place, principal, method, cloud in _denied(tables):
        day = f"{at:%Y-%m-%d}"
        key = f"{day}/{place or '-'}/{principal or '-'}"
        found[key].append((at, method))
        where = {"account": None, "project": place} if cloud == "gcp" else {"account": place, "project": None}
        about[key] = {"principal": principal, "day": day, **where}
    reviews: dict[str, list[Row]] = defaultdict(list)
    for row in tables["history_signoff"]:
        if row["kind"] == KIND:
            reviews[row["subject"]].append(row)
    for key in sorted(found):
        times = sorted(at for at, _ in found[key])
        review, says = _review(reviews[key], about[key]["principal"], times[-1])
        yield {
            "subject_key": key,
            "zone": zone,
            "owner": None,
            "region": None,
            **about[key],
            "methods": sorted({method for _, method in found[key]}),
            "attempts": len(times),
            "first_at": times[0],
            "last_at": times[-1],
            "age_s": seconds(now["as_of"], times[0]),
            "reviewed": review is not None,
            "reviewed_by": review["signer"] if review else "",
            "review_says": says,
        }


def _denied(tables: Tables) -> Iterator[tuple[Any, str, str, str, str]]:
    """Yield when, where, who, what and in which cloud of each denied attempt."""
    for entry in tables["gcp_audit_entry"]:
        method = (entry["method"] or "").rpartition(".")[2]
        denied = entry["granted"] is False or entry["status_code"] in _DENIED
        if method in ATTEMPTS and denied and entry["at"] is not None:
            yield entry["at"], entry["project"] or "", caller(entry) or "", method, "gcp"
    for session in tables["sts_session"]:
        refused = (session["error_code"] or "").startswith(_REFUSED)
        if refused and session["issued_at"] is not None:
            who = session["subject"] or session["caller_arn"] or ""
            yield (
                session["issued_at"],
                session["account"] or "",
                bare(who),
                session["event_name"] or "",
                "aws",
            )


def _review(reviews: list[Row], principal: str, latest: Any) -> tuple[Row | None, str]:
    """Return the review that counts, and its words or why none does."""
    why = "nobody signed a review"
    for review in sorted(reviews, key=lambda row: row["at"], reverse=True):
        if principal and same_person(review["signer"], principal):
            why = f"{review['signer']} reviewed their own attempts"
        elif review["at"] < latest:
            why = f"{review['signer']} reviewed it before the latest attempt"
        else:
            return review, review["reason"] or ""
    return None, why
