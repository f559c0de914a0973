"""Laws of the chain, on small worlds bent at random: what is not seen never helps, and what is far never matters."""

from __future__ import annotations

import copy
import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from chain_bend import Bend, add, both, clear, drop, hidden, put, put_all
from chain_world import (
    ACCOUNT,
    BUCKET,
    PREFIX,
    RECOVERY,
    Tables,
    at,
    chains,
    derived,
    entry,
    event,
    facts,
    gap,
    job,
    part,
    point,
    proven,
    seen,
    session,
)
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from auditor import correlate
from auditor.model import LINKS

ORDER = ("broken", "unknown", "pending", "proven", "not_required")
USER = {
    "access_key_id": "AKIAOLD",
    "principal_type": "IAMUser",
    "principal_arn": "arn:aws:iam::1:user/old",
    "role_arn": None,
}

BENDS: dict[str, Bend] = {
    "a stranger wrote": add("s3_data_event", event(7, key=f"{PREFIX}part-7", version_id="vs", at=at(5, 1, 40), **USER)),
    "a stranger wrote late": add("s3_data_event", event(8, key=f"{PREFIX}part-0", version_id="vt", at=at(5, 4), **USER)),
    "overwritten": both(put("s3_object_version", is_latest=False), add("s3_object_version", part(0, version_id="over", last_modified=at(5, 4)))),
    "a marker hides": add("s3_object_version", part(1, version_id="mark", last_modified=at(5, 6), is_delete_marker=True, bytes=0)),
    "a version is gone": drop("s3_object_version", 2),
    "no manifest": clear("s3_manifest"),
    "no events": clear("s3_data_event"),
    "no points": clear("backup_recovery_point"),
    "torn": put_all("backup_recovery_point", initiated_at=at(5, 1, 30)),
    "partial": put_all("backup_recovery_point", status="PARTIAL"),
    "issues": put("backup_job", category="AccessDenied"),
    "no copy job": clear("backup_copy_job"),
    "failed": put("dataproc_job", state="ERROR"),
    "running": put("dataproc_job", state="RUNNING", done=False, finished_at=None),
    "unnamed session": put("sts_session", session_name="spark"),
    "late session": put("sts_session", issued_at=at(5, 3), expires_at=at(5, 4)),
    "no session": clear("sts_session"),
    "a second job": add("dataproc_job", job("u-2")),
    "a repeated run": add("dataproc_job", job("u-3", submitted_at=at(5, 3), started_at=at(5, 3), finished_at=at(5, 4))),
    "disabled": put("directory_user", status="disabled", disabled_at=at(4)),
    "no member": clear("directory_membership"),
    "no entry": clear("gcp_audit_entry"),
    "suspended": put("s3_bucket", versioning="Suspended"),
    "no tags": put("s3_bucket", tags={}),
    "early": put("as_of", as_of=at(5, 2, 30)),
    "soon": put("as_of", as_of=at(5, 8)),
    "unlocked": put("backup_vault", locked=False),
    "short": put_all("backup_recovery_point", delete_at=at(30)),
}  # fmt: skip

bends = st.lists(st.sampled_from(sorted(BENDS)), max_size=4, unique=True)
laws = settings(
    max_examples=12,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow],
)


def _world(names: list[str]) -> Tables:
    tables = proven()
    for name in names:
        if name == "a version is gone" and len(tables["s3_object_version"]) < 4:
            continue
        if tables.get(_table_of(name), [1]):
            BENDS[name](tables)
    return tables


def _table_of(name: str) -> str:
    """The table a bend changes a row of, which another bend may have emptied."""
    return {
        "overwritten": "s3_object_version", "issues": "backup_job", "unnamed session": "sts_session", "late session": "sts_session",
    }.get(name, "as_of")  # fmt: skip


@settings(laws, max_examples=4)
@given(bends)
def test_rows_that_are_read_in_part_and_one_by_one_give_the_same(names: list[str]) -> None:
    tables = _world(names)
    made = [step.table for step in correlate.steps() if step.language == "py" and int(step.name[:2]) <= 49]

    def rows() -> dict[str, list[dict[str, Any]]]:
        with derived(tables) as engine:
            return {table: engine.table(table) for table in made}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(correlate, "_MANY", 0)
        held = rows()
        patch.setattr(correlate, "_HELD", -1)
        patch.setattr(correlate, "_SPARED", -1)
        assert rows() == held


def _states(tables: Tables) -> dict[tuple[str, str], str]:
    return {(uuid, link): row[f"{link}_state"] for uuid, row in chains(tables).items() for link in LINKS}


def _only_less_known(before: dict[tuple[str, str], str], after: dict[tuple[str, str], str]) -> None:
    for name, state in after.items():
        if name in before:
            assert state in (before[name], "unknown"), (name, before[name], state)


@laws
@given(bends, st.sampled_from(sorted({row["table_name"] for row in proven()["coverage"]})), st.booleans())
def test_gap_leaves_a_link_as_it_is_or_unknown(names: list[str], table: str, timed: bool) -> None:
    tables = _world(names)
    before = _states(tables)
    times = {"from_at": at(5), "until_at": at(5, 6)} if timed else {}
    for account in sorted({row["account"] for row in tables["coverage"] if row["table_name"] == table}):
        tables["coverage"].append(gap(table, account, **times))

    _only_less_known(before, _states(tables))


@laws
@given(bends, st.data())
def test_coverage_that_is_lost_leaves_a_link_as_it_is_or_unknown(names: list[str], data: Any) -> None:
    tables = _world(names)
    before = _states(tables)
    for _ in range(data.draw(st.integers(1, 3))):
        tables["coverage"].pop(data.draw(st.integers(0, len(tables["coverage"]) - 1)))

    _only_less_known(before, _states(tables))


@laws
@given(bends, st.randoms(use_true_random=False))
def test_order_of_rows_never_matters(names: list[str], random: Any) -> None:
    tables = _world(names)
    before = chains(tables)
    for rows in tables.values():
        random.shuffle(rows)

    assert chains(tables) == before


@laws
@given(bends)
def test_another_job_bucket_and_account_change_nothing(names: list[str]) -> None:
    tables = _world(names)
    before = chains(tables)
    far = "arn:aws:s3:::far"
    tables["dataproc_job"].append(
        job(
            "u-9",
            job_id="far",
            project="elsewhere",
            cluster_uuid="c-9",
            arguments=["--output", "s3a://far/x/"],
            submitted_at=at(7),
            started_at=at(7),
            finished_at=at(7, 1),
        )
    )
    tables["gcp_audit_entry"].append(
        entry("u-9", project="elsewhere", job_id="far", at=at(7), principal_email="eve@example.org")
    )
    tables["s3_bucket"].append(
        {
            "arn": far,
            "bucket": "far",
            "account": ACCOUNT,
            "region": "eu-west-1",
            "versioning": "Enabled",
            "lifecycle": [],
            "tags": {},
        }
    )
    tables["s3_object_version"].append(
        part(0, bucket="far", key="x/part-0", dir="x/", last_modified=at(7, 0, 30))
    )
    tables["s3_data_event"].append(event(70, bucket="far", key="x/part-0", at=at(7, 0, 30), **USER))
    tables["backup_recovery_point"].append(
        point("arn:aws:backup:eu-west-1:111111111111:recovery-point:far-1", resource_arn=far)
    )
    tables["coverage"] += [
        seen("dataproc_job", "elsewhere"),
        seen("s3_bucket", "333333333333"),
        gap("s3_data_event", resource=far),
    ]

    after = chains(tables)
    assert {uuid: after[uuid] for uuid in before} == before


COMPANY: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "plain": ({}, {}, {}),
    "unlabelled": ({"labels": {}}, {}, {}),
    "of no zone": ({"labels": {"zone": "none"}}, {}, {}),
    "failed": ({"state": "ERROR"}, {}, {}),
    "late": ({"finished_at": at(5, 6)}, {}, {"last_modified": at(5, 5, 30)}),
    "by a stranger": ({}, {"principal_email": "bo@example.org"}, {}),
    "elsewhere": ({"region": "us-central1"}, {}, {"storage_class": "GLACIER"}),
}
"""Exports of one bucket, by what is not alike of their job, its audit entry and its object."""


def _in_company(names: list[str], letters: str) -> list[dict[str, Any]]:
    """Return the exports of a world with company, each under a letter that decides when its turn comes."""
    tables = _world(names)
    for number, (letter, (run, called, wrote)) in enumerate(zip(letters, COMPANY.values(), strict=True)):
        uuid, key = f"u-1{number}", f"{letter}/part-0"
        tables["dataproc_job"].append(
            job(uuid, **{"arguments": ["--output", f"s3a://claims/{letter}/"], **run})
        )
        tables["gcp_audit_entry"].append(entry(uuid, **called))
        tables["sts_session"].append(session(f"ASIA{number}", session_name=uuid))
        tables["s3_object_version"].append(
            part(0, key=key, dir=f"{letter}/", version_id=f"c{number}", **wrote)
        )
    told = json.dumps([row for _, row in sorted(chains(tables).items())], default=str)
    for number, letter in enumerate(letters):
        told = told.replace(f"claims/{letter}/", f"claims/{number}/").replace(f'"{letter}/', f'"{number}/')
        told = told.replace(f" {letter}/part-0", f" {number}/part-0")
    return json.loads(told)  # type: ignore[no-any-return]


@settings(laws, max_examples=5)
@given(bends, st.permutations("ABCDEFG"))
def test_an_export_is_judged_alike_whichever_was_judged_before_it(names: list[str], order: list[str]) -> None:
    assert _in_company(names, "".join(order)) == _in_company(names, "ABCDEFG")


@laws
@given(bends, st.integers(-400, 400))
def test_moving_every_time_moves_the_times_and_nothing_else(names: list[str], hours: int) -> None:
    span = timedelta(days=hours)

    def moved(value: Any) -> Any:
        return value + span if isinstance(value, datetime) else value

    tables = _world(names)
    before = chains(tables)
    later = {
        name: [{key: moved(value) for key, value in row.items()} for row in rows]
        for name, rows in copy.deepcopy(tables).items()
    }

    words = ("because", "gaps")
    for uuid, row in chains(later).items():
        for name, value in before[uuid].items():
            if not name.endswith(words):
                assert row[name] == moved(value), name


@laws
@given(bends)
def test_every_sentence_is_whole_and_counts_add_up(names: list[str]) -> None:
    tables = _world(names)
    for row in chains(tables).values():
        states = [row[f"{link}_state"] for link in LINKS]
        worst = min((state for state in states if state in ORDER[:3]), key=ORDER.index, default="proven")
        assert row["state"] == worst
        for link in LINKS:
            because = row[f"{link}_because"]
            assert because
            assert "None" not in because, because
            assert "datetime" not in because, because
            if row[f"{link}_state"] == "proven":
                assert row[f"{link}_strength"] in ("exact", "strong", "inferred")
            else:
                assert row[f"{link}_strength"] == "none"
    attributed = sum(row["objects"] for row in chains(tables).values())
    left = sum(row["objects"] for row in facts(tables, "unattributed_object"))
    apart = {"_SUCCESS"}
    versions = [
        row
        for row in tables["s3_object_version"]
        if not row["is_delete_marker"] and row["key"].rpartition("/")[2] not in apart
    ]
    assert attributed + left == len(versions)


def test_hiding_the_recovery_account_never_breaks_what_it_holds() -> None:
    tables = proven()
    hidden("backup_recovery_point", RECOVERY)(tables)
    hidden("s3_object_version", resource=BUCKET)(tables)
    tables["sts_session"].append(session("ASIATWO", subject="999", session_name="x"))

    assert "broken" not in {state for (_, link), state in _states(tables).items() if link != "session"}
