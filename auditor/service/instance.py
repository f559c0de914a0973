"""One instance of the service: what it does each time it is rung. Reads no clock: both times are handed in.

Everything that must survive a kill is a row of the ledger, written under the leader's term; what is held here is what can
be found out again: the runs that this process started, and how long to wait after a failure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import groupby, pairwise
from typing import Any, Literal, Protocol

from auditor.ledger import Lease, Ledger
from auditor.ledger.absences import MOST, Absence
from auditor.ledger.agenda import SCAN, Answered, DeposedError, Desk, Leader, Slot, slot_name
from auditor.service.election import Election
from auditor.timetable import Timetable, between, following, latest

Tell = Callable[[str, Mapping[str, Any]], None]
"""Told of what happens: an event and its fields."""
LONGEST_WAIT_S = 3600
"""A slot that keeps failing is tried this often, until the next one is due."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run came to its end."""

    state: Literal["done", "failed", "busy"]
    """`busy`: somebody else was doing it."""
    said: str = ""


class Run(Protocol):
    """Something that is being done for a slot."""

    def ended(self) -> Ended | None:
        """Return how it ended; None while it goes on."""

    def stop(self) -> None:
        """End it now; nothing of it may be left half done."""


@dataclass(frozen=True, slots=True)
class Job:
    """What is done at some times."""

    name: str
    times: Timetable
    begin: Callable[[Slot], Run]
    """Begins it, and does not wait for its end."""
    at_once: bool = False
    """The very first time is not waited for."""


@dataclass(slots=True)
class _Running:
    """A slot that is being run, and by what."""

    slot: Slot
    run: Run | None
    """None: somebody else's scan is waited for."""
    held: Lease | None = None
    """The scan that is waited for."""
    begun_s: float = 0.0
    """When this process began it, by the clock that only grows."""
    joined: list[Slot] = field(default_factory=list)
    """Slots that have become due meanwhile, and are answered by the same scan."""

    @property
    def since(self) -> datetime:
        return self.held.begun_at if self.held else self.slot.started_at or self.slot.due_at


@dataclass(slots=True)
class Instance:
    """One of the processes that may lead."""

    holder: str
    jobs: Sequence[Job]
    election: Election
    tell: Tell
    longest_s: int = 12 * 3600
    """A run that goes on for longer hangs, and is ended: it would hold up every slot after it."""
    lead: Leader | None = None
    """Set while it leads."""
    _beat_s: float = 0.0
    _stands_by: str = ""
    _running: dict[str, _Running] = field(default_factory=dict)
    _not_before: dict[str, tuple[datetime, float]] = field(default_factory=dict)

    def tick(self, ledger: Ledger, now: datetime, mono_s: float) -> None:
        """Do what is due. AuditorError when the ledger cannot be read or written: nothing is lost, the next ring tries again."""
        if self.lead is not None:
            try:
                self._lead_on(ledger, now, mono_s)
            except DeposedError as error:
                self._deposed(str(error))
        if self.lead is None:
            self._stand_by(ledger, now, mono_s)
        if self.lead is not None:
            try:
                self._work(ledger, now, mono_s)
            except DeposedError as error:
                self._deposed(str(error))

    # Leading

    def _lead_on(self, ledger: Ledger, now: datetime, mono_s: float) -> None:
        assert self.lead is not None
        if mono_s - self._beat_s < self.election.lease_s / 3:
            return
        with ledger.agenda.leading(self.lead) as desk:
            self.lead = desk.beat(now, self.election.lease_s)
        self._beat_s = mono_s

    def _stand_by(self, ledger: Ledger, now: datetime, mono_s: float) -> None:
        there = ledger.agenda.leader()
        own = there is not None and there.holder == self.holder
        if not self.election.may_take(there, mono_s) and not own:
            assert there is not None
            if self._stands_by != there.holder:
                self._stands_by = there.holder
                self.tell("standing by", {"leader": there.holder, "term": there.term})
            return
        try:
            self.lead = ledger.agenda.lead(self.holder, now, self.election.lease_s, after=there)
        except DeposedError:
            return  # another was faster
        self._beat_s, self._stands_by = mono_s, ""
        before = there.holder if there and there.holder else None
        self.tell("leading", {"term": self.lead.term, **({"after": before} if before else {})})
        self._resume(ledger, now)

    def _deposed(self, because: str) -> None:
        """Stand by. Scans that this instance began go on: the ledger takes one record for a slot, whoever made it."""
        self.tell("deposed", {"because": because})
        self.lead = None
        self._running.clear()

    @property
    def running(self) -> dict[str, str]:
        """What runs: job to slot."""
        return {name: each.slot.name for name, each in sorted(self._running.items())}

    def busy(self) -> bool:
        """Say whether a run of this process goes on."""
        return any(each.run is not None and each.run.ended() is None for each in list(self._running.values()))

    def cut(self) -> list[str]:
        """End the runs of this process that go on, and name their jobs."""
        going = [
            (name, each.run)
            for name, each in sorted(self._running.items())
            if each.run and each.run.ended() is None
        ]
        for _, run in going:
            run.stop()
        return [name for name, _ in going]

    def resign(self, ledger: Ledger, now: datetime) -> None:
        """Give back what is being run and the lead, for another to take up at once."""
        if self.lead is None:
            return
        try:
            with ledger.agenda.leading(self.lead) as desk:
                for running in self._running.values():
                    self._settled(desk, running, now, said="the service was stopped")
                desk.resign(now)
        except DeposedError as error:
            self._deposed(str(error))
        self.lead = None
        self._running.clear()

    # Slots

    def _resume(self, ledger: Ledger, now: datetime) -> None:
        """Take up what an earlier leader left running."""
        assert self.lead is not None
        left = [slot for slot in ledger.agenda.open_slots() if slot.state == "running"]
        if not left:
            return
        held = ledger.scan_running(now)
        with ledger.agenda.leading(self.lead) as desk:
            for slot in left:
                done = desk.scan_of(slot.name) if slot.job == SCAN else None
                if done:
                    self._done(desk, slot, done, now)
                elif slot.job == SCAN and held is not None and held.slot == slot.name:
                    desk.start(slot, slot.started_at or now, said=f"begun by {slot.holder}")
                    self._running[slot.job] = _Running(slot, None, held)
                    self.tell("joined", _about(slot, owner=held.owner))
                else:
                    desk.again(slot, said=f"cut off with {slot.holder}", failed=False)
                    self.tell("taken up again", _about(slot, cut_off_with=slot.holder))

    def _work(self, ledger: Ledger, now: datetime, mono_s: float) -> None:
        """Settle what ended, plan what has become due, and begin the newest of it."""
        assert self.lead is not None
        if not self.election.may_lead_on(self._beat_s, mono_s):
            raise DeposedError("no sign of life could be given for a whole lease")
        for running in list(self._running.values()):
            self._settle(ledger, running, now, mono_s)
        waiting = {
            job: list(of) for job, of in groupby(ledger.agenda.open_slots(), key=lambda slot: slot.job)
        }
        for job in self.jobs:
            planned = [slot for slot in waiting.get(job.name, ()) if slot.state == "planned"]
            planned = self._plan(ledger, job, planned, now)
            due = [slot for slot in planned if slot.due_at <= now]
            if due:
                self._take(ledger, job, due, now, mono_s)

    def _plan(self, ledger: Ledger, job: Job, planned: list[Slot], now: datetime) -> list[Slot]:
        """Write down every time that has come since the last, and the next one; return all of them that are open."""
        assert self.lead is not None
        last = ledger.agenda.last_settled(job.name)
        dues: list[datetime] = []
        if last is not None:
            dues = between(job.times, last, now)
        elif job.at_once and (first := latest(job.times, now)) is not None:
            dues = [first]
        next_at = following(job.times, max(now, last) if last else now)
        known = {slot.due_at for slot in planned}
        ahead = {slot.due_at for slot in planned if slot.due_at > now and not slot.failures}
        if known.issuperset(dues) and ahead == {next_at}:
            return planned
        absent: list[Absence] = []
        with ledger.agenda.leading(self.lead) as desk:
            if len(dues) > MOST:
                absent, left = desk.absent(
                    job.name, [due for due in dues[:-1] if due not in known], dues[-1], now
                )
                dues = [*left, dues[-1]]
            desk.plan(job.name, dues, next_at=next_at, now=now)
        for each in absent:
            self.tell(
                "missed",
                {"job": job.name, "slots": each.slots, "slot": each.name, "covered_by": slot_name(dues[-1])},
            )
        return [
            slot for slot in ledger.agenda.open_slots() if slot.job == job.name and slot.state == "planned"
        ]

    def _take(self, ledger: Ledger, job: Job, due: list[Slot], now: datetime, mono_s: float) -> None:
        """Run the newest slot that is due, or join it with the scan that runs; those before it are missed."""
        assert self.lead is not None
        running = self._running.get(job.name)
        waits_for, until_s = self._not_before.get(job.name, (None, 0.0))
        newest = due[-1]
        if len(due) == 1 and (
            (running and job.name != SCAN) or (waits_for == newest.due_at and mono_s < until_s)
        ):
            return
        held = ledger.scan_running(now) if job.name == SCAN and not running else None
        if running is None and held is not None:
            running = self._running[job.name] = _Running(replace(newest, started_at=now), None, held)
        begins = False
        with ledger.agenda.leading(self.lead) as desk:
            for slot, later in pairwise([*due, None]):
                assert slot is not None
                until = later.due_at if later else None
                if job.name == SCAN and (done := desk.scan_within(slot.due_at, until)):
                    self._done(desk, slot, done, now, said="a scan was made at that time")
                elif job.name == SCAN and running and (later is None or slot.due_at >= running.since):
                    desk.start(slot, now, said="joins the scan that runs")
                    if slot.due_at != running.slot.due_at:
                        running.joined.append(slot)
                    self.tell(
                        "joined",
                        _about(slot, scan_of_slot=running.held.slot if running.held else running.slot.name),
                    )
                elif later is not None:
                    desk.skip(slot, newest.due_at, now)
                    self.tell("given up" if slot.failures else "missed", _about(slot, covered_by=newest.name))
                elif not running:
                    begins = True
                    desk.start(slot, now)
        if begins:
            newest = replace(newest, started_at=now)
            self.tell("started", _about(newest, late_s=int((now - newest.due_at).total_seconds())))
            self._running[job.name] = _Running(newest, job.begin(newest), begun_s=mono_s)

    def _settle(self, ledger: Ledger, running: _Running, now: datetime, mono_s: float) -> None:
        """End the slots of a run that has ended."""
        assert self.lead is not None
        slot = running.slot
        if running.run is None:
            held = ledger.scan_running(now)
            if held is not None and running.held is not None and held.token == running.held.token:
                return
            ended = Ended("busy", "the scan that it waited for came to nothing")
        else:
            found = running.run.ended()
            if found is None and mono_s - running.begun_s > self.longest_s:
                running.run.stop()
                said = f"it did not end within {self.longest_s} s ([service] longest) and was ended"
                found = running.run.ended() or Ended("failed", said)
                found = found if found.state == "done" else Ended("failed", said)
            if found is None:
                return
            ended = found
        held = ledger.scan_running(now) if ended.state == "busy" and slot.job == SCAN else None
        if held is not None and running.run is not None:
            running.run, running.held = None, held
            self.tell("joined", _about(slot, scan_of_slot=held.slot, owner=held.owner))
            return
        del self._running[slot.job]
        with ledger.agenda.leading(self.lead) as desk:
            if slot.job != SCAN and ended.state == "done":
                desk.end(slot, "done", now, said=ended.said)
                self.tell("done", _about(slot, said=ended.said))
            elif not self._settled(desk, running, now, said=ended.said, failed=ended.state != "busy"):
                wait_s = 5 if ended.state == "busy" else min(60 * 2 ** min(slot.failures, 10), LONGEST_WAIT_S)
                self._not_before[slot.job] = (slot.due_at, mono_s + wait_s)
                self.tell("failed", _about(slot, because=ended.said, again_in_s=wait_s))

    def _settled(
        self, desk: Desk, running: _Running, now: datetime, *, said: str, failed: bool = False
    ) -> bool:
        """End a slot, and those joined with it, as its scan did; plan them anew when there is none."""
        names = [running.slot.name, *([running.held.slot] if running.held else [])]
        found = [desk.scan_of(name) for name in names] if running.slot.job == SCAN else []
        done = next((each for each in found if each), None)  # whatever became of the process afterwards
        for slot in (running.slot, *running.joined):
            if done:
                own = desk.scan_of(slot.name) == done
                self._done(desk, slot, done, now, said="" if own else "joined with a scan that ran")
            else:
                desk.again(slot, said=said, failed=failed and slot is running.slot)
        return done is not None

    def _done(self, desk: Desk, slot: Slot, done: Answered, now: datetime, *, said: str = "") -> None:
        desk.end(slot, "done", now, scan=done.scan, said=said)
        desk.well(done.at, done.scan)
        self.tell("done", _about(slot, scan=done.scan, complete=done.complete, said=said))


def _about(slot: Slot, **more: Any) -> dict[str, Any]:
    return {"job": slot.job, "slot": slot.name, **{k: v for k, v in more.items() if v not in (None, "")}}
