"""Members of IAM bindings: what kind each is, and whom of the directory it stands for.

Forms: cloud.google.com/iam/docs/principal-identifiers. A form that is not known here has the kind `unknown`: nothing
follows from it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

INDIVIDUALS = ("user",)
_POOL = re.compile(
    r"//iam\.googleapis\.com/locations/global/workforcePools/[^/]+/(?P<what>[^/]+)/(?P<name>.+)"
)
_WORKLOAD = re.compile(r"//iam\.googleapis\.com/projects/\d+/locations/global/workloadIdentityPools/.+")
_AGENT = re.compile(
    r"(?:service-\d+@(?:gcp-sa-[a-z0-9-]+|dataproc-accounts|compute-system|container-engine-robot|containerregistry|"
    r"cloudcomposer-accounts|dataflow-service-producer-prod|serverless-robot-prod|gs-project-accounts|cloud-filer|"
    r"gcf-admin-robot|cloud-redis|service-networking|bigquery-encryption|cloud-tpu)\.iam|\d+@cloudservices)"
    r"\.gserviceaccount\.com"
)
"""Service agents, which Google makes and runs (cloud.google.com/iam/docs/service-agents). Nobody else can make an
account in these projects; `service-1@my-project` is somebody's own."""
_KUBERNETES = re.compile(r"[a-z0-9-]+\.svc\.id\.goog\[.+\]")


@dataclass(frozen=True, slots=True)
class Member:
    """One member of a binding."""

    kind: str
    """user, group, service_account, google_agent, workload, set, public, deleted or unknown."""
    name: str
    """E-mail, or the name within its pool; in lower case when it is an e-mail."""

    @property
    def individual(self) -> bool | None:
        """Tell whether it is one person; None when its form is not known."""
        return None if self.kind == "unknown" else self.kind == "user"


def member(text: str) -> Member:
    """Return what a member is."""
    if text in ("allUsers", "allAuthenticatedUsers"):
        return Member("public", text)
    kind, _, name = text.partition(":")
    if kind == "deleted":
        return Member("deleted", name)
    if kind in ("principal", "principalSet"):
        return _pooled(kind, name)
    mail = name.lower()
    if kind == "user":
        return Member("user", mail)
    if kind == "group":
        return Member("group", mail)
    if kind == "serviceAccount":
        if _KUBERNETES.fullmatch(name):
            return Member("workload", name)
        return Member("google_agent" if _AGENT.fullmatch(mail) else "service_account", mail)
    if kind in ("domain", "projectOwner", "projectEditor", "projectViewer"):
        return Member("set", name)
    return Member("unknown", text)


def _pooled(kind: str, name: str) -> Member:
    """Return what a member of a workforce or workload identity pool is."""
    if _WORKLOAD.fullmatch(name):
        return Member("workload", name)
    found = _POOL.fullmatch(name)
    if found and kind == "principal" and found["what"] == "subject":
        return Member("user", found["name"])
    if found and kind == "principalSet":
        return Member("group" if found["what"] == "group" else "set", found["name"])
    return Member("unknown" if kind == "principal" else "set", name)
