"""Which service accounts and clusters are asked for one by one: those that export or trigger, and those that run."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any

from auditor.model import Gap, Row, Seen
from auditor.sources._gcp_access import Holder, of_key
from auditor.sources.ask import Ask, Suspect, guard

Item = Row | Seen | Gap
_DEFAULT = re.compile(r"(\d+)-compute@developer\.gserviceaccount\.com")
_OWN = re.compile(r"[^@]+@(?P<project>[a-z0-9-]+)\.iam\.gserviceaccount\.com")
_APP = re.compile(r"(?P<project>[a-z0-9-]+)@appspot\.gserviceaccount\.com")


def asked(ask: Ask, items: Iterable[Item], numbers: Mapping[str, str]) -> Iterator[Callable[[], list[Item]]]:
    """Yield the questions: a policy a cluster that is there; keys and a policy a service account of the chain.

    `numbers`: project ids by project number. Accounts of projects out of scope are not asked for.
    """
    projects = set(ask.accounts("gcp"))
    for cluster in ask.rows("dataproc_cluster"):
        values = cluster.values
        if values["project"] in projects and values["origin"] == "api" and values["deleted_at"] is None:
            yield partial(_cluster, ask, values)
    for email in sorted(_emails(ask, items, numbers)):
        project = project_of(email, numbers)
        if project in projects:
            yield partial(_account, ask, email, project)


def project_of(email: str, numbers: Mapping[str, str]) -> str:
    """Return the project that a service account is of; empty when its e-mail does not say."""
    if default := _DEFAULT.fullmatch(email):
        return numbers.get(default[1], "")
    named = _OWN.fullmatch(email) or _APP.fullmatch(email)
    return named["project"] if named else ""


def _emails(ask: Ask, items: Iterable[Item], numbers: Mapping[str, str]) -> set[str]:
    """Return the accounts that jobs and clusters run as, that trigger work, that the configuration or a role of AWS names."""
    by_name = {project: number for number, project in numbers.items()}
    found: set[str | None] = set(ask.service_accounts)
    for row in ask.rows("dataproc_cluster"):
        values = row.values
        found.add(values["service_account"])
        found.update((values["user_service_accounts"] or {}).values())
        if values["service_account"] is None and values["project"] in by_name:
            found.add(f"{by_name[values['project']]}-compute@developer.gserviceaccount.com")
    found.update(row.values["service_account"] for row in ask.rows("dataproc_job"))
    for row in ask.rows("gcp_audit_entry"):
        found.add(row.values["principal_email"])
        found.update(each for each in row.values["delegation"] or () if isinstance(each, str))
    trusted = "\n".join(row.values["trust_policy"] or "" for row in ask.rows("iam_role"))
    for item in items:
        if not isinstance(item, Row) or item.table != "gcp_service_account":
            continue
        if item.values["unique_id"] in trusted:
            found.add(item.values["email"])
    named = {each.partition(":")[2] if each.startswith("serviceAccount:") else each for each in found if each}
    return {each.lower() for each in named if each.endswith("gserviceaccount.com")}


def _cluster(ask: Ask, values: Mapping[str, Any]) -> list[Item]:
    from google.cloud.dataproc_v1 import ClusterControllerClient

    from auditor.sources.gcp_iam import policy

    project, region = values["project"], values["region"]
    full = f"projects/{project}/regions/{region}/clusters/{values['cluster_name']}"
    client = ask.clients.gcp(ClusterControllerClient, project, region)
    return policy(ask, client, Holder(full, "cluster", project), Seen("gcp_iam_binding", project, "*", full))[
        0
    ]


def _account(ask: Ask, email: str, project: str) -> list[Item]:
    """Read the keys and the policy of one service account; one that is gone has neither."""
    from google.api_core.exceptions import NotFound
    from google.cloud.iam_admin_v1 import IAMClient

    from auditor.sources.gcp_iam import policy

    client = ask.clients.gcp(IAMClient, project)
    full = f"projects/{project}/serviceAccounts/{email}"
    found: list[Item] = []
    scope = Seen("gcp_service_account_key", project, "*", email)
    with guard(scope, action="iam.serviceAccountKeys.list") as read:
        try:
            answer = client.list_service_account_keys(name=full, **ask.settings.patience.options())
        except NotFound:
            pass
        else:
            found += (of_key(key, email, project) for key in type(answer).pb(answer).keys)
            if not found:
                raise Suspect(f"the answer lists no key of {email}, not even one that Google manages")
    found += read
    held = Holder(full, "service_account", project)
    return found + policy(ask, client, held, Seen("gcp_iam_binding", project, "*", full))[0]
