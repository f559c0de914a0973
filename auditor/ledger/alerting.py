"""The ledger's part that sends: the outbox, and what people do with an alert that stands."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from auditor.errors import UsageError
from auditor.ledger import outbox, silences
from auditor.ledger.opened import Opened
from auditor.ledger.silences import Acknowledgement, Silence
from auditor.ledger.values import Alert, Sending

if TYPE_CHECKING:
    from auditor.ledger.matters import Due, Told


class Alerting(Opened):
    """What a ledger knows of alerts."""

    # The outbox

    def post(self, alerts: Sequence[Alert], now: datetime) -> None:
        """Put alerts of no scan into the outbox, such as a test message."""
        with self._write() as conn:
            outbox.post(conn, alerts, n=None, at=now)

    def lease_alerts(
        self, now: datetime, *, lease_s: int, limit: int, channels: Collection[str], only: str = ""
    ) -> list[Sending]:
        """Take alerts that are due, for a time; `only` one of them, by its id."""
        with self._write() as conn:
            return outbox.lease(conn, now, lease_s=lease_s, limit=limit, channels=channels, only=only)

    def due_alerts(self, channel: str, now: datetime) -> list[Sending]:
        """Return what one channel is due, oldest first."""
        with self._read() as conn:
            return outbox.due(conn, channel, now)

    def alerts_sent(self, channel: str, since: datetime) -> int:
        """Return how many messages a channel had after a time."""
        with self._read() as conn:
            return outbox.sent(conn, channel, since)

    def digest_alerts(self, digest: Alert, alert_ids: Sequence[str], now: datetime) -> bool:
        """Send alerts within one digest; False, and nothing done, when another sender has taken one of them."""
        with self._write() as conn:
            return outbox.collapse(conn, digest, alert_ids, now)

    def alert_delivered(self, alert_id: str, now: datetime) -> None:
        """Note that the receiver has an alert, and what went out within it."""
        with self._write() as conn:
            outbox.delivered(conn, alert_id, now)

    def alert_failed(self, alert_id: str, next_at: datetime, error: str) -> None:
        """Note a failed attempt, and when the next one is."""
        with self._write() as conn:
            outbox.retry(conn, alert_id, next_at, error)

    def alert_dead(
        self,
        alert_id: str,
        error: str,
        *,
        now: datetime,
        instead: Sequence[Alert] = (),
        gone: bool = False,
    ) -> None:
        """Make an alert a dead letter and put `instead` into the outbox; `gone` switches its channel off."""
        with self._write() as conn:
            channel = outbox.bury(conn, alert_id, error)
            if channel is not None:
                outbox.post(conn, instead, n=None, at=now)
            if channel is not None and gone:
                outbox.switch_off(conn, channel, error, now)

    def replay_alert(self, alert_id: str, now: datetime) -> Sending:
        """Send an alert again under the same id."""
        with self._write() as conn:
            return outbox.replay(conn, alert_id, now)

    def switch_channel_off(self, channel: str, because: str, now: datetime) -> None:
        """Stop sending to a channel until one of its alerts is replayed or it is switched on."""
        with self._write() as conn:
            outbox.switch_off(conn, channel, because, now)

    def switch_channel_on(self, channel: str, now: datetime) -> None:
        """Send to a channel again."""
        with self._write() as conn:
            outbox.switch_on(conn, channel, now)

    def channels_off(self) -> dict[str, str]:
        """Return the channels that are switched off, each with the reason."""
        with self._read() as conn:
            return outbox.channels_off(conn)

    def outbox(self, *, state: str = "", channel: str = "", within: str = "") -> list[Sending]:
        """Return the outbox, oldest first; state `dead` lists the dead letters, `within` what a digest holds."""
        with self._read() as conn:
            return outbox.listed(conn, state=state, channel=channel, within=within)

    # An alert's life

    def tell_due(self, made: Callable[[Due], Told], now: datetime) -> int:
        """Write what time alone made due, in one transaction; return how many messages that is.

        `made` says it of what stands, and may be asked twice: nothing is locked where nothing is due.
        """
        from auditor.ledger import matters

        with self._read() as conn:
            if not made(matters.due(conn, now)):
                return 0
        with self._write() as conn:
            told = made(matters.due(conn, now))
            outbox.post(conn, told.alerts, n=None, at=now)
            for alert_id, silence in told.passed_on:
                matters.pass_on(conn, [alert_id], held=silence)
            for alert_id, within in told.released:
                matters.pass_on(conn, [alert_id], within=within)
            matters.note(conn, told.notices, now)
            return len(told.alerts)

    def acknowledge(
        self,
        word: str,
        found: Sequence[tuple[str, str]] = (),
        *,
        reason: str,
        by: str,
        now: datetime,
        told: Callable[[str, Mapping[str, str]], Alert | None],
    ) -> list[Acknowledgement]:
        """Enter that somebody works on an alert's matters, or on those `found`; every channel that heard of them is `told`."""
        from auditor.ledger import matters

        with self._write() as conn:
            asked = list(found) or matters.told_by(conn, word)
            if not asked:
                raise UsageError(
                    f"{word} is neither an alert nor a finding that is open",
                    remedy="`auditor alerts list` and `auditor findings` list them.",
                )
            done = silences.acknowledge(conn, asked, reason=reason, author=by, now=now)
            named = {each.dedup_key: each.resource for each in done}
            heard = matters.alerting(conn, named)
            notes = [
                told(channel, {key: named[key] for key in keys}) for channel, keys in sorted(heard.items())
            ]
            outbox.post(conn, [each for each in notes if each is not None], n=None, at=now)
            return done

    def acknowledgements(self) -> list[Acknowledgement]:
        """Return every acknowledgement, oldest first."""
        with self._read() as conn:
            return silences.acknowledgements(conn)

    def silence(
        self,
        *,
        reason: str,
        by: str,
        until: datetime,
        now: datetime,
        rule: str = "",
        resource: str = "",
        zone: str = "",
        owner: str = "",
    ) -> Silence:
        """Enter a silence; UsageError says why one cannot be."""
        with self._write() as conn:
            return silences.add(
                conn, reason=reason, author=by, until=until, now=now, rule=rule, resource=resource, zone=zone,
                owner=owner,
            )  # fmt: skip

    def end_silence(self, silence_id: str, *, by: str, reason: str, now: datetime) -> Silence:
        """End a silence before its time."""
        with self._write() as conn:
            return silences.end(conn, silence_id, by=by, reason=reason, now=now)

    def silences(self) -> list[tuple[Silence, int, int]]:
        """Return every silence, over or not, with the messages it held back and the matters these told of."""
        with self._read() as conn:
            held = silences.counts(conn)
            return [(each, *held.get(each.silence_id, (0, 0))) for each in silences.every(conn)]
