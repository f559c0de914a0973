"""One proven export as rows of a snapshot, which tests bend one fact at a time."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any
from zlib import crc32

import pytest
from facts_again import mark, put, reads

from auditor import correlate
from auditor.engines.duckdb import Engine
from auditor.model import LINKS

ACCOUNT, RECOVERY = "111111111111", "222222222222"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/export-writer"
VAULT = f"arn:aws:backup:eu-west-1:{ACCOUNT}:backup-vault:daily"
FAR_VAULT = f"arn:aws:backup:eu-central-1:{RECOVERY}:backup-vault:far"
BUCKET = "arn:aws:s3:::claims"
SA = "exporter@data.iam.gserviceaccount.com"
PREFIX = "daily/dt=2026-01-05/"

Tables = dict[str, list[dict[str, Any]]]


def at(day: int, hour: int = 0, minute: int = 0) -> datetime:
    """A time in January 2026; the export runs on the 5th from 01:00 to 02:00."""
    return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=day - 1, hours=hour, minutes=minute)


def part(number: int, **more: Any) -> dict[str, Any]:
    row = {
        "bucket": "claims", "key": f"{PREFIX}part-{number}", "version_id": f"v{number}", "account": ACCOUNT,
        "region": "eu-west-1", "dir": PREFIX, "last_modified": at(5, 1, 30 + number), "bytes": 100, "etag": "e",
        "storage_class": "STANDARD", "is_latest": True, "is_delete_marker": False,
    }  # fmt: skip
    return row | more


def event(number: int, **more: Any) -> dict[str, Any]:
    row = {
        "event_id": f"put-{number}", "account": ACCOUNT, "region": "eu-west-1", "at": at(5, 1, 30 + number),
        "event_name": "PutObject", "bucket": "claims", "key": f"{PREFIX}part-{number}",
        "version_id": f"v{number}", "access_key_id": "ASIAONE", "principal_type": "AssumedRole",
        "principal_arn": f"arn:aws:sts::{ACCOUNT}:assumed-role/export-writer/u-1", "role_arn": ROLE,
        "session_name": "u-1", "error_code": "", "bytes": 100,
    }  # fmt: skip
    return row | more


def point(
    arn: str = "arn:aws:backup:eu-west-1:111111111111:recovery-point:one", **more: Any
) -> dict[str, Any]:
    row = {
        "arn": arn, "vault_arn": VAULT, "account": ACCOUNT, "region": "eu-west-1", "resource_arn": BUCKET,
        "status": "COMPLETED", "continuous": False, "initiated_at": at(5, 5), "created_at": at(5, 5),
        "completed_at": at(5, 7), "bytes": 300, "delete_after_d": 200, "delete_at": at(5, 5) + timedelta(days=200),
        "deletes_after_copy": False, "encrypted": True, "source_vault_arn": None, "vault_type": "BACKUP_VAULT",
    }  # fmt: skip
    return row | more


def backup_job(point_arn: str = "arn:aws:backup:eu-west-1:111111111111:recovery-point:one", **more: Any) -> dict[str, Any]:  # fmt: skip
    row = {
        "job_id": f"job-{point_arn[-3:]}", "account": ACCOUNT, "region": "eu-west-1", "vault_arn": VAULT,
        "point_arn": point_arn, "resource_arn": BUCKET, "state": "COMPLETED", "message": "", "category": "SUCCESS",
        "created_at": at(5, 5), "started_at": at(5, 5), "completed_at": at(5, 7), "bytes": 300,
    }  # fmt: skip
    return row | more


def job(uuid: str = "u-1", **more: Any) -> dict[str, Any]:
    row = {
        "job_uuid": uuid, "kind": "job", "job_id": f"claims-{uuid}", "name": f"jobs/{uuid}", "project": "data",
        "region": "europe-west1", "state": "DONE", "state_detail": "", "done": True, "submitted_at": at(5, 1),
        "started_at": at(5, 1, 1), "finished_at": at(5, 2), "cluster_name": "nightly", "cluster_uuid": "c-1",
        "service_account": None, "creator": None, "arguments": ["--output", f"s3a://claims/{PREFIX}"],
        "properties": {}, "labels": {"zone": "phi"},
    }  # fmt: skip
    return row | more


def session(key: str = "ASIAONE", **more: Any) -> dict[str, Any]:
    row = {
        "session_key": key, "access_key_id": key, "event_id": f"issue-{key}", "account": ACCOUNT,
        "region": "eu-west-1", "issued_at": at(5, 1, 2), "expires_at": at(5, 2, 2), "duration_s": 3600,
        "event_name": "AssumeRoleWithWebIdentity", "role_arn": ROLE, "session_name": "u-1",
        "provider": "accounts.google.com", "subject": "104", "audience": "exports", "error_code": "",
    }  # fmt: skip
    return row | more


def entry(uuid: str = "u-1", **more: Any) -> dict[str, Any]:
    row = {
        "entry_id": f"submit-{uuid}", "project": "data", "region": "europe-west1", "at": at(5, 1),
        "method": "google.cloud.dataproc.v1.JobController.SubmitJob", "principal_email": "ana@example.org",
        "static_key_name": "", "delegation": [], "status_code": 0, "granted": True, "job_id": f"claims-{uuid}",
        "job_uuid": uuid, "workflow_jobs": [],
    }  # fmt: skip
    return row | more


def seen(table: str, account: str = "*", **more: Any) -> dict[str, Any]:
    row = {
        "table_name": table, "source": "test", "account": account, "region": "*", "resource": "*",
        "from_at": at(1), "until_at": at(12, 6), "complete": True, "reason": "", "detail": "", "observed_at": at(12, 6),
    }  # fmt: skip
    return row | more


def gap(table: str, account: str = ACCOUNT, **more: Any) -> dict[str, Any]:
    return seen(table, account, complete=False, reason="denied", detail="access denied", **more)


_SEEN = {
    ACCOUNT: (
        "s3_bucket", "s3_object_version", "s3_manifest", "s3_data_event", "sts_session", "aws_change", "iam_role",
        "backup_plan", "backup_selection", "backup_vault", "backup_recovery_point", "backup_job", "backup_copy_job",
    ),
    RECOVERY: ("backup_recovery_point", "backup_vault"),
    "data": ("dataproc_job", "dataproc_cluster", "gcp_audit_entry"),
    "directory": ("directory_user", "directory_membership"),
}  # fmt: skip


def proven() -> Tables:
    """Every row of one export whose chain is proven from trigger to retention, a week after it ran."""
    far = point(
        f"arn:aws:backup:eu-central-1:{RECOVERY}:recovery-point:far",
        vault_arn=FAR_VAULT, account=RECOVERY, region="eu-central-1", source_vault_arn=VAULT, completed_at=at(5, 9),
    )  # fmt: skip
    return copy.deepcopy(
        {
            "as_of": [{
                "as_of": at(12, 6), "slot": "2026-W02", "previous_at": None, "skew_s": 120,
                "horizon_cloudtrail_s": 3600, "horizon_logging_s": 3600, "horizon_listing_s": 0, "grace_s": 3600,
                "zone_tag": "compliance-zone", "zone_label": "zone", "export_label": "export",
            }],
            "coverage": [seen(table, account) for account, tables in _SEEN.items() for table in tables],
            "config_zone": [
                {"zone": "phi", "rank": 0, "capture_s": 86400, "retention_d": 100, "copy_lag_s": 86400,
                 "copy_to": [{"account": RECOVERY, "region": "eu-central-1", "retention_d": 100}],
                 "bucket_min_d": -1, "regions": ["eu-west-1", "eu-central-1"], "supersede": True},
                {"zone": "public", "rank": 1, "capture_s": 172800, "retention_d": 7, "copy_lag_s": -1,
                 "copy_to": [], "bucket_min_d": -1, "regions": [], "supersede": True},
            ],
            "config_place": [{"cloud": "aws", "account": ACCOUNT, "region": "eu-west-1"}],
            "config_federation": [{"role_arn": ROLE, "provider": "accounts.google.com", "audiences": ["exports"]}],
            "config_subject": [{"service_account": SA, "subject": "104"}],
            "config_duty": [{"group_name": "claims-runners", "project": "*", "job_id": "claims-*", "zone": "phi"}],
            "directory_user": [{"id": "7", "email": "ana@example.org", "status": "active"}],
            "directory_membership": [{"user_id": "7", "group_name": "claims-runners", "from_at": at(1)}],
            "dataproc_job": [job()],
            "dataproc_cluster": [{
                "cluster_uuid": "c-1", "cluster_name": "nightly", "project": "data", "region": "europe-west1",
                "origin": "audit", "service_account": SA, "user_service_accounts": {},
            }],
            "gcp_audit_entry": [entry()],
            "sts_session": [session()],
            "s3_bucket": [{
                "arn": BUCKET, "bucket": "claims", "account": ACCOUNT, "region": "eu-west-1",
                "versioning": "Enabled", "eventbridge": True, "lifecycle": [], "tags": {"compliance-zone": "phi"},
            }],
            "s3_object_version": [
                *(part(number) for number in range(3)),
                part(9, key=f"{PREFIX}_SUCCESS", version_id="vm", last_modified=at(5, 1, 59)),
            ],
            "s3_manifest": [{
                "bucket": "claims", "key": f"{PREFIX}_SUCCESS", "version_id": "vm", "account": ACCOUNT,
                "region": "eu-west-1", "dir": PREFIX, "last_modified": at(5, 1, 59), "bytes": 200, "form": "json",
                "filenames": [f"/{PREFIX}part-{number}" for number in range(3)], "cut": False,
            }],
            "s3_data_event": [event(number) for number in range(3)],
            "backup_vault": [
                {"arn": VAULT, "name": "daily", "account": ACCOUNT, "region": "eu-west-1", "type": "BACKUP_VAULT",
                 "locked": True, "lock_date": at(2)},
                {"arn": FAR_VAULT, "name": "far", "account": RECOVERY, "region": "eu-central-1",
                 "type": "BACKUP_VAULT", "locked": True, "lock_date": at(2)},
            ],
            "backup_recovery_point": [point(), far],
            "backup_job": [backup_job()],
            "backup_copy_job": [{
                "copy_job_id": "copy-1", "account": ACCOUNT, "region": "eu-west-1",
                "source_point_arn": point()["arn"], "source_vault_arn": VAULT, "dest_vault_arn": FAR_VAULT,
                "dest_point_arn": far["arn"], "resource_arn": BUCKET, "state": "COMPLETED",
                "created_at": at(5, 7), "completed_at": at(5, 9),
            }],
        }
    )  # fmt: skip


def derived(tables: Tables, *, upto: int = 49) -> Engine:
    """Run the chain's steps over the tables; the caller closes the engine."""
    engine = Engine.open(None)
    for name, rows in tables.items():
        engine.insert(name, rows)
    for step in correlate.steps():
        if int(step.name[:2]) <= upto:
            correlate.run_step(engine, step)
    return engine


def by_id(exports: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Exports in the order of their ids, their references as lists: what is plain comes from SQL."""
    refs = [f"{name}_refs" for name in LINKS]
    told = [{**row, **{name: [list(ref) for ref in row[name]] for name in refs}} for row in exports]
    return sorted(told, key=lambda row: row["export_id"])


_SAMPLED = 12
"""Of so many worlds one is also told by SQL; tests/test_chain_plain.py does that with everything that may be otherwise."""


def told(engine: Engine, held: dict[str, Any]) -> list[Mapping[str, Any]]:
    """Return every export as in a large estate: by SQL those that leave no doubt, the others judged."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(correlate, "_MANY", 0)
        for step in correlate.steps():
            if step.table.startswith("plain_"):
                engine.execute(f"DROP TABLE IF EXISTS {step.table}")
                held.pop(step.table, None)
                correlate.run_step(engine, step, held)
            elif step.table == "export":
                return [*correlate.derived(engine, step, held), *plain(engine)]
    raise AssertionError("there is no step that judges exports")


def plain(engine: Engine) -> list[dict[str, Any]]:
    """Return the exports that SQL says leave no doubt."""
    return list(engine.each("export", "SELECT * FROM plain_export ORDER BY export_id"))


class World:
    """An engine kept between cases: only what changed is loaded and derived again."""

    def __init__(self) -> None:
        self._engine = Engine.open(None)
        self._loaded: Tables = {}
        self._read: dict[str, Any] = {}
        self._found: dict[str, Any] = {}
        """What each step came to: the rows that a Python step yields, the mark of a table that SQL makes."""
        self._made = False

    def derive(self, tables: Tables) -> Engine:
        """Return the engine with the chain's facts of these tables."""
        stale = {
            name
            for name in {*tables, *self._loaded}
            if not self._made or tables.get(name, []) != self._loaded.get(name, [])
        }
        if not self._made:
            self._found.clear()
            self._read.clear()
        self._made = False  # a step that fails leaves nothing to build on
        for name in stale:
            self._engine.execute(f"DELETE FROM {name}")
            self._engine.insert(name, tables.get(name, []))
        self._loaded = copy.deepcopy(tables)
        for name in stale:
            self._read.pop(name, None)
        known = self._known()
        for step in correlate.steps():
            if int(step.name[:2]) > 49 or step.table.startswith("plain_"):
                continue
            if (stale & reads(step) or step.table not in known) and self._run(step, stale):
                stale.add(step.table)
                self._read.pop(step.table, None)
        if crc32(repr(self._loaded).encode()) % _SAMPLED == 0:
            self._told_by_sql()
        self._made = True
        return self._engine

    def _run(self, step: correlate.Step, stale: set[str]) -> bool:
        """Run a step again; tell whether it comes to something else than before."""
        if step.language == "py":
            found: Any = list(correlate.derived(self._engine, step, self._read))
            if found == self._found.get(step.name) and not stale.intersection(correlate.adds(step)):
                return False
            self._found[step.name] = found
            self._engine.execute(f"DROP TABLE IF EXISTS {step.table}")
            put(self._engine, step, found)
            found = mark(self._engine, step.table)
        else:
            correlate.run_step(self._engine, step)
            found = mark(self._engine, step.table)
        changed: bool = found != self._found.get(step.table)
        self._found[step.table] = found
        return changed

    def _told_by_sql(self) -> None:
        """Compare what SQL says of exports that leave no doubt, with the others judged, with all of them judged."""
        for step in correlate.steps():
            if step.table == "export":
                judged = self._found[step.name]
        assert by_id(told(self._engine, self._read)) == by_id(judged)
        for name in [name for name in self._read if name.startswith("plain_")]:
            del self._read[name]

    def _known(self) -> set[str]:
        return {row["table_name"] for row in self._engine.rows("SELECT table_name FROM duckdb_tables()")}


@cache
def _world() -> World:
    return World()


def facts(tables: Tables, table: str) -> list[dict[str, Any]]:
    """Return one fact table derived from the tables."""
    return _world().derive(tables).table(table)


def chains(tables: Tables) -> dict[str, dict[str, Any]]:
    """Return the exports by job_uuid."""
    return {row["job_uuid"]: row for row in facts(tables, "export")}


def states(export: dict[str, Any]) -> dict[str, str]:
    """Return the seven states of an export by link."""
    return {name: export[f"{name}_state"] for name in LINKS}
