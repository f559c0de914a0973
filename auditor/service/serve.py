"""The service as a process: APScheduler rings, `Instance` decides, children run, the port shows.

APScheduler's alarms are set by the wall clock: one that steps back an hour would leave them silent for an hour. So the main
thread compares both clocks and wakes every job when they part.
"""

from __future__ import annotations

import http.client
import logging
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auditor.alerts import Route, deliver, remind
from auditor.alerts.address import RefusedAddressError
from auditor.alerts.deliver import Way
from auditor.errors import AuditorError, BusyError, ConfigError, UsageError, VerificationError
from auditor.ledger import Ledger
from auditor.ledger.agenda import DeposedError
from auditor.ledger.storage import differs
from auditor.service import metrics
from auditor.service.condition import Condition
from auditor.service.instance import Instance, Tell
from auditor.service.port import Answer, as_json, as_text

if TYPE_CHECKING:
    from apscheduler.schedulers.background import BackgroundScheduler

RING_S, DELIVER_S, MEASURE_S = 2, 5, 15
BATCH = 50
"""Alerts sent in one go: between two of them the service may be told to stop."""
REMIND_S = 60
"""How often it is looked at what time alone made due."""
PING_AGAIN_S = 60
STEP_S = 2.0
"""The clocks have parted when one went on so much further than the other."""
ENDING_S = 3
"""What is left of the time to stop for cutting off what did not end, and for writing that down."""
WHOLE_S = 60
"""How often every page of the ledger is looked through; at each turn from when something is wrong until nothing is."""
SOUND_S = 3600
"""How often its chain is walked."""
BUSY_S = 2.0
"""How long a ring waits for another writer."""

Ping = Callable[[], str]
"""Tells a monitor outside that all is well; returns what went wrong, or nothing."""


@dataclass(slots=True)
class Service:
    """One process: what its loops do, each of them in a thread of its own."""

    path: Path
    """Of the ledger."""
    instance: Instance
    condition: Condition
    ways: Mapping[str, Way]
    tell: Tell
    clock: Callable[[], datetime]
    mono: Callable[[], float]
    """Seconds that only grow."""
    ping: Ping | None = None
    routes: Sequence[Route] = ()
    """What is reminded of, and by which route."""
    stopping: threading.Event = field(default_factory=threading.Event)
    _turn: threading.Lock = field(default_factory=threading.Lock)
    _sending: threading.Lock = field(default_factory=threading.Lock)
    _pinged_s: float | None = None
    _reminded_s: float | None = None
    _whole_s: float | None = None
    _sound_s: float | None = None

    @contextmanager
    def _ledger(self) -> Iterator[Ledger]:
        """Open the ledger anew for each turn: a backup may have been put in its place."""
        with Ledger.open(self.path, create=False, busy_s=BUSY_S) as ledger:
            if self._whole_s is None or self.mono() - self._whole_s >= WHOLE_S:
                self._whole_s = None
                ledger.require_whole()
                self._whole_s = self.mono()
            yield ledger

    def _walk(self, ledger: Ledger) -> None:
        """Walk the chain now and then. A ledger that was changed is told of and scanned into: only adding shows who did what."""
        if self._sound_s is not None and self.mono() - self._sound_s < SOUND_S:
            return
        self._sound_s = self.mono()
        if words := ledger.unsound():
            self.tell("trouble", {"because": sentence(differs(self.path, words)), "goes_on": "scanning"})

    # The loops

    def ring(self) -> None:
        """Let the instance do what is due."""
        with self._turn:
            if self.stopping.is_set():
                return
            with self._minding(), self._ledger() as ledger:
                self.instance.tick(ledger, self.clock(), self.mono())
                self._note(ledger)
            self.condition.rung_s = self.mono()

    @contextmanager
    def _minding(self) -> Iterator[None]:
        """Say once what is wrong with the ledger, and once that it is well again; go on either way."""
        trouble, passing = "", False
        try:
            yield
        except (AuditorError, sqlite3.Error, OSError) as error:
            trouble, passing = sentence(error), isinstance(error, BusyError)
            if isinstance(error, VerificationError):
                self._whole_s = None
        known = self.condition.trouble
        with self.condition.lock:
            self.condition.trouble, self.condition.passing = trouble, passing
            if not trouble:
                self.condition.well_s = self.mono()
        if trouble and trouble != known:
            self.tell("trouble", {"because": trouble, "goes_on": "trying"})
        elif known and not trouble:
            self.tell("well again", {"after": known})

    def _note(self, ledger: Ledger) -> None:
        """Note what the port shows of the instance and of its leader."""
        leader, last = ledger.agenda.leader(), ledger.latest_scan()
        condition, instance = self.condition, self.instance
        with condition.lock:
            condition.leads = instance.lead is not None
            condition.running = instance.running
            if (
                leader
                and leader.holder
                and (instance.lead or not instance.election.may_take(leader, self.mono()))
            ):
                condition.leader, condition.term = leader.holder, leader.term
                condition.leader_sign_s = self.mono()
            condition.last_good_at = last.at if last else None

    def deliver(self) -> None:
        """Send the alerts that are due, and tell the monitor outside of the last good scan."""
        if self.instance.lead is None or self.stopping.is_set() or not self._sending.acquire(blocking=False):
            return
        try:
            with self._quietly(), self._ledger() as ledger:
                if self.ways:
                    self._remind(ledger)
                    done = deliver(ledger, self.ways, self.clock, limit=BATCH, stopping=self.stopping.is_set)
                    told = {"delivered": done.delivered, "retried": done.retried, "dead": done.dead}
                    if any(told.values()):
                        self.tell("alerts", told)
                self._heartbeat(ledger)
        finally:
            self._sending.release()

    def _remind(self, ledger: Ledger) -> None:
        """Write reminders, and whatever else is due by time alone."""
        mono_s = self.mono()
        if self._reminded_s is None or mono_s - self._reminded_s >= REMIND_S:
            remind(ledger, self.routes, self.clock())
            self._reminded_s = mono_s

    def _heartbeat(self, ledger: Ledger) -> None:
        """Tell the monitor outside of a good scan, once for each; one that is long past says nothing of now."""
        lead, now, mono_s = self.instance.lead, self.clock(), self.mono()
        beat = ledger.agenda.heartbeat()
        if self.ping is None or lead is None or beat is None or beat.told_at is not None:
            return
        fresh = now - beat.at < timedelta(seconds=max(self.condition.interval_s, 3600))
        if not fresh or (self._pinged_s is not None and mono_s - self._pinged_s < PING_AGAIN_S):
            return
        self._pinged_s = mono_s
        wrong = self.ping()
        with ledger.agenda.leading(lead) as desk:
            desk.told(beat, None if wrong else now, wrong)
        if wrong:
            self.tell("not told", {"heartbeat": beat.scan, "because": wrong, "again_in_s": PING_AGAIN_S})
        else:
            self._pinged_s = None
            self.tell("heartbeat", {"scan": beat.scan})

    def measure(self) -> None:
        """Count what /metrics shows."""
        with self._quietly(), self._ledger() as ledger:
            self._walk(ledger)
            counts = ledger.agenda.counts()
            with self.condition.lock:
                self.condition.counts = counts

    @contextmanager
    def _quietly(self) -> Iterator[None]:
        """Leave it to the ring to say what is wrong with the ledger."""
        try:
            yield
        except (AuditorError, sqlite3.Error, OSError) as error:
            if isinstance(error, VerificationError):
                self._whole_s = None
            if (
                not isinstance(error, DeposedError)
                and not self.condition.trouble
                and not self.stopping.is_set()
            ):
                self.tell("trouble", {"because": sentence(error), "goes_on": "trying"})

    # What the port shows

    def pages(self) -> dict[str, Callable[[], Answer]]:
        """Return the pages by their path."""
        return {"/healthz": self._healthz, "/readyz": self._readyz, "/metrics": self._metrics}

    def _healthz(self) -> Answer:
        with self.condition.lock:
            alive, said = self.condition.alive(self.mono())
        return as_text(200 if alive else 503, said)

    def _readyz(self) -> Answer:
        with self.condition.lock:
            checks = self.condition.checks(self.clock(), self.mono())
        ready = all(ok for ok, _ in checks.values())
        told = {name: {"ok": ok, "said": said} for name, (ok, said) in checks.items()}
        return as_json(200 if ready else 503, {"ready": ready, "checks": told})

    def _metrics(self) -> Answer:
        size = self.path.stat().st_size if self.path.exists() else 0
        with self.condition.lock:
            ready = all(ok for ok, _ in self.condition.checks(self.clock(), self.mono()).values())
            text = metrics.page(self.condition, ready, self.clock(), metrics.memory_of(), size)
        return 200, metrics.CONTENT_TYPE, text

    # From beginning to end

    def run(self, stop_s: float) -> bool:
        """Serve until `stopping` is set, then end within so many seconds; False when a message was still being sent."""
        wall, mono = self.clock(), self.mono()
        scheduler = self._alarm()
        self.ring()
        self.measure()
        scheduler.start()
        while not self.stopping.wait(0.5):
            step_s = (self.clock() - wall).total_seconds() - (self.mono() - mono)
            wall, mono = self.clock(), self.mono()
            if abs(step_s) > STEP_S:
                self.tell("clock stepped", {"by_s": round(step_s)})
                for job in scheduler.get_jobs():
                    job.modify(next_run_time=self.clock())
        return self._stop(scheduler, self.mono() + max(stop_s - ENDING_S, stop_s / 2))

    def _alarm(self) -> BackgroundScheduler:
        from apscheduler.executors.pool import ThreadPoolExecutor
        from apscheduler.schedulers.background import BackgroundScheduler

        logging.getLogger("apscheduler").setLevel(logging.CRITICAL)  # a ring while one goes on is no news
        scheduler = BackgroundScheduler(timezone=UTC, executors={"default": ThreadPoolExecutor(3)})
        for each, seconds in ((self.ring, RING_S), (self.deliver, DELIVER_S), (self.measure, MEASURE_S)):
            scheduler.add_job(
                each, "interval", seconds=seconds, max_instances=1, coalesce=True, misfire_grace_time=None
            )
        return scheduler

    def _stop(self, scheduler: BackgroundScheduler, until_s: float) -> bool:
        """Let what runs end if it can, give back the rest, and resign."""
        with self.condition.lock:
            self.condition.stopping = True
        running = dict(self.condition.running)
        self.tell("stopping", {"waits_for": ", ".join(sorted(running)) or "nothing"})
        scheduler.shutdown(wait=False)
        waiting = threading.Event()
        while self.instance.busy() and self.mono() < until_s:
            waiting.wait(0.2)
        with self._turn:
            cut = self.instance.cut()
            if cut:
                self.tell("cut off", {"jobs": ", ".join(cut), "taken_up": "by the next leader"})
            with self._minding(), self._ledger() as ledger:
                self.instance.resign(ledger, self.clock())
        idle = self._sending.acquire(timeout=max(0.1, until_s - self.mono()))
        self.tell(
            "stopped",
            {} if idle else {"said": "a message was being sent; it is sent again under the same id"},
        )
        return idle


def sentence(error: BaseException) -> str:
    """Return what went wrong with the ledger as one line."""
    if isinstance(error, AuditorError):
        return " ".join(str(error).split())
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}"
    return f"the ledger cannot be used: {' '.join(str(error).split())}"


def heartbeat(url: Callable[[], str], out: Any, timeout_s: float = 10) -> Ping:
    """Return what tells a monitor outside, by the guarded way out; its address is a secret and never quoted."""
    from auditor.alerts.outgoing import post, quoted, target

    def ping() -> str:
        try:
            address = url()
            reply = post(address, b"", {}, out, timeout_s=timeout_s)
        except (RefusedAddressError, ConfigError, OSError, http.client.HTTPException) as error:
            return quoted(f"{type(error).__name__}: {error}")
        if 200 <= reply.status < 300:
            return ""
        return f"{target(address).host}: HTTP {reply.status}"

    return ping


def opened(path: Path) -> None:
    """Create or migrate the ledger once, before anything is rung; AuditorError says why it cannot be."""
    try:
        with Ledger.open(path) as ledger:
            ledger.require_whole()
    except sqlite3.Error as error:
        raise UsageError(f"{path}: {sentence(error)}") from None
