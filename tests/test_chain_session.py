"""The session link, cell by cell of links.md: with what credentials the export was written."""

from __future__ import annotations

from typing import Any

from chain_bend import (
    Bend,
    Case,
    add,
    bent,
    both,
    clear,
    drop,
    early,
    hidden,
    holds,
    never_asked,
    of,
    put,
    put_all,
)
from chain_world import (
    ACCOUNT,
    PREFIX,
    RECOVERY,
    ROLE,
    SA,
    Tables,
    at,
    chains,
    event,
    facts,
    gap,
    job,
    part,
    seen,
    session,
)

STS = f"arn:aws:sts::{ACCOUNT}:assumed-role/export-writer/u-1"
EARLY = {"issued_at": at(5, 0, 56), "expires_at": at(5, 4)}
"""Five minutes before the job's start, at the border."""


def _key(number: int = 7, **more: Any) -> dict[str, Any]:
    """A write under the export's prefix with a long-term access key."""
    user = {
        "access_key_id": "AKIAOLD",
        "principal_type": "IAMUser",
        "principal_arn": f"arn:aws:iam::{ACCOUNT}:user/old",
        "role_arn": None,
    }
    return event(number, **({"key": f"{PREFIX}part-{number}"} | user | more))


UNSEEN = "dataproc-0c0ffee0-0000-4000-8000-000000000002"


def _unnamed(name: str = "spark", **more: Any) -> Bend:
    """A session whose name says nothing, or another job."""
    return both(put("sts_session", session_name=name, **more), put_all("s3_data_event", session_name=name))


def _role_elsewhere() -> Bend:
    """The export role is in another account than the bucket."""
    role = f"arn:aws:iam::{RECOVERY}:role/export-writer"
    return both(
        put("config_federation", role_arn=role),
        put("sts_session", role_arn=role, account=RECOVERY),
        put_all("s3_data_event", role_arn=role),
    )


CASES: list[Case] = [
    # by whom
    ("a session on another role wrote", "session", "broken", both(drop("sts_session"), put_all("s3_data_event", role_arn=f"arn:aws:iam::{ACCOUNT}:role/admin"))),
    ("a chained session wrote", "session", "broken", put("sts_session", event_name="AssumeRole", subject=None)),
    ("a chained session wrote and the jobs were denied", "session", "broken", both(put("sts_session", event_name="AssumeRole", subject=None), hidden("dataproc_job", "data"))),
    ("an access key wrote and the unique id is not configured", "session", "broken", both(add("s3_data_event", _key()), clear("config_subject"))),
    ("an access key wrote and no export role is configured", "session", "broken", both(add("s3_data_event", _key()), clear("config_federation"))),
    ("an access key wrote while the job runs", "session", "broken", both(add("s3_data_event", _key()), put("dataproc_job", state="RUNNING", done=False, finished_at=None))),
    ("an access key wrote elsewhere in the bucket", "session", "proven", add("s3_data_event", _key(key="other/part-7"))),
    ("an access key wrote a day before", "session", "proven", add("s3_data_event", _key(at=at(4)))),
    ("an access key wrote exactly the skew after the end", "session", "broken", add("s3_data_event", _key(at=at(5, 2, 2)))),
    ("an access key wrote after the end", "session", "proven", add("s3_data_event", _key(at=at(5, 2, 3)))),
    ("an access key failed to write", "session", "proven", add("s3_data_event", _key(error_code="AccessDenied"))),
    ("an access key wrote and the event does not say where", "session", "proven", add("s3_data_event", _key(key=None), _key(8, at=None))),
    ("a session of another subject wrote and jobs were denied", "session", "unknown", both(put("sts_session", subject="999"), hidden("dataproc_job", "data", from_at=at(4), until_at=at(6)))),
    ("a session of another subject wrote and later jobs were denied", "session", "broken", both(put("sts_session", subject="999"), hidden("dataproc_job", "data", from_at=at(8)))),
    ("a job whose account is not known may be the session's", "session", "unknown", both(put("sts_session", subject="999"), add("dataproc_job", job("u-2", cluster_uuid="c-9", arguments=[])))),
    ("the event does not hold the role, and its name is the export role's", "session", "proven", put_all("s3_data_event", role_arn=None)),
    ("neither role nor issue is told, and the name is the export role's", "session", "unknown", both(drop("sts_session"), put_all("s3_data_event", role_arn=None))),
    ("neither role nor issue is told, and the name is another's", "session", "broken", both(drop("sts_session"), put_all("s3_data_event", role_arn=None, principal_arn=f"arn:aws:sts::{ACCOUNT}:assumed-role/admin/u-1"))),
    ("the event does not say what kind of principal wrote", "session", "unknown", add("s3_data_event", _key(principal_type=None))),
    # when it was issued
    ("issued exactly five minutes before the start", "session", "proven", put("sts_session", **EARLY)),
    ("issued six minutes before the start", "session", "unknown", put("sts_session", issued_at=at(5, 0, 55))),
    ("issued exactly the skew after the end", "session", "proven", both(put("sts_session", issued_at=at(5, 2, 2), expires_at=at(5, 4)), put_all("s3_data_event", at=at(5, 2, 2)), put_all("s3_object_version", last_modified=at(5, 2, 2)))),
    ("issued three minutes after the end and used", "session", "unknown", both(put("sts_session", issued_at=at(5, 2, 3), expires_at=at(5, 4)), put_all("s3_data_event", at=at(5, 2, 3)))),
    ("issued exactly a quarter of an hour after the end and used", "session", "unknown", both(put("sts_session", issued_at=at(5, 2, 15), expires_at=at(5, 4)), put_all("s3_data_event", at=at(5, 2, 16)))),
    ("issued more than a quarter of an hour after the end and used", "session", "broken", both(put("sts_session", issued_at=at(5, 2, 16), expires_at=at(5, 4)), put_all("s3_data_event", at=at(5, 2, 17)))),
    ("issued an hour after the end by the job's account, and used under the prefix", "session", "broken", both(add("sts_session", session("ASIALATE", issued_at=at(5, 3), expires_at=at(5, 4), session_name="x")), add("s3_data_event", event(8, at=at(5, 3, 5), access_key_id="ASIALATE", session_name="x", principal_arn=STS[:-3] + "x")))),
    ("issued two days after the end by the job's account", "session", "proven", both(add("sts_session", session("ASIALATE", issued_at=at(7), expires_at=at(7, 1), session_name="x")), add("s3_data_event", event(8, at=at(7, 0, 5), access_key_id="ASIALATE", session_name="x", principal_arn=STS[:-3] + "x")))),
    # while it was valid
    ("wrote exactly the skew after it expired", "session", "proven", put("sts_session", expires_at=at(5, 1, 30))),
    ("wrote more than the skew after it expired", "session", "unknown", put("sts_session", expires_at=at(5, 1, 29))),
    ("wrote exactly the skew before it was issued", "session", "proven", put("sts_session", issued_at=at(5, 1, 32))),
    ("wrote more than the skew before it was issued", "session", "unknown", put("sts_session", issued_at=at(5, 1, 33))),
    ("when it expired is not known", "session", "unknown", put("sts_session", expires_at=None)),
    # as declared
    ("provider and audience are each declared, and not together", "session", "broken", both(put("config_federation", provider="accounts.google.com", audiences=["x"]), add("config_federation", {"role_arn": ROLE, "provider": "other.example", "audiences": ["exports"]}))),
    ("the role is another account's", "session", "broken", put("config_federation", subject_of="somebody@data.iam.gserviceaccount.com")),
    ("the role is the job's account's", "session", "proven", put("config_federation", subject_of=SA)),
    ("the event does not name the provider", "session", "unknown", put("sts_session", provider=None)),
    ("the event does not hold the subject", "session", "unknown", put("sts_session", subject=None)),
    ("the issue was refused", "session", "unknown", put("sts_session", error_code="AccessDenied")),
    # which job
    ("the name says nothing and its credentials wrote", "session", "proven", _unnamed()),
    ("the name says another job that is not of that time", "session", "unknown", both(clear("s3_data_event"), put("sts_session", session_name="u-9"), add("dataproc_job", job("u-9", submitted_at=at(3), started_at=at(3), finished_at=at(3, 1), arguments=[])))),
    ("another job of the account ran then and wrote elsewhere", "session", "proven", both(_unnamed(), add("dataproc_job", job("u-2", arguments=["--output", "s3a://claims/other/"])))),
    ("another job of the account ran then and nothing tells them apart", "session", "unknown", both(clear("s3_data_event"), put("sts_session", session_name="spark"), add("dataproc_job", job("u-2", arguments=["--output", "s3a://claims/other/"])))),
    ("another job ran then as nobody knows whom, and nothing tells them apart", "session", "unknown", both(clear("s3_data_event"), put("sts_session", session_name="spark"), add("dataproc_job", job("u-2", cluster_uuid="c-9", arguments=[])))),
    ("another job ran then as nobody knows whom, and the name tells", "session", "proven", add("dataproc_job", job("u-2", cluster_uuid="c-9", arguments=[]))),
    ("the event does not hold the access key id and the name tells", "session", "proven", put("sts_session", access_key_id=None, session_key="issue-ASIAONE")),
    ("the event does not hold the access key id and its validity ended before the last write", "session", "unknown", put("sts_session", access_key_id=None, session_key="issue-ASIAONE", expires_at=at(5, 1, 29))),
    ("its time alone says whose it is", "session", "proven", both(_unnamed(), put("dataproc_job", arguments=[]))),
    ("its time alone says whose it is and jobs were denied", "session", "unknown", both(_unnamed(), put("dataproc_job", arguments=[]), hidden("dataproc_job", "data"))),
    ("its name says whose it is and jobs were denied", "session", "proven", both(put("dataproc_job", arguments=[]), hidden("dataproc_job", "data"))),
    ("its writes say whose it is and jobs were denied", "session", "proven", both(_unnamed(), hidden("dataproc_job", "data"))),
    ("its name holds the uuid of a job that nobody saw, and it wrote under this one's prefix", "session", "proven", _unnamed(UNSEEN)),
    # what could not be seen
    ("issues in another enabled region were denied", "session", "unknown", both(add("config_place", {"cloud": "aws", "account": ACCOUNT, "region": "eu-central-1"}), hidden("sts_session", region="eu-central-1"))),
    ("issues in a region that is not enabled were denied", "session", "proven", hidden("sts_session", region="ap-south-1")),
    ("issues in us-east-1 were denied", "session", "unknown", hidden("sts_session", region="us-east-1")),
    ("issues of another time were denied", "session", "proven", hidden("sts_session", from_at=at(6))),
    ("issues were denied until the job began", "session", "proven", hidden("sts_session", until_at=at(5, 0, 56))),
    ("issues were never asked", "session", "unknown", never_asked("sts_session")),
    ("the trail lacks read events", "session", "unknown", both(never_asked("sts_session"), add("coverage", gap("sts_session") | {"reason": "not_enabled"}))),
    ("a role of another account's that is not the job's was not seen", "session", "proven", add("config_federation", {"role_arn": "arn:aws:iam::999999999999:role/x", "provider": "p", "audiences": [], "subject_of": "other@x"})),
    ("no issue and a denied log before it is settled", "session", "unknown", both(clear("sts_session"), early(2, 30), hidden("sts_session"))),
    ("not settled a minute before the hour", "session", "pending", early(2, 59)),
    ("settled after exactly an hour", "session", "proven", early(3)),
    ("the role is in another account that was read", "session", "proven", both(_role_elsewhere(), add("coverage", seen("sts_session", RECOVERY)))),
    ("the role is in another account that was not read", "session", "unknown", _role_elsewhere()),
    ("nothing was written and a session was issued", "session", "proven", clear("s3_object_version", "s3_manifest", "s3_data_event")),
    ("when the job ended is not known", "session", "unknown", put("dataproc_job", finished_at=None)),
]  # fmt: skip


@of(CASES)
def test_session_is(sentence: str, link: str, state: str, bend: Bend) -> None:
    holds(link, state, bend)


def _strength(*bends: Bend) -> str:
    export = chains(bent(*bends))["u-1"]
    assert export["session_state"] == "proven", export["session_because"]
    return str(export["session_strength"])


def test_session_is_exact_by_access_key_strong_by_name_and_inferred_by_time_alone() -> None:
    def without_events(tables: Tables) -> None:
        tables["s3_data_event"].clear()
        tables["coverage"] = [row for row in tables["coverage"] if row["table_name"] != "s3_data_event"]
        tables["coverage"].append(gap("s3_data_event") | {"reason": "not_enabled"})

    assert _strength() == "exact"
    assert _strength(_unnamed()) == "exact"
    assert _strength(without_events) == "strong"
    assert _strength(without_events, put("sts_session", session_name="spark")) == "inferred"
    assert _strength(put("sts_session", access_key_id=None, session_key="issue-ASIAONE")) == "strong"


def test_several_sessions_of_one_job_are_as_strong_as_the_weakest() -> None:
    second = session("ASIATWO", session_name="u-1")
    export = chains(bent(add("sts_session", second), put("s3_data_event", 2, access_key_id="ASIATWO")))["u-1"]

    assert (export["session_state"], export["session_strength"]) == ("proven", "exact")
    assert "2 sessions" in export["session_because"]


def test_stranger_under_a_longer_prefix_is_told_by_the_export_that_runs_there() -> None:
    parent = job("u-2", arguments=["--output", "s3a://claims/daily/"])

    def stranger(when: Any) -> Tables:
        return bent(add("dataproc_job", parent), add("s3_data_event", _key(at=when)))

    during = chains(stranger(at(5, 1, 30)))
    assert (during["u-1"]["session_state"], during["u-2"]["session_state"]) == ("broken", "unknown")


def test_old_export_on_a_longer_prefix_does_not_excuse_a_stranger_in_the_parent_s_time() -> None:
    old = job("u-0", submitted_at=at(2, 1), started_at=at(2, 1), finished_at=at(2, 2))
    tables = bent(
        put("dataproc_job", arguments=["--output", "s3a://claims/daily/"]),
        add("dataproc_job", old),
        add("s3_data_event", _key(at=at(5, 1, 40))),
    )

    assert chains(tables)["u-1"]["session_state"] == "broken"


def test_session_that_a_job_of_unknown_account_may_explain_is_no_orphan() -> None:
    lone = session("ASIALONE", subject="999", session_name="x")
    unsure = job("u-2", cluster_uuid="c-9", arguments=[])

    alone = {
        row["session_key"]: row["orphan"] for row in facts(bent(add("sts_session", lone)), "orphan_session")
    }
    perhaps = {
        row["session_key"]: row["orphan"]
        for row in facts(bent(add("sts_session", lone), add("dataproc_job", unsure)), "orphan_session")
    }

    assert alone == {"ASIAONE": False, "ASIALONE": True}
    assert perhaps == {"ASIAONE": False, "ASIALONE": None}


def test_orphan_is_one_whatever_was_denied_after_it_was_issued() -> None:
    lone = session("ASIALONE", subject="999", session_name="x")

    def orphan(**times: Any) -> Any:
        rows = facts(
            bent(add("sts_session", lone), hidden("dataproc_job", "data", **times)), "orphan_session"
        )
        return {row["session_key"]: row["orphan"] for row in rows}["ASIALONE"]

    assert orphan(from_at=at(8)) is True
    assert orphan(from_at=at(5), until_at=at(6)) is None


def test_session_that_holds_the_uuid_of_a_job_nobody_saw_is_not_the_one_that_ran_then() -> None:
    untold = put("dataproc_job", arguments=[])
    assert chains(bent(_unnamed(), untold))["u-1"]["found_by"] == "session"
    assert "u-1" not in chains(bent(_unnamed(UNSEEN), untold))


def test_prefix_found_by_a_session_takes_in_only_what_it_wrote() -> None:
    """Objects that another writer left beside them in the same hours are not the job's by their look."""
    export = chains(
        bent(
            put("dataproc_job", arguments=[]),
            add("s3_object_version", part(5, key="daily/other/x", dir="daily/other/", version_id="x")),
            add("s3_data_event", event(6, key="daily/dt=9/y", version_id="y")),
            add("s3_object_version", part(6, key="daily/dt=9/y", dir="daily/dt=9/", version_id="y")),
        )
    )["u-1"]

    assert (export["found_by"], export["prefix"], export["objects"]) == ("session", "daily/", 4)
