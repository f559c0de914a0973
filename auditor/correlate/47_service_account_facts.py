"""Service accounts, those that export or trigger apart; one that is used and was not listed is a row too.

Google's service accounts have no labels: their owner is whom the directory or a registered automation names, or what
their description says as `owner: somebody`.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from auditor.correlate import Tables
from auditor.correlate.callers import bare
from auditor.correlate.zoning import Row, listed, strictest_declared

TABLE = "service_account_facts"
READS = (
    "gcp_service_account",
    "gcp_service_account_key",
    "gcp_project",
    "chain_job",
    "dataproc_cluster",
    "config_subject",
    "config_federation",
    "config_automation",
    "config_zone",
    "directory_user",
    "coverage",
    "as_of",
)

_DEFAULT = re.compile(
    r"(?P<number>\d+)-compute@developer\.gserviceaccount\.com|(?P<project>[a-z0-9-]+)@appspot\.\S+"
)
_OWN = re.compile(r"[^@]+@(?P<project>[a-z0-9-]+)\.iam\.gserviceaccount\.com")
_SAYS = re.compile(r"([\w.-]+)\s*[:=]\s*([^\s,;]+)")


def derive(tables: Tables) -> Iterator[Mapping[str, Any]]:
    """Yield one row a service account."""
    (now,) = tables["as_of"]
    accounts = {row["email"].lower(): row for row in tables["gcp_service_account"]}
    used = _used(tables)
    owners = {bare(u["email"]): u["owner"] for u in tables["directory_user"] if u["email"] and u["owner"]}
    owners |= {bare(a["principal"]): a["owner"] for a in tables["config_automation"] if a["owner"]}
    keys: dict[str, list[Row]] = defaultdict(list)
    for key in tables["gcp_service_account_key"]:
        if key["key_type"] == "USER_MANAGED" and (
            key["expires_at"] is None or key["expires_at"] > now["as_of"]
        ):
            keys[key["email"].lower()].append(key)
    numbers = {row["number"]: row["project"] for row in tables["gcp_project"]}
    zone = strictest_declared(tables["config_zone"])
    for email in sorted({*accounts, *used}):
        account, mine = accounts.get(email), keys[email]
        project = account["project"] if account else _project(email, numbers)
        found, says = _found(account, project, tables)
        yield {
            "subject_key": email,
            "zone": zone,
            "account": None,
            "project": project,
            "owner": owners.get(email),
            "region": "*",
            "unique_id": account and account["unique_id"],
            "found": found,
            "found_says": says,
            "disabled": account and account["disabled"],
            "in_chain": email in used,
            "used_by": sorted(used.get(email, ())),
            "default_account": _DEFAULT.fullmatch(email) is not None,
            "owned": email in owners,
            "described": dict(_SAYS.findall(account["description"] or "")) if account else None,
            "user_keys": len(mine),
            "user_keys_disabled": sum(bool(key["disabled"]) for key in mine),
            "oldest_key_at": min((key["created_at"] for key in mine if key["created_at"]), default=None),
        }


def _used(tables: Tables) -> dict[str, set[str]]:
    """Return what makes accounts part of the chain: a job or a cluster runs as them, or the configuration names them."""
    found: dict[str, set[str]] = defaultdict(set)
    for job in tables["chain_job"]:
        if job["service_account"]:
            found[job["service_account"].lower()].add("jobs")
    numbers = {row["project"]: row["number"] for row in tables["gcp_project"]}
    for cluster in tables["dataproc_cluster"]:
        if cluster["deleted_at"] is None and (account := account_of(cluster, numbers)):
            found[account.lower()].add("clusters")
    for row in tables["config_subject"]:
        found[row["service_account"].lower()].add("[subjects]")
    for row in tables["config_federation"]:
        if row["subject_of"]:
            found[row["subject_of"].lower()].add("[[federation]]")
    for row in tables["config_automation"]:
        if row["principal"].endswith("gserviceaccount.com"):
            found[bare(row["principal"])].add("[[automations]]")
    return found


def account_of(cluster: Row, numbers: Mapping[str, str]) -> str | None:
    """Return as whom a cluster's machines run; one that was read and names nobody runs as Compute Engine's default."""
    if cluster["service_account"]:
        return str(cluster["service_account"])
    read = cluster["origin"] == "api" and cluster["properties"] is not None
    number = numbers.get(cluster["project"])
    return f"{number}-compute@developer.gserviceaccount.com" if read and number else None


def _project(email: str, numbers: Mapping[str, str]) -> str | None:
    if default := _DEFAULT.fullmatch(email):
        return numbers.get(default["number"]) if default["number"] else default["project"]
    own = _OWN.fullmatch(email)
    return own["project"] if own else None


def _found(account: Row | None, project: str | None, tables: Tables) -> tuple[bool | None, str]:
    if account is not None:
        return True, ""
    if project is None:
        return None, "its e-mail does not say which project it is of"
    places = {row["account"] for row in tables["coverage"] if row["table_name"] == "gcp_service_account"}
    if project not in places:
        return None, f"{project} is out of scope"
    if listed(tables["coverage"], "gcp_service_account", project):
        return False, ""
    return None, f"the service accounts of {project} were not listed"
