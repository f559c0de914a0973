"""Facts behind CHN-011, 012 and 013, and what a looser number is: the hostile cases first."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from entities import HOME, NOW, ago, estate, facts
from hypothesis import given
from hypothesis import strategies as st

from auditor.controls import COVERAGE, STATUSES, standings
from auditor.correlate import addressing, defining
from auditor.correlate.loosening import loosened
from auditor.outputs import inputs
from auditor.report_read import Counts
from auditor.rulelang.looser import looser
from auditor.rulepack import Control, Framework, Pack

ROLE = f"arn:aws:iam::{HOME}:role/exporter"


@pytest.mark.parametrize(
    ("source", "declared", "inside"),
    [
        ("10.1.2.3", ("10.0.0.0/8",), True),
        ("10.1.2.3", ("10.1.2.3",), True),
        ("10.1.2.3", ("10.9.9.9/8",), True),  # host bits do not matter
        ("110.1.2.3", ("10.0.0.0/8",), False),  # not as a prefix of text
        ("::ffff:10.1.2.3", ("10.0.0.0/8",), True),
        ("10.1.2.3", ("::ffff:10.0.0.0/104",), True),
        ("2600:1900::7", ("2600:1900::/28",), True),
        ("2600:1900:0:0:0:0:0:7", ("2600:1900::/28",), True),
        ("2600:190A::7", ("2600:1900::/28",), True),
        ("2600:1A00::7", ("2600:1900::/28",), False),
        ("2700::1", ("2600:1900::/28", "10.0.0.0/8"), False),
        ("backup.amazonaws.com", ("10.0.0.0/8",), False),
        ("Backup.amazonaws.com", ("backup.amazonaws.com",), True),
        ("AWS Internal", ("10.0.0.0/8",), False),
        (None, ("0.0.0.0/0",), None),
        ("", ("0.0.0.0/0",), None),
        ("garbage", ("0.0.0.0/0",), None),
        ("10.1.2.3", ("10.0.0/8",), None),  # a network that cannot be read may have been meant to hold it
        ("10.1.2.3", ("10.0.0/8", "10.1.0.0/16"), True),
        ("10.1.2.3", (), False),
    ],
)
def test_addresses_are_compared_as_networks(
    source: str | None, declared: tuple[str, ...], inside: bool | None
) -> None:
    assert addressing.within(source, declared) is inside


def session(**more: Any) -> dict[str, Any]:
    return {
        "session_key": "ASIA1", "access_key_id": "ASIA1", "account": HOME, "region": "eu-west-1", "issued_at": ago(hours=3),
        "event_name": "AssumeRoleWithWebIdentity", "role_arn": ROLE, "error_code": "", "source_ip": "10.1.2.3", "user_agent": "sdk",
    } | more  # fmt: skip


def cidrs(value: Any, zone: str = "default") -> dict[str, Any]:
    return {"rule": "session-from-expected-place", "zone": zone, "name": "cidrs", "value": value}


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ([], None),
        ([cidrs(None)], None),
        ([cidrs(["10.0.0.0/8"])], True),
        ([cidrs(["192.0.2.0/24"])], False),
        ([cidrs(["192.0.2.0/24"]), cidrs(["10.0.0.0/8"], "phi")], None),  # of which zone it is nobody knows
    ],
)
def test_without_declared_places_a_session_is_neither_expected_nor_not(
    params: list[Any], expected: bool | None
) -> None:
    role = {
        "role_arn": ROLE,
        "provider": "accounts.google.com",
        "audiences": [],
        "subject_of": "",
        "bucket": "",
        "prefix": "",
    }
    found = facts(estate(sts_session=[session()], config_federation=[role], params=params), "session")[
        "ASIA1"
    ]
    assert found["from_declared_place"] is expected


def job(**more: Any) -> dict[str, Any]:
    return {
        "job_uuid": "0c0ffee0-0000-4000-8000-000000000001", "job_id": "claims-20260301", "type": "pyspark", "main": "gs://code/claims.py",
        "arguments": ["--date", "2026-03-01", "--limit", "1000"], "properties": {"k": "v"}, "started_at": NOW,
    } | more  # fmt: skip


def digest(**more: Any) -> str | None:
    found: str | None = defining.columns(job(**more), None, [])["definition_digest"]
    return found


def test_runs_of_one_definition_share_its_digest_and_nothing_else_does() -> None:
    same = digest()
    assert same == digest(arguments=["--date", "2026-03-02T04:00:00Z", "--limit", "1000"])
    assert same == digest(arguments=["--date", "2026/03/02", "--limit", "1000"])
    assert same == digest(job_uuid="0c0ffee0-0000-4000-8000-000000000002", job_id="claims-20260302")
    for other in (
        {"arguments": ["--date", "2026-03-01", "--limit", "100000"]},
        {"arguments": ["--date", "2026-03-01", "--limit", "1000", "--skip-masking"]},
        {"arguments": ["--limit", "1000", "--date", "2026-03-01"]},
        {"main": "gs://code/claims2.py"},
        {"properties": {"k": "w"}},
        {"type": "spark"},
    ):
        assert digest(**other) != same, other


@pytest.mark.parametrize("part", ["arguments", "properties", "main", "type"])
def test_definition_that_was_not_read_in_full_has_no_digest(part: str) -> None:
    assert digest(**{part: None}) is None
    assert digest(main="gs://x …[cut: 99 bytes, sha256 00]") is None


@pytest.mark.parametrize(
    ("since", "until", "approved"),
    [
        (None, None, True),
        (ago(days=1), None, True),
        (NOW + timedelta(days=1), None, False),
        (None, NOW, False),
        (None, NOW + timedelta(seconds=1), True),
    ],
)
def test_an_approval_counts_only_if_it_held_when_the_job_started(
    since: Any, until: Any, approved: bool
) -> None:
    row = {"digest": digest(), "template": "", "from_at": since, "until_at": until, "approved_by": "board@x"}
    found = defining.columns(job(), None, [row])
    assert found["definition_approved"] is approved
    unread = defining.columns(job(started_at=None), None, [row])
    assert unread["definition_approved"] is None


def test_template_approved_by_version_is_open_once_it_was_changed() -> None:
    row = {
        "digest": "",
        "template": "projects/p/regions/r/workflowTemplates/t@3",
        "from_at": None,
        "until_at": None,
        "approved_by": "b",
    }
    made = {"template": "projects/p/regions/r/workflowTemplates/t", "templates": 1}
    assert defining.columns(job(), {**made, "version": 3}, [row])["definition_approved"] is True
    assert defining.columns(job(), {**made, "version": 4}, [row])["definition_approved"] is False
    assert defining.columns(job(), {**made, "version": None}, [row])["definition_approved"] is None


def test_inputs_are_what_the_words_call_so() -> None:
    said = job(
        arguments=[
            "--source",
            "s3a://in-phi/x",
            "--output",
            "s3a://out/x",
            "s3://bare/x",
            "--input=s3://in-2/y",
        ]
    )
    assert inputs(said) == ["in-2", "in-phi"]


def approval(**more: Any) -> dict[str, Any]:
    return {
        "params": [["a", "default", "limit", 10], ["a", "phi", "limit", 5], ["b", "default", "allow", ["x"]]],
        "looser": {"a/limit": "up"},
        "zones": [{"zone": "phi", "rank": 0, "capture_s": 100, "retention_d": 30, "copy_lag_s": -1, "bucket_min_d": -1,
                   "copy_to": [], "regions": ["r"], "supersede": False}],
    } | more  # fmt: skip


def rows(params: list[list[Any]]) -> list[dict[str, Any]]:
    return [dict(zip(("rule", "zone", "name", "value"), row, strict=True)) for row in params]


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ([["a", "default", "limit", 10], ["a", "phi", "limit", 5], ["b", "default", "allow", ["x"]]], 0),
        ([["a", "default", "limit", 9], ["a", "phi", "limit", 4], ["b", "default", "allow", ["x"]]], 0),
        ([["a", "default", "limit", 11], ["a", "phi", "limit", 5], ["b", "default", "allow", ["x"]]], 1),
        (
            [["a", "default", "limit", 10], ["b", "default", "allow", ["x"]]],
            1,
        ),  # the zone's own, stricter one was taken away
        ([["a", "default", "limit", 10], ["a", "phi", "limit", 5], ["b", "default", "allow", ["x", "y"]]], 1),
        ([["a", "default", "limit", None], ["a", "phi", "limit", 5], ["b", "default", "allow", ["x"]]], 1),
    ],
)
def test_a_looser_number_is_told_and_a_stricter_one_is_not(params: list[list[Any]], said: int) -> None:
    assert len(loosened(approval(), rows(params), approval()["zones"])) == said


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"capture_s": 99}, 0),
        ({"capture_s": 101}, 1),
        ({"capture_s": -1}, 1),
        ({"capture_s": None}, 1),
        ({"retention_d": 29}, 1),
        ({"retention_d": 31}, 0),
        ({"copy_lag_s": 5}, 0),  # from nothing demanded to something
        ({"copy_to": [{"account": "1"}]}, 1),
        ({"regions": ["r", "s"]}, 1),
        ({"zone": "other"}, 2),
    ],
)
def test_a_zone_that_asks_for_less_is_told(change: dict[str, Any], said: int) -> None:
    zones = [{**approval()["zones"][0], **change}]
    assert len(loosened(approval(), rows(approval()["params"]), zones)) == said


def test_which_way_is_looser_is_read_off_plain_bounds_alone() -> None:
    from auditor.builtin import builtin
    from auditor.rulepack import load

    pack = load([builtin("rules")], [builtin("rules") / "frameworks"], prove=False)
    assert looser(pack.find("SCN-010")) == {"critical": "up", "high": "up", "medium": "up", "low": "up"}
    assert looser(pack.find("CHN-014")) == {
        "target_percent": ""
    }  # it stands under a NOT beside the plain one
    assert looser(pack.find("SCN-013")) == {"within": "up"}


COUNTS = st.builds(Counts, *(st.integers(0, 5) for _ in range(6)))


class _Rule:
    def __init__(self, n: int, evidences: bool) -> None:
        self.id = self.code = f"r{n}"
        self.controls = ("f/c",)
        self.evidences = ("f/c",) if evidences else ()


@given(st.lists(st.tuples(COUNTS, st.booleans()), max_size=4), st.booleans(), st.booleans())
def test_whatever_the_counts_they_add_up_and_nothing_is_green_without_evidence(
    said: list[tuple[Counts, bool]], manual: bool, judged: bool
) -> None:
    rules = tuple(_Rule(n, evidences) for n, (_, evidences) in enumerate(said))
    control = Control("f", "c", "words", manual)
    pack = Pack(rules, (), (Framework("f", "F", (control,)),))  # type: ignore[arg-type]
    counts = {f"r{n}": one for n, (one, _) in enumerate(said)} if judged else {}
    (found,) = standings(pack, counts, judged=judged)
    total = found.counts
    assert total.population == sum((one.population for one, _ in said), 0) * judged
    assert (
        total.passed + total.failed + total.unknown + total.waived + total.not_applicable + total.not_due
    ) == total.population
    assert found.status in STATUSES
    assert found.coverage in COVERAGE
    green = found.status == "evidenced" or found.coverage == "evidenced"
    if green:
        assert any(one.passed for one, evidences in said if evidences)
        assert not total.failed
        assert not total.unknown
        assert not total.waived
        assert not manual
        assert found.status == found.coverage == "evidenced"
