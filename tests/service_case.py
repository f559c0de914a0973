"""Instances of the service on a clock of the test's own, over a real ledger; scans are stubs that record in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ledger_case import outcome, scan

from auditor.errors import AuditorError
from auditor.ledger import Ledger
from auditor.ledger.agenda import SCAN, Slot
from auditor.service.election import Election
from auditor.service.instance import Ended, Instance, Job, Run
from auditor.timetable import timetable

START = datetime(2026, 2, 2, 2, 30, tzinfo=UTC)
LEASE_S = 30


@dataclass
class StubScan:
    """A scan in a process of its own: it holds the ledger's lock from its beginning, and records at its end."""

    world: World
    slot: str
    takes_s: int
    ends: str = ""
    began: datetime = field(init=False)
    over: Ended | None = None

    def __post_init__(self) -> None:
        self.began = self.world.now
        self.owner = f"child-{len(self.world.scans)}"
        self.world.scans.append(self)
        self.ready = self.world.mono + self.takes_s
        try:
            self.lease = self.world.ledger.begin(
                self.slot, self.owner, 3600, self.began, gone=self.world.dead.__contains__
            )
        except AuditorError as error:
            self.over = Ended("busy" if error.exit_code == 6 else "failed", str(error))
        if not self.takes_s:
            self.go_on()

    def go_on(self) -> None:
        """Come to its end when it is time."""
        if self.over is not None or self.owner in self.world.dead or self.world.mono < self.ready:
            return
        if self.ends:
            self.world.ledger.release(self.lease, self.world.now)
            self.over = Ended("failed", self.ends)
            return
        said = self.world.says(len(self.world.scans))
        record = scan(0, slot=self.slot, lease=self.lease, snapshot_id=f"s-{self.slot}")
        self.world.ledger.record(record, said, at=self.began)
        self.over = Ended("done")

    def ended(self) -> Ended | None:
        self.go_on()
        return self.over

    def stop(self) -> None:
        self.world.dead.add(self.owner)


class World:
    """A ledger, a clock, and instances that may be killed."""

    def __init__(
        self, folder: Path, every: str = "1h", zone: str = "UTC", *, start: datetime = START
    ) -> None:
        self.path = folder / "ledger.sqlite3"
        self.now, self.mono = start, 1000.0
        self.every, self.zone = every, zone
        self.ledger = self._opened()
        self.scans: list[StubScan] = []
        self.dead: set[str] = set()
        self.told: list[tuple[str, str, Mapping[str, Any]]] = []
        self.takes_s = 0
        self.ends = ""
        self.says: Callable[[int], list[Any]] = lambda _: [outcome("fail")]
        self.instances: dict[str, tuple[Instance, Ledger]] = {}
        self.known_gone: set[str] = set()
        """Holders of which another can tell that they ended; of the rest it must wait."""

    def _opened(self) -> Ledger:
        opened = Ledger.open(self.path)
        opened._conn.execute("PRAGMA synchronous = OFF")  # power does not fail in these tests
        return opened

    def add(self, name: str, **more: Any) -> Instance:
        def begin(slot: Slot) -> Run:
            return StubScan(self, slot.name, self.takes_s, self.ends)

        jobs = [Job(SCAN, timetable(self.every, self.zone), begin, at_once=True), *more.get("jobs", ())]
        instance = Instance(
            name,
            jobs,
            Election(LEASE_S, self.known_gone.__contains__),
            lambda event, fields: self.told.append((name, event, fields)),
            more.get("longest_s", 12 * 3600),
        )
        self.instances[name] = (instance, self._opened())
        return instance

    def kill(self, name: str, *, with_its_scans: bool = True) -> None:
        """End an instance as kill -9 does."""
        self.instances.pop(name)[1].close()
        if with_its_scans:
            self.dead |= {each.owner for each in self.scans if each.over is None}
            for owner in sorted(self.dead):  # its lock runs out, as that of another machine's does
                self.ledger._conn.execute("UPDATE lease SET until = begun_at WHERE owner = ?", (owner,))

    def ring(self, *names: str) -> None:
        for name in names or sorted(self.instances):
            instance, ledger = self.instances[name]
            instance.tick(ledger, self.now, self.mono)

    def run(self, seconds: float, step: float = 10, *names: str) -> None:
        """Let time go on, ringing every so often."""
        for _ in range(round(seconds / step)):
            self.now += timedelta(seconds=step)
            self.mono += step
            for each in self.scans[-3:]:
                each.go_on()
            self.ring(*names)

    @property
    def leaders(self) -> list[str]:
        return [name for name, (instance, _) in sorted(self.instances.items()) if instance.lead is not None]

    def slots(self, job: str = SCAN) -> dict[str, str]:
        return {f"{slot.due_at:%d %H:%M}": slot.state for slot in self.ledger.agenda.slots(job)}

    def states(self) -> Counter[str]:
        return Counter(slot.state for slot in self.ledger.agenda.slots(SCAN))

    def events(self, *wanted: str) -> list[str]:
        return [event for _, event, _ in self.told if not wanted or event in wanted]

    def finished(self) -> list[str]:
        return [each.slot for each in self.ledger.scans(state="finished")]

    def close(self) -> None:
        for _, ledger in self.instances.values():
            ledger.close()
        self.ledger.close()
