"""Check what a scan needs, and say what to do about what it lacks."""

from __future__ import annotations

import logging
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from auditor.cli._app import App, answering, app

if TYPE_CHECKING:
    from auditor.doctor import Check
    from auditor.ledger import Ledger, ScanRow
    from auditor.rulepack import Pack

SYMBOLS = {"ok": "✓", "off": "–", "warning": "!", "unknown": "?", "failed": "✗"}
_WORDS = {"ok": "pass", "warning": "high", "unknown": "unknown", "failed": "fail"}
"""State to the word that colours it."""
_MANY = 5
"""More actions than this, denied in one account, are told as one: the whole policy is missing."""
_ROUTE_S = 5.0


@click.command("doctor")
@click.option(
    "--timeout",
    "budget_s",
    type=click.FloatRange(1, 600),
    default=60,
    show_default=True,
    help="Seconds that asking both clouds may take; what is not answered by then is unknown.",
)
@click.option("--offline", is_flag=True, help="Look at this machine alone; ask no cloud and no receiver.")
@answering
def command(budget_s: float, offline: bool) -> int:
    """Check what a scan needs, and say what to do about what it lacks.

    Versions, configuration, rules, database, disk, clock, who we are in every account, each API action tried once with
    the smallest call, each alert route (a connection, no message), the signing key. Nothing is written. -v lists every
    action that is allowed.

    Exit code 0: all is well. 4: something is amiss, or could not be told. 2: a scan cannot work.
    """
    from auditor.doctor import exit_code, ordered, tally

    this = app()
    checks = ordered(_checks(this, budget_s, offline))
    code = exit_code(checks)
    if this.json:
        from auditor.cli._answer import envelope

        complete = not any(each.state == "unknown" for each in checks)
        rows = [asdict(each) for each in checks]
        envelope("doctor", rows, as_of=this.now(), complete=complete, summary=tally(checks), exit_code=code)
    else:
        from auditor.cli._text import write

        write(_page(this, checks))
    return code


def _checks(this: App, budget_s: float, offline: bool) -> Iterator[Check]:
    from auditor.doctor import Check
    from auditor.doctor_host import disk, last_scan, signing, versions
    from auditor.errors import AuditorError

    now = this.now()
    pack, broken_rules = _rules(this)
    config, broken = _config(this, pack)
    yield from versions(config)
    yield from broken
    yield from broken_rules
    try:
        state = this.state()
    except AuditorError:
        for group in ("database", "disk"):
            said = "the configuration does not tell where it is"
            yield Check(group, "state", "unknown", said, "Mend the configuration first.")
    else:
        found, last, known = _ledger(this)
        yield from found
        yield from disk(state, last)
        if known:
            yield from last_scan(state, last, now, config.horizons.skew if config is not None else 120)
        else:
            yield Check("clock", "last scan", "unknown", "the ledger cannot be asked for it", "See database.")
    if config is None:
        for group in ("identity", "permissions", "routes", "signing"):
            said = "not tried: the configuration cannot be read"
            yield Check(group, group, "unknown", said, "Mend the configuration first.")
        return
    yield signing(config)
    if offline:
        for group in ("identity", "permissions", "routes"):
            yield Check(group, group, "off", "not asked for (--offline)")
        return
    yield from _routes(config)
    yield from _clouds(this, config, now, budget_s)


def _rules(this: App) -> tuple[Pack | None, list[Check]]:
    """Load the rules and judge their examples anew, as a scan would; nothing of it is kept."""
    from auditor.doctor import Check
    from auditor.doctor_host import rules
    from auditor.errors import AuditorError

    try:
        pack = this.pack(prove=True, anew=True)
        return pack, list(rules(pack))
    except AuditorError as error:
        return None, [Check("rules", "rules", "failed", error.what, error.remedy)]
    except ImportError as error:
        return None, [Check("rules", "rules", "failed", f"cannot be loaded: {error}", "See versions.")]


def _config(this: App, pack: Pack | None) -> tuple[Any, list[Check]]:
    """Return the configuration, None where it has mistakes, and a check for each of these."""
    from auditor.doctor import Check
    from auditor.errors import AuditorError

    try:
        config = this.config()
    except AuditorError as error:
        lines = error.what.splitlines()
        remedy = error.remedy or "Mend it; `auditor config check` names every mistake too."
        return None, [Check("configuration", str(this.path), "failed", line, remedy) for line in lines]
    try:
        if pack is not None:
            config.tables((*pack.rules, *pack.broken_rules))
    except AuditorError as error:
        lines = error.what.splitlines()
        return config, [
            Check("configuration", str(this.path), "failed", line, error.remedy) for line in lines
        ]
    accounts, projects = len(config.aws.accounts), len(config.gcp.projects)
    said = f"{this.path}: no mistakes; AWS accounts {accounts}, Google Cloud projects {projects}, exports {len(config.exports)}"
    return config, [Check("configuration", str(this.path), "ok", said)]


def _ledger(this: App) -> tuple[list[Check], ScanRow | None, bool]:
    """Look at the ledger; return the last scan too, and whether that could be asked."""
    from auditor.doctor import Check
    from auditor.doctor_host import database
    from auditor.errors import AuditorError

    found, usable = database(this.ledger_path)
    if not usable:
        return found, None, not this.ledger_path.exists()
    try:
        with this.ledger() as ledger:
            return [*found, *_given_up(ledger)], ledger.latest_scan(), True
    except AuditorError as error:
        return [*found, Check("database", "ledger", "unknown", error.what, error.remedy)], None, False


def _given_up(ledger: Ledger) -> Iterator[Check]:
    """Yield the routes that are switched off, and what was given up: a route that takes connections may be one of them."""
    from auditor.cli._text import plural
    from auditor.doctor import Check

    for route, because in ledger.channels_off().items():
        said = f"{route} is switched off since it answered {because}; what is for it waits"
        yield Check(
            "routes",
            route,
            "warning",
            said,
            f"`auditor alerts replay --dead --route {route}` switches it on.",
        )
    if dead := [each for each in ledger.outbox(state="dead") if not each.within]:
        said = f"{plural(len(dead), 'dead letter')}: nobody was told of them by their route"
        yield Check(
            "routes",
            "dead letters",
            "warning",
            said,
            "`auditor alerts dead` lists them, `replay` sends them again.",
        )


def _routes(config: Any) -> Iterator[Check]:
    """Try every route that has an address, side by side."""
    from concurrent.futures import TimeoutError as LateError

    from auditor.alerts.outgoing import Out
    from auditor.alerts.reach import reach
    from auditor.doctor import Check

    names = sorted(name for name, settings in config.alerts.items() if settings.on)
    if not names:
        said = "no route has an address: alerts are not sent"
        yield Check("routes", "alerts", "off", said, "See [alerts.webhook].")
        return
    out = Out(config.outgoing)
    pool = ThreadPoolExecutor(len(names))
    asked = {
        name: pool.submit(reach, config.alerts[name], out, route=name, timeout_s=_ROUTE_S) for name in names
    }
    for name, answer in asked.items():
        try:
            found = answer.result(timeout=2 * _ROUTE_S)
        except LateError:
            yield Check("routes", name, "unknown", f"{name}: no answer in time", "See that DNS answers.")
            continue
        state = {True: "ok", False: "warning", None: "unknown"}[found.reached]
        yield Check("routes", name, state, f"{name}: {found.said}", found.remedy)
    pool.shutdown(wait=False, cancel_futures=True)


def _clouds(this: App, config: Any, now: datetime, budget_s: float) -> list[Check]:
    from auditor.doctor import Check
    from auditor.doctor_clouds import clouds

    # botocore writes tracebacks of credentials that fail; what they mean is told in a line.
    logging.getLogger("botocore").addHandler(logging.NullHandler())
    try:
        return clouds(config, now=now, budget_s=budget_s, progress=_progress(this))
    except ImportError as error:
        said = f"not tried: {error}"
        remedy = "See versions."
        return [Check(group, group, "unknown", said, remedy) for group in ("identity", "permissions")]


def _progress(this: App) -> Callable[[int, int], None]:
    """Return what tells a person how far it is, on one line that is gone at the end."""
    if this.verbosity < 0 or not sys.stderr.isatty():
        return lambda _done, _total: None

    def say(done: int, total: int) -> None:
        text = "\r\x1b[K" if done >= total else f"\r\x1b[Kasking both clouds: {done} of {total} actions"
        click.echo(text, nl=False, err=True)

    return say


def _page(this: App, checks: Sequence[Check]) -> Iterator[str]:
    """Yield a heading for each group, a line for each check with what to do beside it, and a line of how many."""
    from auditor.cli._text import bold, plural
    from auditor.doctor import GROUPS, exit_code, tally

    for group in GROUPS:
        mine = [each for each in checks if each.group == group]
        if mine:
            yield bold(group.capitalize())
            yield from _lines(_folded(mine) if group == "permissions" and this.verbosity < 1 else mine)
            yield ""
    counted = tally(checks)
    parts = [
        f"{counted[state]} {state}" for state in ("ok", "warning", "unknown", "failed") if counted[state]
    ]
    words = {0: "All is well.", 4: "A scan works, and will not see everything.", 2: "A scan cannot work yet."}
    yield f"{plural(sum(counted.values()) - counted['off'], 'check')}: {', '.join(parts)}. {words[exit_code(checks)]}"


def _lines(checks: Iterable[Check]) -> Iterator[str]:
    import json

    from auditor.cli._text import paint, wrapped

    for each in checks:
        first, *rest = wrapped(each.said, indent="    ")
        yield paint(f"  {SYMBOLS[each.state]} {first.lstrip()}", _WORDS.get(each.state, ""))
        yield from rest
        if each.remedy and each.state != "ok":
            yield from wrapped(f"→ {each.remedy}", indent="      ")
        # Whole on one line, however long: it is there to be copied.
        yield from (f"        {json.dumps(statement)}" for statement in each.statements)


def _folded(checks: Sequence[Check]) -> Iterator[Check]:
    """Yield what is amiss action by action, but one line for what a place has in common."""
    from auditor.cli._text import plural
    from auditor.doctor import Check

    denied = Counter(each.account for each in checks if _lacking(each))
    places: dict[tuple[str, str, str], list[Check]] = {}
    for each in checks:
        places.setdefault((each.cloud, each.account, each.region), []).append(each)
    for (_, account, region), mine in places.items():
        place = account if region == "*" else f"{account}/{region}"
        fine = [each for each in mine if each.state == "ok"]
        spare = [each for each in mine if each.state == "off"]
        if fine or (spare and len(spare) == len(mine)):
            more = f"; nothing there to try {len(spare)} more on" if spare else ""
            said = f"{place}: {plural(len(fine), 'action')} allowed{more}"
            yield Check("permissions", place, "ok" if fine else "off", said)
        amiss = [each for each in mine if each.state not in ("ok", "off")]
        yield from _amiss(place, amiss, whole=denied[account] > _MANY)


def _amiss(place: str, mine: Sequence[Check], *, whole: bool) -> Iterator[Check]:
    """Yield what is amiss in a place; `whole`: so much is denied that the policy as a whole is missing."""
    from dataclasses import replace

    from auditor.cli._text import plural

    alike: dict[tuple[str, str], list[Check]] = {}
    for each in mine:
        alike.setdefault((each.state, each.remedy), []).append(each)
    for (_, remedy), found in alike.items():
        names = ", ".join(each.action for each in found[:3]) + (" …" if len(found) > 3 else "")
        if _lacking(found[0]) and whole:
            said = f"{place}: {plural(len(found), 'action')} denied ({names})"
            form = "aws-policy" if found[0].statements else "gcp-role"
            attach = f"Attach all of `auditor permissions --format {form}`; -v lists them."
            yield replace(found[0], said=said, remedy=attach, statements=())
        elif _lacking(found[0]) or len(found) == 1:
            yield from (replace(each, said=f"{each.action} {each.said}") for each in found)
        else:
            yield replace(found[0], said=f"{len(found)} actions ({names}): {found[0].said}", remedy=remedy)


def _lacking(check: Check) -> bool:
    """Say whether a permission is missing that we can name."""
    return check.state == "warning" and (bool(check.statements) or check.remedy.startswith("Grant it"))
