"""The demonstration: two clouds on loopback, twelve weekly scans, a report, a bundle, and one screen that sums it up.

Everything is written below one folder; nothing is printed here.
"""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auditor.model import LINKS, Drift, Gap, State
from auditor.watch.told import labelled

if TYPE_CHECKING:
    from auditor.config import Config
    from auditor.ledger import Ledger
    from auditor.rulepack import Pack
    from auditor.sandbox.estate import Estate
    from auditor.scan import Scan

Progress = Callable[[str, Mapping[str, Any]], None]
"""Told of what happens, as a scan tells it."""

WIDTH = 100


@dataclass(frozen=True, slots=True)
class Week:
    """What one weekly scan leaves for the summary."""

    week: int
    at: datetime
    drift: tuple[Drift, ...]
    gaps: tuple[Gap, ...]


@dataclass(frozen=True, slots=True)
class DemoResult:
    """What the demonstration made, and what it found at the end."""

    into: Path
    config: Path
    ledger: Path
    weeks: tuple[Week, ...]
    exports: tuple[Mapping[str, Any], ...]
    """Rows of the last scan's table `export`."""
    report: Path | None
    bundle: Path | None
    fingerprint: str
    """Of the demonstration's own signing key: what its bundle is verified against."""
    complete: bool
    """Every scan saw everything and every rule loaded."""

    @property
    def verify_command(self) -> str:
        """What checks the bundle, on any machine."""
        return f"auditor bundle verify {_short(self.bundle)} --key {self.fingerprint}"

    @property
    def text(self) -> str:
        """One screen that sums it up."""
        return "\n".join(_summary(self))


def run(into: Path, *, weeks: int = 12, progress: Progress | None = None) -> DemoResult:
    """Play the weeks, scan each, write report and bundle below `into`; returns what was found.

    Raises UsageError when the folder holds an earlier demonstration.
    """
    with _seldom_collected():
        return _run(into, weeks=weeks, tell=progress or _silent)


@contextmanager
def _seldom_collected() -> Iterator[None]:
    """Let the collector wait for more: two clouds by thousands of objects that stay are dear to look through."""
    often = gc.get_threshold()
    gc.set_threshold(20_000, *often[1:])
    try:
        yield
    finally:
        gc.set_threshold(*often)


def _run(into: Path, *, weeks: int, tell: Progress) -> DemoResult:
    from auditor import bundle, keys, report
    from auditor.ledger import Ledger

    played, config, pack = _played(into, weeks=weeks, tell=tell)
    last = played.weeks[-1].at
    first = played.weeks[0].at - timedelta(days=7)
    with Ledger.open(played.ledger) as ledger:
        tell("reporting", {})
        written = report.write(
            ledger, config, pack, from_at=first, to_at=last, now=last, into=played.into / "reports"
        )
        tell("bundling", {})
        bundled = bundle.create(
            ledger,
            config,
            pack,
            from_at=first,
            to_at=last,
            now=last,
            into=played.into / "bundles",
            key=keys.load(config.signing.key),
            report=written,
        )
    return DemoResult(
        into=played.into,
        config=played.config,
        ledger=played.ledger,
        weeks=played.weeks,
        exports=played.exports,
        report=written,
        bundle=bundled,
        fingerprint=played.fingerprint,
        complete=played.complete,
    )


def play(into: Path, *, weeks: int = 12, progress: Progress | None = None) -> DemoResult:
    """Play the weeks and scan each, without report and bundle."""
    return _played(into, weeks=weeks, tell=progress or _silent)[0]


def _played(into: Path, *, weeks: int, tell: Progress) -> tuple[DemoResult, Config, Pack]:
    """Play the weeks and scan each; returns what was found, and by which configuration and rules."""
    from auditor import keys
    from auditor.errors import UsageError
    from auditor.ledger import Ledger
    from auditor.sandbox.estate import Estate
    from auditor.sandbox.estate_config import KEY

    into = into.resolve()
    if (into / "config.toml").exists():
        raise UsageError(
            f"{into} holds an earlier demonstration", remedy="Name another folder, or delete this one."
        )
    into.mkdir(parents=True, exist_ok=True)
    fingerprint = keys.new(into / KEY)
    estate = Estate.open(judged=False)  # the tests judge every reply of this very estate
    try:
        path = estate.config(into)
        config, pack = _loaded(path)
        state = Path(config.state.dir)
        state.mkdir(parents=True, exist_ok=True)
        with Ledger.open(state / "ledger.sqlite3") as ledger:
            scans = [_week(estate, 1, config, ledger, pack, tell)]
            gc.freeze()  # both clouds and their clients stay: the collector need not walk them each time
            scans += [_week(estate, week, config, ledger, pack, tell) for week in range(2, weeks + 1)]
            ledger_path = ledger.path
    finally:
        gc.unfreeze()
        estate.close()
    found = DemoResult(
        into=into,
        config=path,
        ledger=ledger_path,
        weeks=tuple(
            Week(number, each.row.at, tuple(each.drift), each.gaps)
            for number, each in enumerate(scans, start=1)
        ),
        exports=tuple(scans[-1].judgement.rows("export")),
        report=None,
        bundle=None,
        fingerprint=fingerprint,
        complete=all(each.row.complete for each in scans),
    )
    return found, config, pack


def _week(estate: Estate, week: int, config: Config, ledger: Ledger, pack: Pack, tell: Progress) -> Scan:
    from auditor.scan import scan

    estate.advance(week)
    estate.apply_faults(week)
    now = estate.now(week)
    tell("week", {"week": week, "of": estate.weeks, "at": f"{now:%Y-%m-%d}"})
    return scan(config, ledger, pack, now=now, slot=f"{now:%G-W%V}", owner="demo", progress=tell)


def _loaded(path: Path) -> tuple[Config, Pack]:
    """Load the demonstration's configuration and the shipped rules."""
    from auditor import config, rulepack, sources
    from auditor.alerts import routes
    from auditor.builtin import builtin

    sections = {f"sources.{name}": sources.source(name).Settings for name in sources.NAMES}
    sections |= routes.sections()
    rules = builtin("rules")
    return config.load(path, sections), rulepack.load([rules], [rules / "frameworks"])


def _silent(_event: str, _fields: Mapping[str, Any]) -> None:
    """Say nothing."""


# ------------------------------------------------------------------------------------------ the screen
def _summary(result: DemoResult) -> Iterable[str]:
    first, last = result.weeks[0], result.weeks[-1]
    states = Counter(row["state"] for row in result.exports)
    many = "1 weekly scan" if len(result.weeks) == 1 else f"{len(result.weeks)} weekly scans"
    yield f"{many} of two clouds, {first.at:%Y-%m-%d} to {last.at:%Y-%m-%d}"
    yield ""
    yield (
        f"  {len(result.exports)} exports: {states[State.PROVEN]} fully proven, {states[State.BROKEN]} broken, "
        f"{states[State.UNKNOWN]} unknown, {states[State.PENDING]} not due yet"
    )
    yield ""
    yield from _broken(result.exports)
    yield from _unseen(result.weeks)
    yield from _pending(result.exports)
    yield from _drifted(result.weeks)
    yield f"  report  {_short(result.report)}"
    yield f"  bundle  {_short(result.bundle)}"
    if result.bundle:
        yield f"  verify  {result.verify_command}"


def _broken(exports: Sequence[Mapping[str, Any]]) -> Iterable[str]:
    """Yield a line for each link that is broken anywhere, with one chain that breaks there first."""
    yield "  broken chains, by their first broken link"
    firsts: dict[str, list[Mapping[str, Any]]] = {}
    for row in sorted(exports, key=lambda row: str(row["export_id"])):
        for link in LINKS:
            if row[f"{link}_state"] == State.BROKEN:
                firsts.setdefault(link, []).append(row)
                break
    for link in LINKS:
        if link in firsts:
            row = firsts[link][0]
            told = f"    {link:<15}{len(firsts[link]):>4}  e.g. {row['job_id']}: {row[f'{link}_because']}"
            yield shown(told)
    yield ""


def _unseen(weeks: Sequence[Week]) -> Iterable[str]:
    """Yield what could not be seen, and in which weeks' scans: what is still hidden first."""
    told: dict[str, list[int]] = {}
    for week in weeks:
        for gap in week.gaps:
            where = gap.resource.rpartition(":")[2] if gap.resource != "*" else gap.region
            line = f"{gap.account} {where}: {gap.table} {gap.reason.replace('_', ' ')}"
            if week.week not in (hidden := told.setdefault(line, [])):
                hidden.append(week.week)
    yield "  could not be seen" if told else "  everything was seen"
    last = weeks[-1].week if weeks else 0
    for line, hidden in sorted(told.items(), key=lambda each: each[1][-1] != last)[:5]:
        yield shown(f"    {_weeks(hidden, last):<15} {line}")
    if len(told) > 5:
        yield f"    and {len(told) - 5} more"
    yield ""


def _weeks(hidden: Sequence[int], last: int) -> str:
    """Say in which weeks something was hidden: `since` for what still is, without a break."""
    first, end = hidden[0], hidden[-1]
    if len(hidden) <= end - first:
        return f"{len(hidden)} weeks" if len(hidden) > 3 else f"weeks {', '.join(map(str, hidden))}"
    if end == last:
        return f"since week {first}"
    return f"week {first}" if first == end else f"weeks {first} to {end}"


def _pending(exports: Sequence[Mapping[str, Any]]) -> Iterable[str]:
    due = sorted(
        (row["due_at"], str(row["job_id"]))
        for row in exports
        if row["state"] == State.PENDING and row["due_at"]
    )
    if due:
        yield shown(f"  not due yet: the next is {due[0][1]}, due {due[0][0]:%Y-%m-%d %H:%M} UTC")
        yield ""


def _drifted(weeks: Sequence[Week]) -> Iterable[str]:
    every = [each for week in weeks[1:] for each in week.drift]
    kinds = Counter(each.kind for each in every)
    counts = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
    yield f"  drift after the first scan: {counts or 'none'}"
    worse = (each for each in every if each.kind == "changed" and each.direction == "worse")
    changed = sorted(
        worse, key=lambda each: (each.rule is not None, not each.actor)
    )  # what somebody did, first
    for each in changed[:4]:
        by = f" ({each.actor.rpartition('/')[2] if each.actor else 'nobody the trail names'})"
        name, said = labelled(each)
        told = shown(f"    {name.rpartition(':')[2]} {_became(each, said)}", WIDTH - len(shown(by)))
        yield told + shown(by)
    yield ""


def _became(change: Drift, said: str) -> str:
    """Say what a setting became: of a policy what it lets in now, of all else the value before and after."""
    policy = change.rule is None and ": " in said
    return said if policy else f"{change.field}: {change.before} -> {change.after}"


def _short(path: Path | None) -> str:
    """Return a path as one would type it here."""
    if path is None:
        return "-"
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def shown(text: str, width: int = WIDTH) -> str:
    """Return one line that a terminal shows as it is: no control or bidi characters, cut at `width`."""
    plain = "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
    return plain if len(plain) <= width else plain[: width - 1] + "…"
