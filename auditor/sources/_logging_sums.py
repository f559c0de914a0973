"""What the drivers wrote, summed up a job: their lines are read once and not kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from auditor.canonical import cut, safe_text
from auditor.sources._logging_rows import timestamp
from auditor.sources.google import instant

_ERROR = 500
"""google.logging.type.LogSeverity.ERROR."""
_SEVERITIES = {
    "DEFAULT": 0, "DEBUG": 100, "INFO": 200, "NOTICE": 300, "WARNING": 400,
    "ERROR": 500, "CRITICAL": 600, "ALERT": 700, "EMERGENCY": 800,
}  # fmt: skip
_SAMPLES = 5
_EVER = -(1 << 62)
_LAST = 253_402_300_799_999_999
"""The last microsecond that a time can hold."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Sums:
    """The sums of one project's drivers, by job."""

    def __init__(
        self, project: str, known: Iterable[Mapping[str, Any]], *, after: Sums | None = None
    ) -> None:
        """Start from the sums of earlier scans, rows of dataproc_driver_log; `after`: sums whose lines are not counted."""
        self._project = project
        self._sums = {row["job_uuid"]: Sum.of(row) for row in known if row["project"] == project}
        self._after = after._sums if after else {}  # noqa: SLF001 - of its own kind
        self._spelt: dict[str, Sum] = {}
        self.nameless = 0
        """Lines that name no job."""

    def add(self, entries: Iterable[Any]) -> None:
        """Take lines in raw protobuf. Most are none of the worst of their job: those are counted here, without a call."""
        spelt = self._spelt
        for entry in entries:
            labels = entry.resource.labels
            this = spelt.get(labels.get("job_uuid", "")) or self._of(labels)
            if this is None:
                continue
            stamp, severity = entry.timestamp, entry.severity
            at = stamp.seconds * 1_000_000 + stamp.nanos // 1000
            if (
                severity <= this.floor
                and this.since < at <= _LAST
                and at
                and (severity < this.floor or at > this.floor_at)
            ):
                this.lines += 1
                if at > this.last:
                    this.last = at
                elif at < this.first:
                    this.first = at
                if severity >= _ERROR:
                    this.errors += 1
            else:
                this.add(at, severity, message_of, entry)

    def add_json(self, entry: Mapping[str, Any]) -> None:
        """Take one line in JSON."""
        resource = entry.get("resource")
        labels = resource.get("labels") if isinstance(resource, dict) else None
        if (this := self._of(labels if isinstance(labels, dict) else {})) is not None:
            severity = entry.get("severity", 0)
            rank = severity if isinstance(severity, int) else _SEVERITIES.get(str(severity), 0)
            seconds, nanos = timestamp(entry.get("timestamp"))
            this.add(seconds * 1_000_000 + nanos // 1000, rank, message_of_json, entry)

    def _of(self, labels: Any) -> Sum | None:
        name = labels.get("job_uuid", "")
        uuid = safe_text(cut(name)) if isinstance(name, str) else ""
        if not uuid:
            self.nameless += 1
            return None
        this = self._sums.get(uuid)
        if this is None:
            this = self._sums[uuid] = Sum(self._project, labels.get("region") or None)
            if uuid in self._after:
                this.since = self._after[uuid].since
        if len(self._spelt) > 10_000:
            self._spelt.clear()
        self._spelt[name] = this
        return this

    def merge(self, other: Sums) -> None:
        """Add what other sums hold."""
        self.nameless += other.nameless
        for uuid, each in other._sums.items():
            if uuid in self._sums:
                self._sums[uuid].merge(each)
            else:
                self._sums[uuid] = each

    def rows(self) -> list[dict[str, Any]]:
        """Return the rows of the jobs that wrote something new, sorted."""
        return [
            {"job_uuid": uuid, **each.values()} for uuid, each in sorted(self._sums.items()) if each.changed
        ]


class Sum:
    """What one driver wrote. A line that arrives after later ones of its job were summed up is not counted."""

    __slots__ = (
        "_place",
        "_worst",
        "before",
        "errors",
        "first",
        "floor",
        "floor_at",
        "last",
        "lines",
        "since",
    )

    def __init__(self, project: str, region: str | None) -> None:
        self._place = {"project": project, "region": region}
        self.lines = self.errors = self.before = 0
        self.first, self.last, self.since = _LAST + 1, _EVER, _EVER
        """Microseconds since 1970: of the first line, the last, and the last that an earlier scan summed up."""
        self._worst: list[tuple[int, int, str]] = []
        self.floor = self.floor_at = _EVER
        """Severity and time of the last of the worst: lines of a lower one, or of the same and later, are none of them."""

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Sum:
        """Return the sum a carried row holds; its samples keep their order ahead of new ones."""
        self = cls(values["project"], values.get("region"))
        self.lines = self.before = values["lines"]
        self.errors = values["errors"]
        if values["first_at"] is not None:
            self.first = _micros(values["first_at"])
            self.last = self.since = _micros(values["last_at"])
            self._keep([(-_ERROR, self.first, text) for text in values.get("samples") or []])
        return self

    @property
    def changed(self) -> bool:
        """Whether it counts lines that its row does not."""
        return self.lines > self.before

    def add(self, at: int, severity: int, message: Callable[[Any], str], entry: Any) -> None:
        """Count a line; `message` of `entry` is asked for only where it is one of the worst."""
        if not self.since < at <= _LAST or not at:
            return
        self.lines += 1
        if severity >= _ERROR:
            self.errors += 1
        self.first = min(self.first, at)
        self.last = max(self.last, at)
        worst = self._worst
        if len(worst) < _SAMPLES or (-severity, at) <= worst[-1][:2]:
            self._keep([*worst, (-severity, at, message(entry))])

    def _keep(self, found: list[tuple[int, int, str]]) -> None:
        self._worst = sorted(found)[:_SAMPLES]
        if len(self._worst) == _SAMPLES:
            self.floor, self.floor_at = -self._worst[-1][0], self._worst[-1][1]

    def merge(self, other: Sum) -> None:
        """Add what another sum of the same job holds."""
        self.lines += other.lines
        self.errors += other.errors
        self.first = min(self.first, other.first)
        self.last = max(self.last, other.last)
        self._keep(self._worst + other._worst)

    def values(self) -> dict[str, Any]:
        """Return the columns."""
        return {
            **self._place,
            "lines": self.lines,
            "errors": self.errors,
            "first_at": _time(self.first),
            "last_at": _time(self.last),
            "samples": [text for *_, text in self._worst],
        }


def _micros(at: datetime) -> int:
    since = at - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def _time(micros: int) -> datetime | None:
    seconds, rest = divmod(micros, 1_000_000)
    return instant(seconds, rest * 1000)


def message_of(entry: Any) -> str:
    """Return what a driver's log line says, at most 500 characters."""
    from google.protobuf.json_format import MessageToJson

    kind = entry.WhichOneof("payload")
    if kind == "text_payload":
        return str(entry.text_payload)[:500]
    if kind == "json_payload":
        fields = entry.json_payload.fields
        said = fields["message"].string_value if "message" in fields else ""
        whole = {"indent": None, "sort_keys": True, "ensure_ascii": False}
        return str(said or MessageToJson(entry.json_payload, **whole))[:500]
    return ""


def message_of_json(entry: Mapping[str, Any]) -> str:
    """Return what `message_of` does of the same line."""
    if isinstance(text := entry.get("textPayload"), str):
        return text[:500]
    if isinstance(payload := entry.get("jsonPayload"), dict):
        said = payload.get("message")
        return (said if isinstance(said, str) and said else _whole(payload))[:500]
    return ""


def _whole(payload: Mapping[str, Any]) -> str:
    """Return a payload as protobuf's own JSON, which knows numbers as doubles only."""
    from google.protobuf.json_format import MessageToJson, ParseDict, ParseError
    from google.protobuf.struct_pb2 import Struct

    try:
        return str(
            MessageToJson(ParseDict(payload, Struct()), indent=None, sort_keys=True, ensure_ascii=False)
        )
    except (ParseError, ValueError, RecursionError):
        return ""
