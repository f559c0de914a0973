"""The weekly report and bundle: written once for a period, and put wherever they go and are not yet."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from auditor.cli._app import App
from auditor.errors import INCOMPLETE, BusyError

if TYPE_CHECKING:
    from auditor.config import Config
    from auditor.delivery import Parcel, Put
    from auditor.ledger import Ledger

BY = "auditor"
"""Who enters the receipts of what the service delivers."""


def delivered(this: App, from_at: datetime | None, to_at: datetime | None) -> int:
    """Deliver the report and bundle of a period; return the exit code."""
    from auditor import delivery
    from auditor.alerts.outgoing import Out
    from auditor.cli._period import period

    config = this.config()
    mailer = config.alerts.get(config.delivery.mail)
    begin, end, complete = period(this, from_at, to_at)
    with _alone(this.state()), this.ledger() as ledger:
        ledger.require_whole()
        parcel = _parcel(this, config, ledger, begin, end, complete=complete)
        if not config.delivery.s3 and mailer is None:
            this.tell("[delivery] names no place: report and bundle are in their folders.")

        def enter(one: Put) -> None:
            ledger.add_receipt(kind=one.kind, place=one.place, by=BY, now=this.now(), head=parcel.receipt)

        known = {row["place"] for row in ledger.receipts(this.now())}
        done = delivery.deliver(
            config.delivery,
            parcel,
            mailer=mailer,
            out=Out(config.outgoing),
            s3=lambda: delivery.s3_client(config.delivery, config.aws.endpoint),
            known=known,
            enter=enter,
            now=this.now(),
        )
    _tell(this, parcel, done)
    return 0 if complete else INCOMPLETE


def _parcel(
    this: App, config: Config, ledger: Ledger, begin: datetime, end: datetime, *, complete: bool
) -> Parcel:
    """Write report and bundle of a period, or take those that were written of it before and are unchanged."""
    from auditor import keys, report
    from auditor.cli._period import enter
    from auditor.delivery import Parcel

    now = max(this.now(), end)
    key = keys.load(config.signing.key) if config.signing.key else None
    path = _written(ledger.reports(now), begin, end, Path(config.report.dir))
    if path is None:
        path = report.write(
            ledger, config, this.pack(), from_at=begin, to_at=end, now=now, into=Path(config.report.dir)
        )
        enter(ledger, path, begin, end, now)
    bundle = _written(ledger.bundles(now), begin, end, Path(config.signing.bundles))
    if bundle is None:
        bundle = _bundle(this, config, ledger, begin, end, now=now, key=key, report=path)
    seq, head = ledger.head()
    return Parcel(
        config.organisation, begin, end, path, bundle, seq, head, key.fingerprint if key else None, complete
    )


def _written(rows: list[dict[str, Any]], begin: datetime, end: datetime, folder: Path) -> Path | None:
    """Return a file that was written of this very period, where it is there as it was."""
    from auditor.delivery import sha256

    for row in reversed(rows):
        path: Path = folder / row["file"]
        if (
            (row["from_at"], row["to_at"]) == (begin, end)
            and path.is_file()
            and sha256(path) == row["sha256"]
        ):
            return path
    return None


def _bundle(
    this: App, config: Config, ledger: Ledger, begin: datetime, end: datetime, **more: Any
) -> Path | None:
    """Write the bundle; a week without a scan has no evidence, and its report says so."""
    from auditor import bundle

    tick = timedelta(microseconds=1)  # a scan at the very end belongs to it, as in the bundle
    if not ledger.scans(begin + tick, end + tick):
        this.tell("no scan was made in this period: there is no evidence to bundle")
        return None
    return bundle.create(
        ledger, config, this.pack(), from_at=begin, to_at=end, into=Path(config.signing.bundles), **more
    )


@contextmanager
def _alone(state: Path) -> Iterator[None]:
    """Let one process deliver at a time: the orphan of a leader that was killed, and the next leader's, may meet."""
    state.mkdir(parents=True, exist_ok=True)
    with (state / "delivery.lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise BusyError("a report is being delivered", remedy="Try again when it is done.") from None
        yield


def _tell(this: App, parcel: Parcel, done: list[Put]) -> None:
    if this.json:
        from auditor.cli._answer import envelope

        row = {
            "report": str(parcel.report),
            "bundle": str(parcel.bundle) if parcel.bundle else None,
            "from": parcel.from_at,
            "to": parcel.to_at,
            "entries": parcel.seq,
            "head": parcel.head,
            "delivered": [{"kind": one.kind, "place": one.place} for one in done],
        }
        envelope("delivery", [row], as_of=parcel.to_at, complete=parcel.complete)
        return
    for path in parcel.files():
        click.echo(path)
    for one in done:
        click.echo(one.place)
    this.tell(f"Receipt: {parcel.receipt}")
