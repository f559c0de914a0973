"""/metrics in the text of OpenMetrics 1.0 (RFC draft-ietf-opsawg-openmetrics, 4): families of numbers, no names of resources."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from auditor import __version__
from auditor.ledger.migrations import VERSION
from auditor.service.condition import Condition

CONTENT_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"
_VM_RSS = re.compile(r"^VmRSS:\s+([0-9]+) kB", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Family:
    """One metric and its samples."""

    name: str
    kind: str
    """`gauge`, `counter` or `info`."""
    help: str
    samples: Sequence[tuple[Mapping[str, str], float | int]] = field(default_factory=tuple)


def page(condition: Condition, ready: bool, now: datetime, memory_bytes: int, ledger_bytes: int) -> str:
    """Return all metrics as text."""
    return rendered(families(condition, ready, now, memory_bytes, ledger_bytes))


def families(
    condition: Condition, ready: bool, now: datetime, memory_bytes: int, ledger_bytes: int
) -> Iterator[Family]:
    """Yield every family; what could not be read is left out, not told as zero."""
    build = {"version": __version__, "ledger_schema": str(VERSION)}
    yield Family("auditor_build", "info", "Version of auditor and schema of its ledger.", [(build, 1)])
    yield _one("auditor_ready", "Whether this instance is ready; /readyz says why not.", int(ready))
    yield _one("auditor_leader", "Whether this instance leads.", int(condition.leads))
    yield _one("auditor_leader_term", "Term of the leader; it grows with every change.", condition.term)
    if condition.last_good_at is not None:
        seconds = condition.last_good_at.timestamp()
        yield _one(
            "auditor_last_success_timestamp_seconds", "When the last good scan looked.", round(seconds, 3)
        )
    yield _one(
        "auditor_scan_interval_seconds", "Longest time between two scheduled scans.", condition.interval_s
    )
    yield Family(
        "auditor_running", "gauge", "Whether a job runs.",
        [({"job": job}, int(job in condition.running)) for job in ("report", "scan")],
    )  # fmt: skip
    yield from _of_the_ledger(condition, now)
    if ledger_bytes:
        yield _one("auditor_ledger_size_bytes", "Size of the ledger's file.", ledger_bytes)
    if memory_bytes:
        yield _one("process_resident_memory_bytes", "Memory of this process.", memory_bytes)
    yield _one(
        "process_start_time_seconds", "When this process started.", round(condition.started_at.timestamp(), 3)
    )


def _of_the_ledger(condition: Condition, now: datetime) -> Iterator[Family]:
    counts = condition.counts
    if not counts:
        return
    yield Family(
        "auditor_findings", "gauge", "Open findings, waived ones included.",
        [({"verdict": verdict, "severity": severity}, n) for verdict, severity, n in counts["findings"]],
    )  # fmt: skip
    yield Family(
        "auditor_slots", "gauge", "Slots of the schedule by what became of them.",
        [({"job": job, "state": state}, n) for job, state, n in counts["slots"]],
    )  # fmt: skip
    outbox = counts["outbox"]
    waiting = outbox.get("pending", 0) + outbox.get("sending", 0)
    yield _one("auditor_outbox_pending", "Alerts that wait for delivery.", waiting)
    yield _one("auditor_outbox_dead", "Dead letters.", outbox.get("dead", 0))
    since = counts["waiting_since"]
    age = max(0, int((now - since).total_seconds())) if since else 0
    yield _one("auditor_outbox_oldest_seconds", "Age of the oldest alert that waits.", age)
    yield _one("auditor_routes_off", "Routes that are switched off.", counts["channels_off"])
    yield _one("auditor_ledger_entries", "Entries of the hash chain.", counts["entries"])


def _one(name: str, help_: str, value: float) -> Family:
    return Family(name, "gauge", help_, [({}, value)])


def rendered(all_families: Iterator[Family] | Sequence[Family]) -> str:
    """Write families as text, ended by # EOF."""
    lines: list[str] = []
    for family in all_families:
        lines += [f"# TYPE {family.name} {family.kind}", f"# HELP {family.name} {_escaped(family.help)}"]
        end = {"counter": "_total", "info": "_info"}.get(family.kind, "")
        for labels, value in family.samples:
            told = ",".join(f'{name}="{_escaped(text)}"' for name, text in labels.items())
            lines.append(f"{family.name}{end}{f'{{{told}}}' if told else ''} {value}")
    return "\n".join([*lines, "# EOF", ""])


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def memory_of(pid: str = "self") -> int:
    """Return the resident memory of a process in bytes; 0 where the kernel does not tell."""
    try:
        found = _VM_RSS.search(Path(f"/proc/{pid}/status").read_text())
    except OSError:
        return 0
    return int(found[1]) * 1024 if found else 0
