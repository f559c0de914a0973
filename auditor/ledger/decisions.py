"""The ledger's part that holds what people decided: waivers, sign-offs, receipts, baselines."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from auditor.ledger import handed_out, signoffs, waivers
from auditor.ledger.opened import Opened
from auditor.ledger.signoffs import SignOff
from auditor.ledger.values import WaiverRow

if TYPE_CHECKING:
    from auditor.ledger.baselines import Baselines


class Decisions(Opened):
    """What a ledger knows of decisions, and of what was handed out."""

    def waive(
        self,
        *,
        reason: str,
        requester: str,
        approver: str,
        expires_at: datetime,
        now: datetime,
        finding_id: str | None = None,
        rule: str = "",
        subject: str = "",
        longest_d: int = waivers.LONGEST_D,
    ) -> WaiverRow:
        """Enter a waiver; UsageError says why one cannot be."""
        with self._write() as conn:
            return waivers.add(
                conn,
                reason=reason,
                requester=requester,
                approver=approver,
                expires_at=expires_at,
                now=now,
                finding_id=finding_id,
                rule=rule,
                subject=subject,
                longest_d=longest_d,
            )

    def revoke_waiver(self, waiver_id: str, *, by: str, reason: str, now: datetime) -> WaiverRow:
        """End a waiver before its time."""
        with self._write() as conn:
            return waivers.revoke(conn, waiver_id, by=by, reason=reason, now=now)

    def waivers(self, as_of: datetime | None = None) -> list[WaiverRow]:
        """Return the waivers entered by a time, in force or not."""
        with self._read() as conn:
            return waivers.every(conn, as_of)

    def sign(
        self,
        kind: str,
        subject: str,
        *,
        by: str,
        now: datetime,
        decision: str = "",
        reason: str = "",
        details: Mapping[str, Any] | None = None,
    ) -> SignOff:
        """Enter a sign-off; UsageError says why one cannot be."""
        with self._write() as conn:
            return signoffs.sign(
                conn,
                kind=kind,
                subject=subject,
                by=by,
                now=now,
                decision=decision,
                reason=reason,
                details=details,
            )

    def signoffs(self, kind: str = "", as_of: datetime | None = None) -> list[SignOff]:
        """Return the sign-offs of a kind, or all, entered by a time, in the order of the chain."""
        with self._read() as conn:
            return signoffs.every(conn, kind=kind, as_of=as_of)

    def add_receipt(
        self, *, kind: str, place: str, by: str, now: datetime, head: str = "", reason: str = ""
    ) -> SignOff:
        """Enter that a head was published outside; see `handed_out.add_receipt`."""
        with self._write() as conn:
            return handed_out.add_receipt(
                conn, kind=kind, place=place, by=by, now=now, head=head, reason=reason
            )

    def receipts(self, as_of: datetime) -> list[dict[str, Any]]:
        """Return every receipt of a head, and whether that head is in the chain."""
        with self._read() as conn:
            return handed_out.receipts(conn, as_of)

    def pruned(self, snapshot_id: str) -> str | None:
        """Return when and why a snapshot was pruned, in words; None when it was not."""
        with self._read() as conn:
            return handed_out.pruned(conn, snapshot_id)

    def bundles(self, as_of: datetime) -> list[dict[str, Any]]:
        """Return every bundle that was written."""
        with self._read() as conn:
            return handed_out.bundles(conn, as_of)

    def reports(self, as_of: datetime) -> list[dict[str, Any]]:
        """Return every report that was written."""
        with self._read() as conn:
            return handed_out.reports(conn, as_of)

    @property
    def baselines(self) -> Baselines:
        """Approved states, and what the last scan knows of what they are of."""
        from auditor.ledger.baselines import Baselines

        return Baselines(self._write, self._read)
