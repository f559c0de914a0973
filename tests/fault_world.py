"""A small two-cloud estate, scanned once undisturbed and then again and again with one thing broken."""

from __future__ import annotations

import dataclasses
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import Any

from fault_judge import Judge, Judged, judged, pack

from auditor import config as configuration
from auditor.collect import collect
from auditor.ledger import Ledger
from auditor.model import Gap, Row, Seen, Window
from auditor.sandbox.aws import AwsCloud
from auditor.sandbox.estate import Estate
from auditor.sandbox.estate_story import Story
from auditor.sandbox.faults import Faults
from auditor.sandbox.gcp import GcpCloud
from auditor.scan import OVERLAP, Scan, joins, scan
from auditor.snapshot import Snapshot
from auditor.sources import NAMES, source

FULL_WALK = bool(os.environ.get("AUDITOR_FULL_WALK"))
"""Walk everything (`make soak`), and not only what fits in a minute."""
SECTIONS = {f"sources.{name}": source(name).Settings for name in NAMES}
EXCUSING = "aws_cloudtrail"
"""The source of deletions: what they account for is no suspect loss."""
HANG_S = 1
"""Seconds after which a call that hangs is given up."""

Operation = tuple[str, str]
"""Service and operation, as `Faults` names them."""
Place = tuple[str | None, str | None, str | None]
"""Account, region and resource of a call."""
Fault = Mapping[str, Any]
"""The arguments of `Faults.set`."""

BUCKETS = (
    "acme-claims-phi",
    "acme-billing-soc2",
    "acme-hr-internal",
    "acme-trail-111111111111",
    "acme-trail-222222222222",
)
VAULTS = ("phi", "phi-recovery", "soc2", "soc2-copies", "internal")
PLANS = ("phi-daily", "soc2-nightly", "hr-continuous")
WEST = {"region": "europe-west1"}
PIPELINES: Mapping[str, Mapping[str, Any]] = {
    "claims": {},
    "eligibility": {},
    "billing": {},
    "hr": WEST,
    "imaging": {**WEST, "to": "acme-hr-internal/scans/date={date}/"},
    "notebooks": {**WEST, "to": "acme-hr-internal/notebooks/{job_id}/", "project": "acme-finance"},
    "central": {"to": "acme-hr-internal/trials/date={date}/", "project": "acme-finance"},
}
EXPORTS: tuple[Mapping[str, Any], ...] = (
    {"id": "claims-w01", "at": "W01 Tue 01:00"},
    {"id": "billing-w01", "at": "W01 Wed 19:00"},
    {"id": "hr-w01", "at": "W01 Thu 01:00"},
    {"id": "claims-w02", "at": "W02 Tue 01:00", "also": [{"do": "replicated", "after": "30m"}]},
    {"id": "claims-w02-key", "at": "W02 Wed 01:00", "also": [{"do": "overwritten_by_key", "after": "17m"}]},
    {"id": "claims-w02-gone", "at": "W02 Fri 01:00", "also": [{"do": "deleted_version", "after": "60m"}]},
    {"id": "claims-w02-copy", "at": "W02 Sat 01:00", "copy": {"state": "FAILED"}},
    {"id": "eligibility-w02", "at": "W02 Thu 01:00", "job": {"ends": "ERROR"}, "files": 0, "marker": "none"},
    {"id": "eligibility-w02-retry", "at": "W02 Thu 02:00"},
    {"id": "billing-w02", "at": "W02 Wed 19:00", "by": "finn"},
    {"id": "billing-w02-sun", "at": "W02 Sun 19:00", "copy": {"done": "W03 Mon 07:00"}},
    {"id": "hr-w02", "at": "W02 Thu 01:00"},
    {"id": "hr-w02-none", "of": "hr", "at": "W02 Tue 10:00", "files": 0, "marker": "none"},
    {"id": "imaging-w02", "at": "W02 Tue 01:00", "session": {"issue_key": False, "name": "spark"}},
    {"id": "notebooks-w02", "at": "W02 Wed 09:00"},
    {"id": "central-w02", "at": "W02 Wed 02:00", "also": [{"do": "session_without_job", "after": "3h"}]},
)
CHANGES: tuple[Mapping[str, Any], ...] = (
    {"at": "W01 Mon 09:30", "by": "finn", "do": "user_with_key", "name": "legacy-loader", "key": "AKIAEXAMPLELEGACY001"},
    {"at": "W02 Wed 12:00", "by": "finn", "do": "restored", "bucket": "acme-claims-phi"},
    {"at": "W02 Tue 09:00", "by": "finn", "do": "vault", "name": "soc2-copies", "lock": "none"},
    {"at": "W01 Mon 14:00", "by": "finn", "do": "trust", "role": "export-billing", "open": True},
    {"at": "W02 Mon 14:00", "by": "finn", "do": "trust", "role": "export-billing", "open": False},
    {"at": "W01 Mon 12:00", "by": "finn", "do": "bucket", "name": "acme-trail-222222222222", "set": {"versioning": "Suspended"}},
    {"at": "W02 Mon 12:00", "by": "finn", "do": "bucket", "name": "acme-trail-222222222222", "set": {"versioning": "Enabled"}},
    {"at": "W02 Sun 12:00", "by": "finn", "do": "bucket", "name": "acme-billing-soc2", "set": {"eventbridge": False}},
    {"at": "W02 Mon 10:00", "by": "eva", "do": "drop_point", "of": "billing-w01"},
)  # fmt: skip


def small_story() -> Story:
    """Return two weeks of the scenario's organisation: something proven, broken, pending, repaired and gone."""
    said = dict(Story.read().said)
    said["scans"] = {**said["scans"], "weeks": 2}
    said["buckets"] = {name: _without(said["buckets"][name], "data_events") for name in BUCKETS}
    said["vaults"] = {name: said["vaults"][name] for name in VAULTS}
    said["plans"] = {name: dict(said["plans"][name]) for name in PLANS}
    said["plans"]["phi-daily"]["buckets"] = ["acme-claims-phi"]
    shared = {**said["gcp"]["clusters"]["research-shared"], "project": "acme-finance"}
    said["gcp"] = {
        "projects": ["acme-claims", "acme-finance"],
        "regions": ["europe-west1"],
        "clusters": {"research-shared": shared},
    }
    said["pipelines"] = {name: {**said["pipelines"][name], **more} for name, more in PIPELINES.items()}
    said["exports"], said["changes"], said["faults"] = list(EXPORTS), list(CHANGES), {}
    return Story(said)


def _without(said: Mapping[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in said.items() if name != key}


@dataclass
class Noting(Faults):
    """Faults that remember every place an operation was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: dict[Operation, set[Place]] = {}

    def hit(self, service: str, operation: str, *where: str | None) -> str | None:
        account, region, resource = (*where, None, None, None)[:3]
        self.asked.setdefault((service, operation), set()).add((account, region, resource))
        return super().hit(service, operation, account, region, resource)


@dataclass
class Listening:
    """A real source that remembers what it yielded and which operations it called."""

    name: str
    world: FaultWorld
    yielded: list[Row | Seen | Gap] = field(default_factory=list)
    called: Counter[Operation] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        real = source(self.name)
        self.TABLES, self.AFTER, self.ACTIONS, self.Settings = (
            real.TABLES,
            real.AFTER,
            real.ACTIONS,
            real.Settings,
        )

    def collect(self, ask: Any) -> Iterator[Row | Seen | Gap]:
        with self.world.one_at_a_time:
            before = self.world.calls()
            self.yielded = list(source(self.name).collect(ask))
            self.called = self.world.calls() - before
        yield from self.yielded


@dataclass
class Replaying:
    """A source that yields again what it yielded undisturbed: what is broken does not concern it."""

    heard: Listening

    def __post_init__(self) -> None:
        self.TABLES, self.AFTER = self.heard.TABLES, self.heard.AFTER
        self.ACTIONS, self.Settings = self.heard.ACTIONS, self.heard.Settings

    def collect(self, _ask: Any) -> Iterator[Row | Seen | Gap]:
        yield from self.heard.yielded


class FaultWorld:
    """The estate after two weeks: week 1 is in the ledger, week 2 was collected undisturbed."""

    def __init__(self, story: Story | None = None) -> None:
        self.dir = Path(tempfile.mkdtemp(prefix="auditor-faults-"))
        self.faults = Noting()
        aws, gcp = AwsCloud(self.faults), GcpCloud(self.faults)
        self.estate = Estate(aws, gcp, story or small_story())
        self.estate.endpoints = (aws.start(), gcp.start())
        self.one_at_a_time = Lock()
        self._asking: dict[bool, Any] = {}
        self.config = configuration.load(self.estate.config(self.dir), SECTIONS)
        self.now = self.estate.now(2)
        self.estate.advance(1)
        with Ledger.open(self.state / "ledger.sqlite3") as ledger:
            self.week1: Scan = scan(self.config, ledger, pack(), now=self.estate.now(1), slot="W01")
            self.estate.advance(2)
            self.joins = joins(self.config, pack(), ledger.state(self.now), now=self.now, slot="W02")
        self.faults.asked.clear()
        self.heard = {name: Listening(name, self) for name in NAMES}
        self.snapshot = self.draft({}, self.heard).joined(self.joins)
        self.asked = {operation: frozenset(places) for operation, places in sorted(self.faults.asked.items())}

    @property
    def state(self) -> Path:
        """The state folder as week 1 left it."""
        return Path(self.config.state.dir)

    def close(self) -> None:
        self.estate.close()
        if "judge" in self.__dict__:
            self.judge.close()
        shutil.rmtree(self.dir, ignore_errors=True)

    def calls(self) -> Counter[Operation]:
        """Return how often each operation of both clouds was called so far."""
        return Counter(self.estate.aws.calls) + Counter(self.estate.gcp.counts)

    @cached_property
    def judge(self) -> Judge:
        return Judge(self.snapshot)

    @property
    def undisturbed(self) -> Judged:
        return self.judge.undisturbed

    def judged(self, case: Snapshot, owners: Collection[str]) -> Judged:
        """Return what week 2 comes to with what some sources collected; `make soak` judges it from nothing."""
        if not FULL_WALK:
            return self.judge.judged(case, owners)
        whole = case.joined(self.joins)
        try:
            return judged(whole)
        finally:
            shutil.rmtree(whole.dir)

    @cached_property
    def operations(self) -> Mapping[Operation, frozenset[str]]:
        """Return every operation a scan really called, and the sources that called it."""
        found: dict[Operation, set[str]] = {}
        for heard in self.heard.values():
            for operation in heard.called:
                found.setdefault(operation, set()).add(heard.name)
        if ("sts", "AssumeRole") in found:  # credentials are shared: whoever comes first asks for them
            found["sts", "AssumeRole"] = {name for name in NAMES if name.startswith("aws_")}
        return {operation: frozenset(names) for operation, names in sorted(found.items())}

    def concerned(self, fault: Fault) -> set[str]:
        """Return the sources that call an operation, and those that read what they collected."""
        names = set(self.operations[fault["service"], fault["operation"]])
        while more := {n for n, heard in self.heard.items() if not names.isdisjoint(heard.AFTER)} - names:
            names |= more
        return names

    def disturbed(self, fault: Fault, live: Collection[str]) -> tuple[Snapshot, Collection[str]]:
        """Collect week 2 once more with a fault, by the sources that it concerns; a draft.

        Returned with it are the sources whose tables it holds: those asked again, or all of them when it is known
        less of who deleted what, which makes fewer rows suspect whose ever they are.
        """
        every = FULL_WALK or EXCUSING in live
        told = set(NAMES) if every else {EXCUSING, *(name for each in live for name in self._before(each))}
        sources = {name: Replaying(self.heard[name]) for name in told} | {name: source(name) for name in live}
        return self.draft(fault, sources), NAMES if every else live

    def _before(self, name: str) -> Iterator[str]:
        for each in self.heard[name].AFTER:
            yield each
            yield from self._before(each)

    def draft(self, fault: Fault, sources: Mapping[str, Any]) -> Snapshot:
        """Collect week 2 from week 1's state by some sources, with a fault set."""
        start = self.week1.snapshot.as_of - OVERLAP
        with self.broken(fault):
            return collect(
                self.asking(fault),
                now=self.now,
                window=Window(start, self.now),
                carried=self.week1.snapshot,
                into=self.dir / "collected",
                sources=sources,
            )

    def asking(self, fault: Fault) -> Any:
        """Return the configuration to ask by: the same object, and so the same clients, for faults that leave them whole."""
        if not fault:
            return dataclasses.replace(self.config)  # no client waits for it
        if FULL_WALK or fault["service"] == "sts" or fault["kind"] == "expire":
            return impatient(self.config, fault)
        hangs = fault["kind"] == "hang"
        if hangs not in self._asking:
            self._asking[hangs] = impatient(self.config, fault)
        return self._asking[hangs]

    def broken(self, fault: Fault) -> _Broken:
        """Hold a fault while a block runs."""
        return _Broken(self.faults, fault)

    def scanned(self, fault: Fault, into: Path) -> tuple[Scan, Ledger]:
        """Run the whole scan of week 2 with a fault, on a copy of week 1's state; close the ledger after."""
        shutil.copytree(self.state, into, dirs_exist_ok=True)
        config = impatient(self.config, fault) if fault else self.config
        config = dataclasses.replace(config, state=dataclasses.replace(config.state, dir=str(into)))
        ledger = Ledger.open(into / "ledger.sqlite3")
        with self.broken(fault):
            return scan(config, ledger, pack(), now=self.now, slot="W02"), ledger


@dataclass
class _Broken:
    faults: Faults
    fault: Fault

    def __enter__(self) -> None:
        if self.fault:
            self.faults.set(**self.fault)

    def __exit__(self, *_: object) -> None:
        self.faults.clear()


def impatient(config: Any, fault: Fault) -> Any:
    """Return a configuration with one attempt a call, and little patience with what hangs."""
    limits: dict[str, Any] = {"attempts": 1}
    google: dict[str, Any] = {"retry_s": 0.01}
    if fault["kind"] == "hang":
        limits |= {"read_timeout_s": HANG_S, "connect_timeout_s": HANG_S}
        google |= {"call_timeout_s": float(HANG_S)}
    sources = {
        name: dataclasses.replace(each, **google) if name.startswith("gcp_") else each
        for name, each in config.sources.items()
    }
    return dataclasses.replace(config, limits=dataclasses.replace(config.limits, **limits), sources=sources)


def faults_of(operations: Iterable[Operation], kinds: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield every fault of some kinds at some operations."""
    for service, operation in operations:
        for kind in kinds:
            yield {"service": service, "operation": operation, "kind": kind}


def narrow(world: FaultWorld, operations: Iterable[Operation]) -> Iterator[dict[str, Any]]:
    """Yield refusals of one account, one region, one resource, and of the first calls alone."""
    for service, operation in operations:
        fault = {"service": service, "operation": operation, "kind": "deny"}
        places = sorted(world.asked[service, operation], key=str)
        accounts = sorted({place[0] for place in places}, key=str)
        regions = sorted({place[:2] for place in places}, key=str)
        if len(accounts) > 1:
            yield from ({**fault, "account": account} for account in accounts)
        if len(regions) > len(accounts):
            yield from ({**fault, "account": account, "region": region} for account, region in regions)
        named = [place for place in places if place[2]]
        if len(named) > 1:
            yield from ({**fault, "account": a, "region": r, "resource": name} for a, r, name in named[:8])
        yield from ({**fault, "times": times} for times in (1, 2))
