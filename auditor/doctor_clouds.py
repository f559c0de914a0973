"""Checks of both clouds: who we are, and each action of a scan tried once."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from typing import Any

from auditor.doctor import Check
from auditor.doctor_host import clocks
from auditor.model import Place
from auditor.permissions import Permissions, permissions
from auditor.reach import access, places
from auditor.sources import NAMES, running, source
from auditor.sources.clients import Clients
from auditor.sources.pages import Pages
from auditor.sources.probes import ALLOWED, API_OFF, IDENTITY, NOTHING, OFF, Tried, tried

CALL_S = 10
"""Seconds that one call waits for an answer at most."""
_UNKNOWN = {
    "throttled": "Try again at a quieter time.",
    "hung": "See that this machine reaches the service; --timeout allows more time.",
    "expired": "Renew the credentials.",
    "unread": "Mend what it needs first.",
}
_GRANT = "Grant it, by the role of `auditor permissions --format gcp-role`."
_NO_IDENTITY = {
    "expired": "Renew the credentials.",
    "denied": "See that credentials are there, that the role exists and that it trusts them.",
}


def clouds(
    config: Any,
    *,
    now: datetime,
    budget_s: float,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> list[Check]:
    """Try every action that the sources of a configuration need, in every place, within a time."""
    from auditor.sources import probes_aws, probes_gcp

    names = set(running({name: source(name) for name in NAMES}, config.sources))
    declared = {action for name in names for action in source(name).ACTIONS}
    every = {"aws": probes_aws.PROBES, "gcp": probes_gcp.PROBES}
    probes = {
        cloud: [
            each
            for each in of
            if each.action == IDENTITY or (names & set(each.of) and each.action in declared)
        ]
        for cloud, of in every.items()
    }
    there = places(config)
    google = list(_google(config, there, budget_s))
    lost = [each for each in google if each.state in ("failed", "unknown")]
    asked = [each for each in there if probes[each.cloud] and not (lost and each.cloud == "gcp")]
    limits = min(CALL_S, budget_s)
    reach = replace(access(config), attempts=1, connect_timeout_s=limits, read_timeout_s=limits)
    clients = Clients(reach, source="doctor", pages=Pages(now=now), budget_s=budget_s)
    found = tried(
        clients,
        config,
        asked,
        probes,
        beside=_always(config, asked),
        now=now,
        budget_s=budget_s,
        workers=config.limits.workers,
        progress=progress,
    )
    scan = permissions(config, "scan")
    checks = [*_identities(found), *google]
    if lost:
        said = "no permission of Google Cloud could be tried without credentials"
        checks.append(Check("permissions", "gcp", "unknown", said, "See identity.", "gcp", "*", "*"))
    checks += _judged(found, scan)
    checks += _untried(declared, probes, asked)
    if any(each.cloud == "aws" for each in asked):
        checks += clocks(clients.pages.clocks(), config.horizons.skew, "now")
    if not there:
        said = "the configuration names no account and no project"
        checks.append(
            Check("identity", "places", "failed", said, "Name them in [aws] accounts and [gcp] projects.")
        )
    return checks


def _always(config: Any, asked: Collection[Place]) -> dict[Place, frozenset[str]]:
    """Return us-east-1 of every account: CloudTrail alone is asked there whatever the regions are."""
    if "aws_cloudtrail" not in config.sources:
        return {}
    accounts = sorted({each.account for each in asked if each.cloud == "aws"})
    there = (Place("aws", account, "us-east-1") for account in accounts)
    return {place: frozenset({"aws_cloudtrail"}) for place in there if place not in asked}


def _identities(found: Iterable[Tried]) -> Iterator[Check]:
    mine = [each for each in found if each.action == IDENTITY]
    nowhere = all(each.reason in _NO_IDENTITY for each in mine)
    for each in mine:
        name = f"AWS {each.account}"
        if each.reason == ALLOWED:
            state, said, remedy = "ok", f"in {each.account} we are {each.detail}", ""
            if each.detail.split(":")[4:5] != [each.account]:
                state = "failed" if len(mine) == 1 else "warning"
                said += ", of another account"
                remedy = f"Give account {each.account} a role_arn, or take it out of [aws] accounts."
        else:
            state = "failed" if nowhere else "warning" if each.reason in _NO_IDENTITY else "unknown"
            said = f"{each.account} lets us in nowhere: {each.detail}"
            remedy = _NO_IDENTITY.get(each.reason) or _UNKNOWN.get(each.reason, "Try again.")
        yield Check("identity", name, state, said, remedy, "aws", each.account)


def _google(config: Any, there: Iterable[Place], budget_s: float) -> Iterator[Check]:
    """Say whose credentials Google Cloud gets."""
    if not any(each.cloud == "gcp" for each in there):
        return
    if (config.gcp.endpoint or "").startswith("http://"):
        yield Check("identity", "Google Cloud", "off", "a sandbox: it is sent no credentials", cloud="gcp")
        return
    from concurrent.futures import TimeoutError as LateError

    from google.auth.exceptions import GoogleAuthError

    pool = ThreadPoolExecutor(1)
    try:
        who = pool.submit(_google_caller).result(timeout=min(budget_s, 3 * CALL_S))
        yield Check("identity", "Google Cloud", "ok", f"we are {who}", cloud="gcp")
    except GoogleAuthError as error:
        said = f"no usable credentials: {' '.join(str(error).split())[:200]}"
        remedy = "`gcloud auth application-default login`, or a service account on this machine."
        yield Check("identity", "Google Cloud", "failed", said, remedy, "gcp")
    except LateError:
        yield Check("identity", "Google Cloud", "unknown", "no answer in time", _UNKNOWN["hung"], "gcp")
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _google_caller() -> str:
    import google.auth
    from google.auth.transport.requests import Request

    credentials, _project = google.auth.default(scopes=["https://www.googleapis.com/auth/cloud-platform"])
    credentials.refresh(Request())  # type: ignore[no-untyped-call]
    who = getattr(credentials, "service_account_email", "") or getattr(credentials, "account", "")
    return str(who or f"somebody whose name is not told ({type(credentials).__module__})")


def _judged(found: Iterable[Tried], scan: Permissions) -> Iterator[Check]:
    """Turn what came of each action into a check with what to do."""
    for each in found:
        if each.action == IDENTITY:
            continue
        where = {"cloud": each.cloud, "account": each.account, "region": each.region, "action": each.action}
        place = each.account if each.region == "*" else f"{each.account}/{each.region}"
        state, said, remedy = _verdict(each, place)
        add = each.reason == "denied" and each.cloud == "aws" and "this statement" in remedy
        statements = tuple(scan.statements_for(each.action)) if add else ()
        yield Check("permissions", each.action, state, said, remedy, statements=statements, **where)


def _verdict(each: Tried, place: str) -> tuple[str, str, str]:
    """Return state, what was found and what to do."""
    if each.reason == ALLOWED:
        return "ok", f"allowed in {place}", ""
    if each.reason == NOTHING:
        return "off", f"{each.detail} in {place}", ""
    if each.reason == OFF:
        return (
            "warning",
            f"{place} takes no credentials of ours ({each.detail}): the region is off in this account",
            f"Enable {each.region} in the account, or take it out of its regions.",
        )
    if each.reason == API_OFF:
        return (
            "warning",
            f"the API is off in {place}: {each.detail}",
            f"Enable it in project {each.account} (`gcloud services enable`).",
        )
    if each.reason == "denied":
        return "warning", f"denied in {place}", _allow(each)
    detail = f": {each.detail}" if each.detail else ""
    remedy = _UNKNOWN.get(each.reason, "Try again; if it stays, the scan's gaps name it too.")
    return "unknown", f"could not be told in {place}{detail}", remedy


def _allow(each: Tried) -> str:
    """Return what to do about a refusal."""
    if each.cloud == "gcp":
        return _GRANT
    if each.by_deny:
        return f"A deny in a {each.refused_by} refuses it, and no Allow helps: change that."
    if each.refused_by and "identity" not in each.refused_by:
        return f"Its {each.refused_by} does not allow it: allow it there, and add this statement to the role:"
    return "Add this statement to the role:"


def _untried(
    declared: Iterable[str], probes: Mapping[str, Iterable[Any]], asked: Iterable[Place]
) -> Iterator[Check]:
    """Say which declared actions there is no small call for; sts:GetCallerIdentity is who we are."""
    clouds_asked = {each.cloud for each in asked}
    known = {each.action for of in probes.values() for each in of}
    for action in sorted(set(declared) - known):
        cloud = "aws" if ":" in action else "gcp"
        if cloud in clouds_asked:
            said = "there is no call small enough to try it with"
            yield Check("permissions", action, "unknown", said, "A scan will tell.", cloud, "*", "*", action)
