"""Approve the state of a resource: drift is judged against it until it is withdrawn."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from auditor.cli._app import App, answering, app
from auditor.cli._reading import standing
from auditor.errors import UsageError

if TYPE_CHECKING:
    from auditor.ledger.baselines import Baseline, InForce
    from auditor.ledger.states import Author, State


@click.group("baseline", invoke_without_command=True)
@answering
def command() -> None:
    """Approve the state of a resource, so that drift is judged against it. Without a word after it: list."""
    if click.get_current_context().invoked_subcommand is None:
        _list(app())


@command.command("list")
@answering
def list_() -> None:
    """List every resource that has an approved state, since when and by whom."""
    _list(app())


def _list(this: App) -> None:
    found: list[InForce] = []
    if this.ledger_path.exists():
        with this.ledger() as ledger:
            found = list(ledger.baselines.in_force().values())
    rows = [row_of(each) for each in found]
    if this.json:
        from auditor.cli._answer import envelope

        envelope("baselines", rows, as_of=this.now())
        return
    from auditor.cli._text import plural, table, when, write

    if not rows:
        write(["No baselines. `auditor baseline accept --help` says how a state is approved."])
        return
    lines = table(
        ("SINCE", "SUBJECT", "PARTS", "APPROVED BY", "REASON"),
        [
            (
                when(row["since"])[:10],
                f"{row['table']} {row['key']}",
                ", ".join(row["parts"]),
                ", ".join(sorted({one["approver"] for one in row["acceptances"]})),
                "; ".join(dict.fromkeys(one["reason"] for one in row["acceptances"])),
            )
            for row in rows
        ],
        keys=("SUBJECT",),
        fixed=("SINCE",),
    )
    write([*lines, "", f"{plural(len(rows), 'resource')} with an approved state."])


def row_of(each: InForce) -> dict[str, Any]:
    """Return what is approved of a subject, as `baseline list --json` gives it."""
    told = {one.baseline_id: one for one in each.parts.values()}
    return {
        "table": each.table,
        "key": each.key,
        "since": each.since,
        "parts": {name: one.baseline_id for name, one in sorted(each.parts.items())},
        "acceptances": [_decision(one) for one in sorted(told.values(), key=lambda one: one.seq)],
    }


def _decision(one: Baseline) -> dict[str, Any]:
    return {
        "baseline_id": one.baseline_id,
        "decision": one.decision,
        "approver": one.approver,
        "reason": one.reason,
        "at": one.at,
        "scan": one.scan or None,
        "authors": [_author(each) for each in one.authors],
        "self_approved": one.self_approved,
    }


def _author(one: Author) -> dict[str, Any]:
    return {"actor": one.actor, "table": one.table, "key": one.key, "field": one.field or None, "at": one.at}


@command.command("show")
@click.argument("subject")
@answering
def show(subject: str) -> None:
    """Show what is approved of SUBJECT beside what the last scan saw, and every decision on it."""
    this = app()
    with this.ledger() as ledger:
        table, key = ledger.baselines.find(subject)
        approved = ledger.baselines.in_force().get((table, key))
        decisions = [one for one in ledger.baselines.every() if (one.table, one.key) == (table, key)]
        now = _seen(ledger.baselines, key)
    differences = _differences(approved, now)
    if this.json:
        from auditor.cli._answer import envelope

        row = {
            "table": table,
            "key": key,
            "since": approved.since if approved else None,
            "seen": now is not None,
            "differences": differences,
            "decisions": [_decision(one) for one in decisions],
        }
        envelope("baseline", [row], scan=now.scan if now else None, as_of=now.at if now else None)
        return
    from auditor.cli._text import bold, safe, when, write

    lines = [bold(f"{table} {safe(key)}")]
    if approved is None:
        lines.append("Nothing is approved: it is compared with the scan before.")
    for row in differences:
        lines += _told(row, key)
    if now is None and approved is not None:
        lines.append("The last scan did not see it.")
    for one in decisions:
        more = " (the approver made the change)" if one.self_approved else ""
        lines.append(f"{when(one.at)}  {one.decision} by {safe(one.approver)}{more}: {safe(one.reason)}")
    write(lines)


def _seen(baselines: Any, key: str) -> State | None:
    try:
        found: State = baselines.state(key)
    except UsageError:  # it is gone, and what is approved of it can be shown all the same
        return None
    return found


def _differences(approved: InForce | None, now: State | None) -> list[dict[str, Any]]:
    """Return each setting that is approved, with its value now and whether they mean the same."""
    from auditor.baselines import in_words, same_meaning
    from auditor.watch.values import Watched

    if approved is None:
        return []
    has = {one.row: one for one in now.settings} if now else {}
    found: list[dict[str, Any]] = []
    rows = {setting.row: (setting, one) for setting, one in approved.settings()}
    for row, (setting, one) in sorted(rows.items()):
        other = has.get(row)
        value = other.value if other else None
        was = Watched(*row, setting.value, setting.account, setting.region)
        is_ = Watched(*row, value, setting.account, setting.region)
        unknown = now is None or (other is not None and value is None)
        same = None if unknown else same_meaning(was, is_)
        found.append(
            {
                "table": setting.table, "key": setting.key, "field": setting.field, "approved": setting.value, "now": value,
                "same": same,
                "says": "" if same or unknown else in_words(was, is_), "baseline_id": one.baseline_id,
                "approver": one.approver, "approved_at": one.at,
            }
        )  # fmt: skip
    return [*found, *_unapproved(approved, now, rows)]


def _unapproved(
    approved: InForce, now: State | None, rows: Mapping[Any, tuple[Any, Baseline]]
) -> Iterator[dict[str, Any]]:
    """Yield what belongs to an approved part now and did not then: a binding more, a key more."""
    for part, some in sorted(now.parts.items()) if now else ():
        if (one := approved.parts.get(part)) is None:
            continue
        for setting in some:
            if setting.row not in rows and (setting.table, setting.key) != (approved.table, approved.key):
                yield {
                    "table": setting.table, "key": setting.key, "field": setting.field, "approved": None, "now": setting.value,
                    "same": None if setting.value is None else False, "says": "", "baseline_id": one.baseline_id,
                    "approver": one.approver, "approved_at": one.at,
                }  # fmt: skip


def _told(row: dict[str, Any], key: str) -> Iterator[str]:
    from auditor.cli._text import columns, cut, safe

    where = "" if row["key"] == key else f" of {row['key']}"
    name = f"{row['field']}{where}"
    if row["same"]:
        yield cut(f"  same       {safe(name)}: {safe(row['approved'])}", columns())
        return
    was = row["approved"] if row["approved"] is not None else "not there"
    if row["same"] is None:
        yield cut(f"  NOT KNOWN  {safe(name)}: approved {safe(was)}", columns())
        return
    yield f"  DIFFERENT  {safe(name)}{' is now ' + safe(row['says']) if row['says'] else ''}"
    yield cut(f"      approved {safe(was)}", columns())
    yield cut(
        f"      now      {safe(row['now'] if row['now'] is not None else 'not there')}",
        columns(),
    )


@command.command("accept")
@click.argument("subject")
@click.option(
    "--field",
    "fields",
    multiple=True,
    help="Only this field, and what has a meaning only with it; may be repeated.",
)
@click.option("--reason", required=True, help="Why this state is right.")
@click.option("--approver", required=True, help="Who approves it.")
@click.option("--yes", is_flag=True, help="Do not ask; needed where nobody can be asked.")
@click.option("--dry-run", is_flag=True, help="Show what would be approved; record nothing.")
@answering
def accept(
    subject: str, fields: tuple[str, ...], reason: str, approver: str, yes: bool, dry_run: bool
) -> None:
    """Approve the state of SUBJECT as the last scan saw it: a key, a bucket's name, or a finding of it.

    It is shown first. From the next scan on, drift of it is judged against this state, until another is accepted or this
    one is withdrawn.
    """
    this = app()
    gaps = _gaps(this)
    with this.ledger() as ledger:
        seen = ledger.baselines.state(subject, fields, gaps=gaps)
        since = [
            one
            for one in ledger.scans(seen.at, rechecks=True)
            if one.tally.get("only", {}).get("subject") == seen.key
        ]
        if not this.json:
            _show_state(seen)
        if since:
            this.tell(
                f"NOTE: it was re-checked since, at {since[-1].at:%Y-%m-%dT%H:%MZ}: this is what the scan before saw. "
                "Scan first to approve what is there now."
            )
        if dry_run:
            if this.json:
                _answer_state(seen)
            return
        if not yes and not seen.unknown and approver.strip() and reason.strip():
            if this.json or not sys.stdin.isatty():
                raise UsageError(
                    "nobody can be asked whether this is right",
                    remedy="Look at it with --dry-run, then give --yes.",
                )
            click.confirm("Approve this state?", abort=True, err=True)
        done = ledger.baselines.accept(seen, approver=approver, reason=reason, now=this.now())
    _tell(this, done)


def _gaps(this: App) -> Sequence[Any]:
    """Return what the last scan could not see; UsageError where that is not kept."""
    now = standing(this)
    if now.scan is None:
        raise UsageError(
            "no scan yet", remedy="`auditor scan` makes one: only a state that was seen can be approved."
        )
    return list(now.judgement().gaps)


def _show_state(seen: State) -> None:
    from auditor.cli._text import bold, safe, when, write

    lines = [bold(f"{seen.table} {safe(seen.key)}"), f"as scan {seen.scan} of {when(seen.at)} saw it"]
    for one in seen.settings:
        where = "" if one.key == seen.key else f" of {one.key}"
        value = "not known" if one.value is None else one.value
        lines += _whole(f"  {one.field}{safe(where)}:", value)
    lines += [
        f"  {each.field or 'it'} was last changed by {safe(each.actor)} ({when(each.at)})"
        for each in seen.authors
    ]
    write(lines)


def _whole(name: str, value: str) -> list[str]:
    """Return a value with nothing cut off: nobody approves what they cannot read."""
    from auditor.cli._text import columns, safe, size, wrapped
    from auditor.policy.once import once

    if size(line := f"{name} {safe(value)}") <= columns():
        return [line]
    try:
        text = json.dumps(json.loads(value, object_pairs_hook=once), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):  # no JSON, or of which something would not be shown
        return [name, *wrapped(value, indent="    ")]
    return [name, *(f"    {safe(each)}" for each in text.splitlines())]


def _answer_state(seen: State) -> None:
    from auditor.cli._answer import envelope

    row = {
        "table": seen.table,
        "key": seen.key,
        "settings": [
            {"part": part, "table": one.table, "key": one.key, "field": one.field, "value": one.value}
            for part, some in sorted(seen.parts.items())
            for one in some
        ],
        "unknown": list(seen.unknown),
        "authors": [_author(one) for one in seen.authors],
    }
    envelope("baseline-state", [row], scan=seen.scan, as_of=seen.at)


@command.command("withdraw")
@click.argument("subject")
@click.option("--by", required=True, help="Who withdraws it.")
@click.option("--reason", required=True, help="Why.")
@answering
def withdraw(subject: str, by: str, reason: str) -> None:
    """Approve nothing of SUBJECT any more: from the next scan on it is compared with the scan before."""
    this = app()
    with this.ledger() as ledger:
        done = ledger.baselines.withdraw(subject, by=by, reason=reason, now=this.now())
    _tell(this, done)


def _tell(this: App, done: Baseline) -> None:
    if this.json:
        from auditor.cli._answer import envelope

        envelope(
            "baseline-decision", [{"table": done.table, "key": done.key, **_decision(done)}], as_of=done.at
        )
        return
    from auditor.cli._text import safe, write

    lines = [f"{done.baseline_id}  {done.decision} by {safe(done.approver)}: {done.table} {safe(done.key)}"]
    if done.self_approved:
        lines.append(
            f"NOTE: {safe(done.approver)} may be who made the change; nobody else has looked at it, and the record says so."
        )
    write(lines)
