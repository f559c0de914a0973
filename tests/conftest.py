"""Servers that many tests share, each started once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings

from auditor.sandbox.estate import Estate

if TYPE_CHECKING:
    from fault_world import FaultWorld

LONGEST = (
    "test_faults_walk_others.py", "test_engine_spark.py", "test_faults_scans.py", "test_chain_laws.py",
    "test_estate_expectations.py", "test_faults_walk_backup.py", "test_rule_cases.py", "test_faults_crash.py",
    "test_rule_cases_product.py", "test_service_kills.py", "test_report_browser.py", "test_increments_full.py",
    "test_cli_answers.py", "test_service_serve.py", "test_policy_findings.py", "test_permissions_cases.py",
    "test_bundle_replay.py", "test_cli_rules.py", "test_ledger_moving.py", "test_increments_standing.py", "test_chain_plain.py",
    "test_alerts_delivery.py", "test_verify_tampering.py", "test_snapshot_bulk.py", "test_faults_hostile.py",
    "test_ledger_chain.py", "test_people_cases.py", "test_alerts_outgoing.py", "test_increments_estate.py", "test_doctor.py",
    "test_engine_away.py", "test_permissions_generated.py", "test_evaluate_unseen.py", "test_judge_planned.py",
    "test_estate_inventory.py", "test_sources_gcp_iam.py", "test_chain_links.py", "test_rules_bind.py",
    "test_sources_directory_api.py", "test_report_weekly.py", "test_engine_portable.py", "test_policy_effective.py",
    "test_alerts_cause.py", "test_chain_rows.py", "test_policy_evaluate.py", "test_chain_trigger.py", "test_verify_archives.py",
    "test_drift_meaning.py", "test_chain_attribution.py", "test_drift_gcp.py", "test_entities_objects.py",
    "test_chain_capture.py", "test_rules_sayings.py", "test_estate_demo.py", "test_chain_objects.py", "test_service_slots.py",
    "test_cli_progress.py", "test_chain_held.py", "test_policy_parse.py", "test_policy_compare.py",
)  # fmt: skip
"""Files that take longest, the longest first: begun last, one of them alone would keep one worker while the other waits.

A file that is missing here only costs time: files that are not named follow, those with most tests first.
"""

settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")
"""How quickly examples come depends on what else the machine does: it says nothing of what is tested."""


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Let files be handed to workers in the order below."""
    if hasattr(config.option, "loadscopereorder"):
        config.option.loadscopereorder = False


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin with the files that take longest where there are several workers."""
    if hasattr(config, "workerinput"):
        tests = Counter(item.path.name for item in items)
        place = {name: number for number, name in enumerate(LONGEST)}
        items.sort(
            key=lambda item: (place.get(item.path.name, len(place)), -tests[item.path.name], item.path.name)
        )


@pytest.fixture(scope="session", autouse=True)
def _shipped_rules_are_read_once() -> Iterator[None]:
    """Let the rules that ship be read and proven once a worker, and not by each command anew."""
    from rules_once import once

    with once():
        yield


@pytest.fixture(scope="session", autouse=True)
def _methods_of_clients_are_made_once() -> Iterator[None]:
    """Let botocore make the methods of a service's clients once a worker: each test has clients of its own servers."""
    from botocore.client import ClientCreator

    made, known = ClientCreator._create_methods, dict[tuple[str, str], dict[str, object]]()

    def once(creator: ClientCreator, model: Any) -> dict[str, object]:
        service = (model.service_name, model.api_version)
        if service not in known:
            known[service] = made(creator, model)
        return dict(known[service])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ClientCreator, "_create_methods", once)
        yield


@pytest.fixture(scope="session")
def estate() -> Iterator[Estate]:
    """The running estate after its last week; tests only read it."""
    played = Estate.open()
    played.advance(played.weeks)
    yield played
    played.close()


@pytest.fixture(scope="session")
def two_weeks() -> Iterator[FaultWorld]:
    """A small estate of two weeks, the first in its ledger; tests break it and mend it again."""
    from fault_world import FaultWorld

    world = FaultWorld()
    yield world
    world.close()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table of cases when the whole of it was run."""
    ran = {
        report.nodeid
        for reports in terminalreporter.stats.values()
        for report in reports
        if hasattr(report, "nodeid")
    }
    if any("test_rule_table.py" in name for name in ran):
        from rule_table import lines

        terminalreporter.section("the cases of each rule")
        for line in lines():
            terminalreporter.write_line(line)
