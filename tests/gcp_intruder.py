"""Two small clouds that are scanned again and again, and what somebody changes in the Google one, with the entries that leaves.

Methods, resource names and the deltas of policies are those of Google's own logs: cloud.google.com/iam/docs/audit-logging and its
examples for service accounts, and cloud.google.com/logging/docs/audit/audit-logging-for-logging.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from alert_case import LOOPBACK, certificates, receiving
from cli_case import answer
from fault_world import small_story

from auditor import config as configuration
from auditor.builtin import builtin
from auditor.cli._app import App, sections
from auditor.cli._channels import told
from auditor.ledger import Ledger
from auditor.rulepack import load
from auditor.sandbox.estate import Estate
from auditor.sandbox.estate_records import stamp
from auditor.sandbox.estate_story import Story
from auditor.scan import Scan, scan

PROJECT = "acme-claims"
HERE = f"projects/{PROJECT}"
EXPORT = f"claims-export@{PROJECT}.iam.gserviceaccount.com"
OF_EXPORT = f"{HERE}/serviceAccounts/{EXPORT}"
UID = "104000000000000000001"
ROLE = f"{HERE}/roles/operator"
LOGS = f"{HERE}/locations/global/buckets/_Default"
SINK = f"{HERE}/sinks/archive"
ADMIN, EVE = "finn@acme.example", "eve@rival.example"
STRANGER = f"user:{EVE}"
ARCHIVE = "storage.googleapis.com/acme-log-archive"
SECRET = "whsec_" + "c2lnbmVkIGJ5IHRoZSBhdWRpdG9yIG9mIHR3byBjbG91ZHM="
RULES = ("drift", "access", "audit_logs")
SPARE, SPARE_UID = f"spare@{PROJECT}.iam.gserviceaccount.com", "104000000000000000077"


def _story() -> Story:
    """Return one account, one bucket and one project: all that a change of Google Cloud needs round it."""
    said = dict(small_story().said)
    said["scans"] = {**said["scans"], "weeks": 1}
    said["aws"] = {
        **said["aws"],
        "trails": {"acme-trail": said["aws"]["trails"]["acme-trail"]},
        "regions": ["eu-central-1"],
    }
    said["buckets"] = {"acme-trail-111111111111": said["buckets"]["acme-trail-111111111111"]}
    said["vaults"] = {"phi-recovery": said["vaults"]["phi-recovery"]}
    said["gcp"] = {"projects": [PROJECT], "regions": ["europe-west1"], "clusters": {}}
    said["service_accounts"] = {"claims-export": said["service_accounts"]["claims-export"]}
    said["duties"] = said["duties"][:1]
    for name in ("plans", "roles", "automations", "pipelines"):
        said[name] = {}
    said["exports"], said["faults"] = [], {}
    said["changes"] = [said["changes"][0]]  # or the trail would be too quiet to be believed
    return Story(said)


class Clouds:
    """Both clouds, a ledger of their scans, and two receivers on this machine."""

    def __init__(self) -> None:
        self.dir = Path(tempfile.mkdtemp(prefix="auditor-intruder-"))
        self._open = ExitStack()
        self.slack, self.hook = (self._open.enter_context(receiving()) for _ in range(2))
        patch = self._open.enter_context(pytest.MonkeyPatch.context())
        patch.setattr(App, "now", lambda _: self.at)  # commands are run when the story says
        patch.setenv("SLACK_URL", self.slack.url)
        patch.setenv("HOOK_SECRET", SECRET)
        self.estate = Estate.open(_story())
        self._open.callback(self.estate.close)
        self.gcp = self.estate.gcp
        self.path = self.estate.config(self.dir)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(
                _ALERTS.format(
                    loopback=LOOPBACK, ca=certificates()[0], hook=self.hook.url, here=HERE, admin=ADMIN
                )
            )
        self.config = configuration.load(self.path, sections())
        chosen = self.dir / "rules"
        chosen.mkdir()
        for name in RULES:
            shutil.copy(builtin("rules") / f"{name}.yaml", chosen)
        self.pack = load([chosen], [builtin("rules") / "frameworks"], prove=False)
        self.estate.advance(1)
        self.at = self.estate.now(1)
        self._entries = 0

    def close(self) -> None:
        self._open.close()
        shutil.rmtree(self.dir, ignore_errors=True)

    def look(self) -> Scan:
        """Scan once more, an hour after the scan before, and send what there is to tell."""
        self.at += timedelta(hours=1)
        self.estate.aws.clock(self.at)
        with self.ledger() as ledger:
            return scan(self.config, ledger, self.pack, now=self.at)

    def ledger(self) -> Ledger:
        """Open the ledger."""
        return Ledger.open(Path(self.config.state.dir) / "ledger.sqlite3")

    def sent(self) -> tuple[list[str], list[dict[str, Any]]]:
        """Send what is on its way; return what Slack was sent, and what the webhook."""
        before = len(self.slack.got), len(self.hook.got)
        with self.ledger() as ledger:
            told(self.config, ledger, lambda: self.at)
        slack = [json.loads(body)["text"] for _, _, body in self.slack.got[before[0] :]]
        return slack, [json.loads(body) for _, _, body in self.hook.got[before[1] :]]

    def drift(self) -> list[dict[str, Any]]:
        """Return what `auditor drift --json` says of settings of Google Cloud."""
        rows: list[dict[str, Any]] = answer("drift", config=self.path)["rows"]
        return [row for row in rows if row["rule"] is None]

    def entry(
        self,
        service: str,
        method: str,
        resource: str,
        *,
        by: str = EVE,
        minutes: int = 20,
        late_s: int = 2,
        **payload: Any,
    ) -> None:
        """Log a call made so many minutes after the last scan, by an address of its own."""
        self._entries += 1
        at = self.at + timedelta(minutes=minutes, seconds=self._entries)
        self.gcp.add_entries([audit_entry(service, method, resource, at, by, self._entries, late_s, payload)])

    def grant(
        self,
        role: str,
        member: str,
        on: str = HERE,
        *,
        take: bool = False,
        by: str = EVE,
        condition: str = "",
    ) -> None:
        """Add or take a binding, as `gcloud ... add-iam-policy-binding` does: the policy is read, changed and set whole."""
        policy = self.policy(on)
        one: dict[str, Any] = {"role": role, "members": [member]}
        if condition:
            one["condition"] = {"title": "temporary", "expression": condition}
        if take:
            policy["bindings"] = [
                each for each in (_without(b, one) for b in policy["bindings"]) if each["members"]
            ]
        else:
            policy["bindings"].append(one)
        self.gcp.put_policy(on, policy)
        delta = {
            "action": "REMOVE" if take else "ADD",
            "role": role,
            "member": member,
            **({"condition": one["condition"]} if condition else {}),
        }
        self.set_policy(on, {"bindingDeltas": [delta]}, by=by)

    def policy(self, on: str) -> dict[str, Any]:
        """Return the policy of a resource as the REST API shows it."""
        from google.protobuf.json_format import MessageToDict

        return {"bindings": [], **MessageToDict(self.gcp._access.policy(on, 3))}

    def set_policy(self, on: str, delta: Mapping[str, Any], *, by: str = EVE, **more: Any) -> None:
        """Log that a policy was set, with what Google says that changed in it."""
        account = on.rpartition("/serviceAccounts/")[1]
        service, method = (
            ("iam", "google.iam.admin.v1.SetIAMPolicy")
            if account
            else ("cloudresourcemanager", "SetIamPolicy")
        )
        data = {"@type": "type.googleapis.com/google.iam.v1.logging.AuditData", "policyDelta": dict(delta)}
        self.entry(
            service,
            method,
            f"projects/-/serviceAccounts/{UID}" if account else on,
            by=by,
            serviceData=data,
            **more,
        )

    def key(self, key_id: str, *, by: str = EVE, email: str = EXPORT) -> None:
        """Make a key of a service account."""
        self.gcp.put_key(email, key_id)
        answer_ = {
            "@type": "type.googleapis.com/google.iam.admin.v1.ServiceAccountKey",
            "name": f"{HERE}/serviceAccounts/{email}/keys/{key_id}",
        }
        self.entry(
            "iam",
            "google.iam.admin.v1.CreateServiceAccountKey",
            f"projects/-/serviceAccounts/{UID}",
            by=by,
            response=answer_,
        )


_ALERTS = """
[alerts]
allow = ["{loopback}"]
ca_file = "{ca}"

[alerts.slack]
url = "env:SLACK_URL"
severity = "low"
per_minute = 0

[alerts.webhook]
url = "{hook}"
secret = "env:HOOK_SECRET"
severity = "high"
per_minute = 0

[params.DRF-007]
pattern = ["CHG-*"]

[[changes]]
id = "CHG-7"
since = "2026-01-05"
until = "2026-01-06"
subjects = ["{here}/roles/logging.viewer/*"]
actors = ["{admin}"]
approved_by = "ciso@acme.example"
"""


def audit_entry(
    service: str,
    method: str,
    resource: str,
    at: datetime,
    by: str,
    number: int,
    late_s: int,
    payload: Mapping[str, Any],
) -> dict[str, Any]:
    """Return an Admin Activity entry that arrives some seconds after the call."""
    return {
        "logName": f"{HERE}/logs/cloudaudit.googleapis.com%2Factivity",
        "insertId": f"-intruder{number:04d}",
        "timestamp": stamp(at),
        "receiveTimestamp": stamp(at + timedelta(seconds=late_s)),
        "severity": "NOTICE",
        "resource": {"type": "audited_resource", "labels": {"project_id": PROJECT}},
        "protoPayload": {
            "@type": "type.googleapis.com/google.cloud.audit.AuditLog",
            "serviceName": f"{service}.googleapis.com",
            "methodName": method,
            "resourceName": resource,
            "authenticationInfo": {"principalEmail": by, "principalSubject": f"user:{by}"},
            "authorizationInfo": [{"resource": resource, "permission": "", "granted": True}],
            "requestMetadata": {
                "callerIp": "203.0.113.66",
                "callerSuppliedUserAgent": "google-cloud-sdk gcloud/504.0.1",
            },
            **payload,
        },
    }


def _without(binding: Mapping[str, Any], one: Mapping[str, Any]) -> dict[str, Any]:
    same = binding["role"] == one["role"] and (binding.get("condition") or {}).get("expression") == (
        one.get("condition") or {}
    ).get("expression")
    return {
        **binding,
        "members": [each for each in binding["members"] if not same or each not in one["members"]],
    }
