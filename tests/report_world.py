"""A small state of two scans, made by the real stages from rows: what tests of reports print."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import chain_world as world
from chain_world import Tables, at

from auditor import report
from auditor.builtin import builtin
from auditor.config import Config
from auditor.config_sections import State
from auditor.judge import Judgement, judge
from auditor.ledger import Alert, Ledger, RuleNote, ScanRecord, ScanRow
from auditor.model import Drift, Window
from auditor.rulepack import Pack, load
from auditor.scan import coverage_of
from auditor.snapshot import Snapshot, write

if TYPE_CHECKING:
    import pytest

FIRST, SECOND = at(12, 6), at(19, 6)
WEEK = timedelta(days=7)
HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)> javascript:alert(3) \u202egpj.exe\u2066 \x07\x1b[31m \ufeff"


@cache
def pack() -> Pack:
    """The shipped rules, unproven: their examples have tests of their own."""
    return load([builtin("rules")], [builtin("rules") / "frameworks"], prove=False)


def hostile() -> Tables:
    """One proven export and, beside it, what a stranger could name: jobs, owners, prefixes, gaps."""
    tables = world.proven()
    bad = "daily/dt=2026-01-06/" + HOSTILE.replace("/", "") + "/"
    tables["dataproc_job"].append(
        world.job(
            "u-2", job_id=HOSTILE, state="ERROR", state_detail=HOSTILE, submitted_at=at(6, 1), started_at=at(6, 1, 1),
            finished_at=at(6, 2), arguments=["--output", f"s3a://claims/{bad}"],
            labels={"zone": HOSTILE, "owner": HOSTILE},
        )
    )  # fmt: skip
    tables["gcp_audit_entry"].append(world.entry("u-2", at=at(6, 1), principal_email=HOSTILE, job_id=HOSTILE))
    tables["s3_object_version"].append(
        world.part(7, key=f"stray/{HOSTILE}", dir="stray/", version_id=HOSTILE, last_modified=at(6, 3))
    )
    tables["coverage"].append(
        world.seen(
            "backup_restore_job", world.ACCOUNT, complete=False, reason="denied", detail=HOSTILE, resource=HOSTILE
        )
    )  # fmt: skip
    tables["config_exclusion"] = [
        {"kind": "bucket", "match": HOSTILE, "reason": HOSTILE, "approved_by": HOSTILE}
    ]
    return tables


def later(tables: Tables, now: datetime) -> Tables:
    """The same estate, seen a week later."""
    tables["as_of"] = [tables["as_of"][0] | {"as_of": now, "previous_at": FIRST, "slot": "2026-W03"}]
    tables["coverage"] = [row | {"until_at": now, "observed_at": now} for row in tables["coverage"]]
    return tables


@dataclass
class Place:
    """A state folder with its ledger and configuration."""

    dir: Path
    ledger: Ledger
    config: Config

    def scan(
        self, tables: Tables, now: datetime, *, drift: tuple[Drift, ...] = (), alerts: tuple[Alert, ...] = ()
    ) -> ScanRow:
        """Judge rows and remember the outcome, as a scan does after it collected."""
        snapshot = snapshot_of(self, tables, now)
        judgement = judge(snapshot, pack(), into=self.dir / "state" / "judged")
        return self.record(snapshot, judgement, now, drift, alerts)

    def record(
        self,
        snapshot: Snapshot,
        judgement: Judgement,
        now: datetime,
        drift: tuple[Drift, ...] = (),
        alerts: tuple[Alert, ...] = (),
    ) -> ScanRow:
        record = ScanRecord(
            slot=f"{now:%G-W%V}",
            snapshot_id=snapshot.id,
            snapshot_dir=str(snapshot.dir),
            rule_digest=pack().digest,
            config_digest=self.config.digest,
            outcome_digest=judgement.digests["outcome"],
            tally=judgement.tally,
            rules={rule.id: RuleNote(rule.controls, rule.remedy) for rule in pack().rules},
            coverage=tuple(coverage_of(snapshot)),
            interval_s=7 * 86400,
        )
        return self.ledger.record(record, list(judgement.outcomes()), drift, alerts=alerts, at=now)

    def render(self, to_at: datetime = SECOND, **more: Any) -> str:
        asked: dict[str, Any] = {"from_at": to_at - WEEK, "to_at": to_at, "now": to_at} | more
        return report.render(self.ledger, self.config, pack(), **asked)


def snapshot_of(place: Place, tables: Tables, now: datetime) -> Snapshot:
    params = place.config.tables(pack().rules)["params"]
    about = {
        "queries": [{"account": world.ACCOUNT, "bytes": 10, "cloud": "aws", "example": HOSTILE, "operation": "ListBackupJobs",
                     "pages": 1, "params": "0" * 64, "region": "eu-west-1", "rows": 1, "service": "backup",
                     "sha256": "1" * 64, "source": "test"}],
        "calls": {"backup:ListBackupJobs": 1}, "refused": {}, "carried": None, "gaps": 1,
        "identities": [{"account": world.ACCOUNT, "caller": HOSTILE}], "endpoints": {"aws": HOSTILE, "gcp": ""},
    }  # fmt: skip
    window = Window(now - WEEK, now)
    return write(
        place.dir / "state" / "snapshots", {**tables, "params": params}, as_of=now, window=window, about=about
    )


def empty(folder: Path) -> Place:
    """A state folder in which nothing has happened."""
    folder.mkdir(parents=True, exist_ok=True)
    config = Config(organisation=HOSTILE, state=State(dir=str(folder / "state")))
    return Place(folder, Ledger.open(folder / "ledger.sqlite3"), config)


def two_weeks(folder: Path) -> Place:
    """Two scans of a hostile estate with drift, a waiver, a delivered alert and a dead letter."""
    place = empty(folder)
    place.scan(hostile(), FIRST)
    changed = Drift(
        "d-1", "changed", None, "backup_vault", HOSTILE, "min_retention_d", "30", "-1", "worse", at(14), SECOND,
        HOSTILE, HOSTILE, "high", HOSTILE,
    )  # fmt: skip
    unsigned = replace(changed, drift_id="d-2", field="tags", before='["a"]', after='["b"]', actor=None,
                       actor_reason="CloudTrail was not read", direction="neutral")  # fmt: skip
    alerts = tuple(Alert(f"a-{n}", "webhook", "opened", (f"k-{n}",), {"n": n}) for n in range(2))
    place.scan(later(hostile(), SECOND), SECOND, drift=(changed, unsigned), alerts=alerts)
    place.ledger.lease_alerts(SECOND, lease_s=60, limit=10, channels=["webhook"])
    place.ledger.alert_delivered("a-0", SECOND)
    place.ledger.alert_dead("a-1", HOSTILE, now=SECOND)
    return place


_SHARED: list[Place] = []


def shared(folders: pytest.TempPathFactory) -> Place:
    """The state of two weeks, made once for all tests of a process; they only read it."""
    if not _SHARED:
        _SHARED.append(two_weeks(folders.mktemp("report") / "two-weeks"))
    return _SHARED[0]
