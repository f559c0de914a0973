"""A ledger, an estate that is looked at by the hour, and routes that hear of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from ledger_case import RULES, T0, outcome, scan

from auditor.alerts import Answer, deliver, remind
from auditor.alerts.compose import compose
from auditor.alerts.deliver import Way
from auditor.alerts.due import acknowledged
from auditor.alerts.fresh import NOTHING, Fresh
from auditor.alerts.items import dedup_key
from auditor.alerts.routes import EVENTS, Route
from auditor.drift import Present, compare, finding_id
from auditor.ledger import Alert, Ledger, Memories, Sending
from auditor.ledger.silences import Acknowledgement
from auditor.model import Gap, Outcome, Seen
from auditor.watch.values import Watched

ARN = "arn:aws:s3:::b"
RULE = "versioning-on"
KEY = dedup_key("finding", f"bucket/{ARN}", RULE)
FINDING = finding_id(RULE, "bucket", ARN)
ROUTE = Route("r", "low", tuple(event for event in EVENTS if event != "went_unknown"))


def hour(n: float) -> datetime:
    return T0 + timedelta(hours=n)


class Life:
    """What happens to one ledger, hour by hour."""

    def __init__(self, folder: Path, *routes: Route) -> None:
        self.ledger = Ledger.open(folder / "ledger.sqlite3")
        self.routes = routes or (ROUTE,)
        self.got: list[Sending] = []
        self.blind = False
        """The last scan could not read something."""

    def look(
        self,
        at: float,
        *outcomes: Outcome | str,
        coverage: Sequence[Seen | Gap] = (),
        watch: Sequence[Watched] = (),
        changes: Sequence[Mapping[str, Any]] = (),
        parents: Mapping[str, str] | None = None,
        meanwhile: Callable[[], object] = lambda: None,
        fresh: Fresh = NOTHING,
    ) -> list[Alert]:
        """Scan, and send; a word is the verdict on the one bucket. `meanwhile` happens before it is recorded."""
        judged = [outcome(each) if isinstance(each, str) else each for each in outcomes]
        before = self.ledger.state(hour(at))
        seen = (*coverage, Seen("s3_bucket", "*"), Seen("iam_role", "*"))
        present = Present(judged, watch, seen, changes, judged=RULES)
        drift = compare(before.past, present, now=hour(at))
        made = compose(
            drift, judged, (), self.routes, now=hour(at), rules=RULES, coverage=coverage, alerting=before.alerting,
            previous_at=before.previous_at, restraints=before.restraints, parents=parents, fresh=fresh,
        )  # fmt: skip
        meanwhile()
        record = scan(0, slot=f"hour-{at}", snapshot_id=f"s-{at}", coverage=seen)
        self.ledger.record(record, judged, drift, Memories(watch=watch), made, at=hour(at))
        self.blind = any(isinstance(part, Gap) for part in coverage)
        self.send(at)
        return made

    def send(self, at: float) -> list[str]:
        """Write what is due by now, send, and return the events that arrived."""
        before = len(self.got)
        remind(self.ledger, self.routes, hour(at))
        deliver(self.ledger, {route.channel: Way(self._hear) for route in self.routes}, lambda: hour(at))
        return [each.alert.event for each in self.got[before:]]

    def _hear(self, sending: Sending, now: datetime) -> Answer:
        self.got.append(sending)
        return Answer("delivered")

    @property
    def events(self) -> list[str]:
        return [each.alert.event for each in self.got]

    @property
    def last(self) -> Mapping[str, Any]:
        data: Mapping[str, Any] = self.got[-1].alert.body["data"]
        return data

    def ack(self, at: float, word: str = "") -> list[Acknowledgement]:
        return self.ledger.acknowledge(
            word or FINDING,
            [] if word else [(KEY, ARN)],
            reason="on it",
            by="ann",
            now=hour(at),
            told=lambda channel, named: acknowledged(channel, named, "on it", "ann", hour(at)),
        )

    def silence(self, at: float, until: float, **more: str) -> str:
        globs = more or {"rule": "versioning-*"}
        made = self.ledger.silence(reason="work", by="ann", until=hour(until), now=hour(at), **globs)
        return made.silence_id
