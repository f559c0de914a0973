"""Look at both clouds, judge, remember and tell: one scan."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from auditor.cli._app import TIME, App, answering, app
from auditor.cli._scanning import failing_at, progressing, unseen
from auditor.errors import FAILING, INCOMPLETE, UsageError, VerificationError
from auditor.model import SEVERITIES

if TYPE_CHECKING:
    from auditor.alerts import Delivery
    from auditor.scan import Scan


@click.command("scan")
@click.option("--at", type=TIME, help="Recorded time of the scan; default: now.")
@click.option(
    "--slot", default="", metavar="NAME", help="Slot of the schedule that it answers, such as 2026-W07."
)
@click.option(
    "--fail-on",
    type=click.Choice(SEVERITIES),
    metavar="LEVEL",
    help="Exit 3 for failures at or above this severity.",
)
@click.option(
    "--dry-run",
    is_flag=True,
    help="List what would be asked, where and for which time; ask and write nothing.",
)
@click.option(
    "--snapshot",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Judge a stored snapshot again; ask no cloud.",
)
@click.option(
    "--full",
    is_flag=True,
    help="Read everything anew, and compare it with what earlier scans carried over.",
)
@click.option(
    "--only",
    metavar="SUBJECT",
    help="Check one subject again after a fix (a key, or a finding of it), and move nothing else.",
)
@click.option("--join", is_flag=True, help="Where a scan runs already, wait for it and answer with it.")
@click.option(
    "--no-send", is_flag=True, help="Leave alerts in the outbox, for `auditor serve` or `alerts send`."
)
@answering
def command(
    at: datetime | None,
    slot: str,
    fail_on: str | None,
    dry_run: bool,
    snapshot: Path | None,
    full: bool,
    no_send: bool,
    join: bool,
    only: str | None,
) -> int:
    """Look at both clouds, judge, remember and tell: one scan.

    Exit code 3: something fails at or above --fail-on. 4: something could not be seen, or a rule did not load. 5: the ledger
    is not what was recorded: it scans all the same, unless its file is damaged.
    """
    this = app()
    if dry_run and snapshot:
        raise click.UsageError("--dry-run and --snapshot exclude each other.")
    if only is not None and (dry_run or snapshot or full or slot):
        raise click.UsageError("--only cannot be given with --dry-run, --snapshot, --full or --slot.")
    if dry_run:
        from auditor.cli._plan import plan

        plan(this, at or this.now())
        return 0
    if snapshot:
        return _again(this, snapshot)
    if only is not None:
        from auditor.cli._only import again

        return again(this, only, at or this.now(), fail_on, join=join, no_send=no_send)
    if join:
        from auditor.cli._join import joined

        if (code := joined(this, fail_on)) is not None:
            return code
    return _scan(this, at or this.now(), slot, fail_on, full, no_send)


def _scan(this: App, now: datetime, slot: str, fail_on: str | None, full: bool, no_send: bool) -> int:
    from auditor.alerts import Delivery
    from auditor.cli._channels import check_controls, told
    from auditor.ledger import local_owner
    from auditor.scan import scan

    config = this.config()
    pack = this.pack(prove=True)
    config.tables(
        (*pack.rules, *pack.broken_rules)
    )  # a parameter that no rule has is told before a cloud is asked
    check_controls(config, pack)
    with this.ledger(create=True) as ledger:
        with progressing(this) as progress:
            done = scan(
                config, ledger, pack, now=now, slot=slot, owner=local_owner(), full=full, progress=progress
            )
        sent = Delivery() if no_send else told(config, ledger, this.now)
        failing = failing_at(ledger, done.row.at, fail_on) if fail_on else None
    _tell(this, done, sent, failing, fail_on)
    _told_of_the_ledger(this, done)
    return FAILING if failing else 0 if done.row.complete else INCOMPLETE


def _told_of_the_ledger(this: App, done: Scan) -> None:
    """Raise VerificationError where the ledger was not what was recorded when the scan began: it scanned, and said so."""
    from auditor.ledger.storage import differs

    for row in done.snapshot.rows("history_ledger"):
        if not row["intact"]:
            raise differs(
                this.ledger_path, f"the scan was recorded, but the ledger is not sound: {row['because']}"
            )


OBJECTS = ("bucket", "way", "configuration", "delivered_at", "age_s", "files", "objects", "whole", "because")
"""What the answer says of how the objects of a bucket were read."""


def _tell(this: App, done: Scan, sent: Delivery, failing: int | None, fail_on: str | None) -> None:
    from auditor.cli._reading import standing
    from auditor.cli.status import row_of, screen

    now = standing(this, done.row.at)
    row = row_of(this, now) | {
        "drift": dict(sorted(Counter(one.kind for one in done.drift).items())),
        "broken_rules": list(done.broken_rules),
        "fail_on": fail_on,
        "failing": failing,
        "outcome_digest": done.row.outcome_digest,
        "snapshot": done.snapshot.id,
        "snapshot_dir": str(done.snapshot.dir),
        "objects": [{name: row[name] for name in OBJECTS} for row in done.snapshot.rows("s3_listing")],
        "sent": {"delivered": sent.delivered, "retried": sent.retried, "dead": sent.dead},
    }
    if this.json:
        from auditor.cli._answer import answer

        answer("scan", now, [row])
        return
    from auditor.cli._text import write

    write([*screen(now, row), *_more(done, row)])


def _more(done: Scan, row: Mapping[str, Any]) -> Iterator[str]:
    """Yield what a scan tells beside the standing: drift, what was not seen, rules that did not load."""
    from auditor.cli._text import bold, paint, plural, safe

    drift = ", ".join(f"{count} {kind}" for kind, count in row["drift"].items())
    yield f"{bold('Drift')}       {drift or 'none'}"
    if row["failing"] is not None:
        word = "fail" if row["failing"] else "pass"
        yield paint(f"{plural(row['failing'], 'finding')} at or above {row['fail_on']} failing", word)
    yield from _inventories(done)
    yield from unseen(done.gaps)
    if done.broken_rules:
        yield ""
        yield bold(f"{plural(len(done.broken_rules), 'rule')} did not load; their controls are unknown")
        for text in done.broken_rules:
            yield from (f"  {safe(line)}" for line in text.splitlines())


def _inventories(done: Scan) -> Iterator[str]:
    """Yield by which way the objects of each bucket were read that was not simply listed for want of an inventory."""
    from auditor.cli._text import bold, columns, cut, safe

    plain = ("listing", "no inventory is configured")
    rows = [row for row in done.snapshot.rows("s3_listing") if (row["way"], row["because"]) != plain]
    if rows:
        yield ""
        yield bold("Objects")
    for row in rows[:5]:
        if row["way"] == "inventory":
            prefixes = len(row["prefixes"] or ())
            told = (
                f"inventory {row['configuration']} of {row['delivered_at']:%Y-%m-%dT%H:%MZ}, {row['age_s'] // 3600} h old, "
                f"{row['objects']:,} versions, {prefixes} {'prefix' if prefixes == 1 else 'prefixes'} listed beside it"
            )
        else:
            by = f"{len(row['prefixes'] or ()):,} prefixes listed" if row["way"] == "prefixes" else "listed"
            told = f"{by}, {row['objects']:,} versions"
        told += f"; {row['because']}" if row["because"] else ""
        yield cut(f"  {safe(row['bucket'])}: {safe(told)}", columns())
    if len(rows) > 5:
        yield f"  and {len(rows) - 5} more: the report has them all"


def _again(this: App, folder: Path) -> int:
    """Judge a stored snapshot by the rules at hand, and compare with what was recorded."""
    import tempfile

    from auditor.judge import judge
    from auditor.snapshot import Snapshot

    if not folder.exists() and this.ledger_path.exists():
        with this.ledger() as ledger:
            why = ledger.pruned(folder.name)
        if why is not None:
            raise UsageError(f"{folder}: {why}", remedy="A bundle of that time holds the evidence.")
    snapshot = Snapshot.open(folder.resolve())
    snapshot.verify()
    pack = this.pack(prove=True)
    memory_mb = this.config().limits.memory_mb
    with tempfile.TemporaryDirectory(prefix="auditor-judge-") as into:
        judged = judge(snapshot, pack, into=Path(into), memory_mb=memory_mb)
    recorded = _recorded(this, snapshot.id)
    same_rules = recorded is not None and recorded.rule_digest == pack.digest
    equal = (
        recorded.outcome_digest == judged.digests["outcome"] if recorded is not None and same_rules else None
    )
    row = {
        "snapshot": snapshot.id,
        "as_of": snapshot.as_of,
        "rule_digest": pack.digest,
        "outcome_digest": judged.digests["outcome"],
        "recorded_digest": recorded.outcome_digest if recorded else None,
        "recorded_rules": recorded.rule_digest if recorded else None,
        "equal": equal,
        "verdicts": judged.tally["verdicts"],
        "chains": judged.tally["chains"],
    }
    if this.json:
        from auditor.cli._answer import envelope

        complete = not judged.tally["gaps"] and not pack.broken
        envelope(
            "rejudge",
            [row],
            scan=recorded.scan if recorded else None,
            as_of=snapshot.as_of,
            complete=complete,
            gaps=judged.gaps,
        )
    else:
        _told_again(row)
    if equal is False:
        raise VerificationError(
            f"{folder}: judged again, the outcomes differ from those that scan {recorded.scan if recorded else '?'} recorded",
            remedy="The engine or the product has changed since; `auditor db verify` checks the ledger itself.",
        )
    return INCOMPLETE if judged.tally["gaps"] or pack.broken else 0


def _recorded(this: App, snapshot_id: str) -> Any:
    if not this.ledger_path.exists():
        return None
    with this.ledger() as ledger:
        return next(
            (
                scan
                for scan in ledger.scans(state="finished", rechecks=True)
                if scan.snapshot_id == snapshot_id
            ),
            None,
        )


def _told_again(row: Mapping[str, Any]) -> None:
    from auditor.cli._text import when, write

    if row["equal"]:
        said = "equal: the same evidence gives the same verdicts"
    elif row["recorded_digest"] is None:
        said = "no scan of this ledger recorded it"
    elif row["equal"] is None:
        said = f"not comparable: it was recorded under other rules ({row['recorded_rules'][:16]})"
    else:
        said = "DIFFERENT"
    write(
        [
            f"Snapshot    {row['snapshot']} as of {when(row['as_of'])}",
            f"Rules       {row['rule_digest']}",
            f"Outcomes    {row['outcome_digest']}",
            f"Recorded    {row['recorded_digest'] or '–'}",
            f"            {said}",
        ]
    )
