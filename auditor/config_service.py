"""`[schedule]`, `[service]` and `[delivery]`: when things run, how the service runs, and where reports go."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from auditor.config_read import Reading, did_you_mean
from auditor.config_sections import Duration, Scan, Secret
from auditor.timetable import Every, Timetable, TimetableError, longest_gap_s, timetable, zone_of

NEVER = "never"
_LISTEN = re.compile(r"(?P<host>[A-Za-z0-9.-]+|\[[0-9a-fA-F:]+\]):(?P<port>[0-9]{1,5})\Z")
_PLACE = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[^\s]*)?\Z")


@dataclass(frozen=True, slots=True)
class Schedule:
    """When `auditor serve` does what: a duration such as "6h", a cron expression such as "30 5 * * *", or "never"."""

    scan: str = ""
    """Scans; empty: every [scan] schedule."""
    report: str = "0 6 * * 1"
    """The weekly report and bundle, which then go where [delivery] says."""
    zone: str = "UTC"
    """Time zone of cron expressions, such as Europe/Berlin; durations are counted in UTC."""


@dataclass(frozen=True, slots=True)
class Service:
    """How `auditor serve` and `auditor watch` run."""

    listen: str = "127.0.0.1:9847"
    """Address of /healthz, /readyz and /metrics; empty: none. They ask for no password: keep them inside."""
    lease: Duration = 30
    """Another instance takes over when the one that leads gave no sign of life for so long."""
    stop: Duration = 10
    """A service that is told to stop has ended after this; a scan that is not done by then is made again."""
    longest: Duration = 12 * 3600
    """A scan or report that runs longer hangs: it is ended, and its slot tried again."""
    heartbeat_url: Secret = ""
    """Asked after every good scan, as env:NAME or file:PATH: a monitor outside that misses it; empty: none."""
    watch: str = ""
    """Route by which `auditor watch` tells that scans or alerts have stopped; empty: it only says so and exits 4."""
    stuck: Duration = 3600
    """An alert that waits for delivery this long is stuck."""
    repeat: Duration = 4 * 3600
    """`auditor watch` repeats what has not ended after this."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """Where the weekly report and bundle go when they are written."""

    mail: str = ""
    """Route of the channel mail whose server and sender is used; empty: no mail."""
    to: tuple[str, ...] = ()
    """Who is mailed; empty: those of the route."""
    s3: str = ""
    """s3://BUCKET/PREFIX that report and bundle are put to; empty: none."""
    region: str = ""
    """Region of that bucket; empty: that of the credentials at hand."""
    lock: Duration = 400 * 86400
    """How long each object is locked, where the bucket has Object Lock. 0s: as the bucket's own default says."""


def scan_times(schedule: Schedule, scan: Scan) -> Timetable | None:
    """Return when scans run; None: never."""
    if schedule.scan == NEVER:
        return None
    return timetable(schedule.scan, schedule.zone) if schedule.scan else Every(max(60, scan.schedule))


def report_times(schedule: Schedule) -> Timetable | None:
    """Return when the weekly report is written; None: never."""
    return None if schedule.report in {NEVER, ""} else timetable(schedule.report, schedule.zone)


def listening(listen: str) -> tuple[str, int] | None:
    """Return host and port of an address; None for an empty one."""
    found = _LISTEN.match(listen)
    return (found["host"].strip("[]"), int(found["port"])) if found else None


def check_service(reading: Reading, given: Mapping[str, Any], raw: Mapping[str, Any]) -> Scan | None:
    """See that schedules, addresses and routes are some; return [scan] with the interval that the schedule of scans has."""
    schedule, service, delivery = given["schedule"], given["service"], given["delivery"]
    scan: Scan | None = given["scan"]
    if schedule is not None:
        scan = _check_schedule(reading, schedule, scan, raw)
    written = raw.get("alerts")
    names = (
        [name for name, table in written.items() if isinstance(table, dict)]
        if isinstance(written, dict)
        else []
    )
    routes: Mapping[str, Any] = {
        **dict.fromkeys(names),
        **given["alerts"],
    }  # one with a mistake is there all the same
    if service is not None:
        _check_listen(reading, service.listen)
        for key, least in (("lease", 5), ("stop", 1), ("longest", 60), ("repeat", 60), ("stuck", 60)):
            if getattr(service, key) < least:
                reading.wrong(("service", key), f"must be {least}s at least")
        _check_route(reading, ("service", "watch"), service.watch, routes)
    if delivery is not None:
        _check_delivery(reading, delivery, routes)
    return scan


def _check_schedule(
    reading: Reading, schedule: Schedule, scan: Scan | None, raw: Mapping[str, Any]
) -> Scan | None:
    times: dict[str, Timetable | None] = {}
    try:
        zone_of(schedule.zone)  # also where no schedule uses it yet
    except TimetableError as error:
        reading.wrong(("schedule", "zone"), str(error))
        return scan
    for key in ("scan", "report"):
        text = getattr(schedule, key)
        try:
            times[key] = timetable(text, schedule.zone) if text not in {"", NEVER} else None
        except TimetableError as error:
            reading.wrong(("schedule", key), str(error))
            return scan
    asked = times["scan"]
    if asked is None or scan is None:
        return scan
    interval = longest_gap_s(asked)
    table = raw.get("scan")
    said = isinstance(table, dict) and "schedule" in table
    if said and scan.schedule != interval:
        what = f"[schedule] scan says when scans run, every {interval} s at most: leave this out, or say the same"
        reading.wrong(("scan", "schedule"), what)
    return replace(scan, schedule=interval)


def _check_listen(reading: Reading, listen: str) -> None:
    if not listen:
        return
    found = listening(listen)
    if found is None or found[1] > 65_535:
        reading.wrong(("service", "listen"), f"{listen!r} is not HOST:PORT, such as 127.0.0.1:9847")


def _check_route(reading: Reading, path: tuple[str, str], name: str, routes: Mapping[str, Any]) -> None:
    if name and name not in routes:
        reading.wrong(path, f"{name!r} is no route of [alerts]{did_you_mean(name, routes)}")


def _check_delivery(reading: Reading, delivery: Delivery, routes: Mapping[str, Any]) -> None:
    _check_route(reading, ("delivery", "mail"), delivery.mail, routes)
    if routes.get(delivery.mail) is not None and not hasattr(routes[delivery.mail], "sender"):
        reading.wrong(("delivery", "mail"), f"{delivery.mail!r} is no route of the channel mail")
    if delivery.to and not delivery.mail:
        reading.wrong(("delivery", "to"), "names people, and `mail` no route to them")
    if delivery.s3 and not _PLACE.match(delivery.s3):
        reading.wrong(("delivery", "s3"), f"{delivery.s3!r} is not s3://BUCKET/PREFIX")
