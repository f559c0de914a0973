"""What of each vault is weaker than in the scan before, or than was approved: its lock, and what its policy lets in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from auditor.correlate import Tables
from auditor.correlate.approving import Then
from auditor.policy.change import resource_change
from auditor.watch.values import ABSENT

TABLE = "vault_drift"
READS = ("backup_vault", "history_watch", "history_baseline")
_LONGEST = 600
_COMPARED = ("locked", "lock_date", "min_retention_d", "policy")


def derive(tables: Tables) -> Iterator[Mapping[str, Any]]:
    """Yield one row a vault that the scan before knew, or that has an approved state."""
    then = Then(tables)
    for vault in tables["backup_vault"]:
        old = then.row("backup_vault", vault["arn"])
        if old is None:
            continue
        weaker, open_ = _lock(old, vault)
        yield {
            "vault_arn": vault["arn"],
            "lock_weakened": weaker,
            "lock_compared": None if open_ else True,
            "compared_with": then.words("backup_vault", vault["arn"], _COMPARED),
            **_policy(old.get("policy"), vault),
        }


def _lock(old: Mapping[str, str | None], vault: Mapping[str, Any]) -> tuple[list[str], bool]:
    """Return what is weaker of the lock, and whether something of it is not known."""
    was, now = old.get("locked"), vault["locked"]
    if was is None or now is None:
        return [], True
    if was != "true":
        return [], False
    if not now:
        return ["the lock is gone"], False
    least, least_now = old.get("min_retention_d"), vault["min_retention_d"]
    if least is None or least_now is None:
        return [], True
    weaker = _later(old.get("lock_date"), vault["lock_date"])
    if int(least) > least_now:
        weaker.append(f"the lock keeps at least {_days(least_now)} instead of {_days(int(least))}")
    return weaker, False


def _later(was: str | None, now: datetime | None) -> list[str]:
    """Return what is weaker of the day from which nobody can change the lock; not every scan of old remembered it."""
    if was is None or was == ABSENT:
        return []
    then = datetime.fromisoformat(was)
    if now is None:
        return [
            f"the lock is governance now, who may can take it away; it was compliance from {then:%Y-%m-%d %H:%M} on"
        ]
    if (now if now.tzinfo else now.replace(tzinfo=UTC)) <= then:
        return []
    return [f"nobody can change the lock from {now:%Y-%m-%d %H:%M} on, instead of {then:%Y-%m-%d %H:%M}"]


def _days(days: int) -> str:
    return "no time" if days < 0 else f"{days} d"


def _policy(was: str | None, vault: Mapping[str, Any]) -> dict[str, Any]:
    now = vault["policy"]
    if was is None or now is None:
        return {"policy_no_looser": None, "policy_change_says": "one of its policies is not known"}
    if was == now:
        return {"policy_no_looser": True, "policy_change_says": ""}
    change = resource_change(was, now, vault["arn"], vault["account"])
    return {
        "policy_no_looser": None if change.verdict == "undecided" else not change.opens,
        "policy_change_says": change.because[:_LONGEST] if change.opens else "",
    }
