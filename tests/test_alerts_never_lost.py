"""Whatever is silenced, waived, acknowledged or flapping meanwhile: in the end the pager shows what fails, and no more."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from alert_life import ARN, Life, hour
from ledger_case import outcome

from auditor.alerts.channels import pagerduty
from auditor.errors import UsageError
from auditor.model import Gap, Outcome, Seen

BUCKETS = (ARN, "arn:aws:s3:::c")
GAP = Gap("s3_bucket", "111111111111", "eu-west-1", reason="denied", detail="denied")
SIGHT = Seen("s3_bucket", "111111111111", "eu-west-1")


def shown(life: Life) -> set[str]:
    """Return the incidents that are open at a pager that was told all of it."""
    open_: set[str] = set()
    for each in life.got:
        for _, event in pagerduty.events(each):
            if event.get("event_action") == "trigger":
                open_.add(event["dedup_key"])
            elif event.get("event_action") == "resolve":
                open_.discard(event["dedup_key"])
    return open_


def failing(life: Life) -> int:
    return sum(row.last_fail_at is not None for row in life.ledger.findings())


def lived(life: Life, dice: random.Random, steps: int) -> float:
    """Let things happen in any order; return the time after them."""
    at = 1.0

    def verdicts() -> list[Outcome]:
        return [
            outcome(dice.choice(("fail", "fail", "pass", "pass", "unknown")), key,
                    severity=dice.choice(("high", "high", "critical")))
            for key in BUCKETS
        ]  # fmt: skip

    def decide() -> None:
        what = dice.choice(("silence", "silence", "unsilence", "waive", "revoke", "ack", "send"))
        later = at + dice.choice((0.5, 3, 30))
        try:
            if what == "silence":
                life.silence(at, later, resource=dice.choice(("*", BUCKETS[0])))
            elif what == "unsilence":
                for row, _, _ in life.ledger.silences():
                    if row.at(hour(at)):
                        life.ledger.end_silence(row.silence_id, by="bob", reason="x", now=hour(at))
            elif what == "waive":
                life.ledger.waive(
                    reason="x", requester="ann", approver="bob", rule="*", subject=dice.choice(("*", BUCKETS[1])),
                    expires_at=hour(later), now=hour(at),
                )  # fmt: skip
            elif what == "revoke":
                for each in life.ledger.waivers():
                    if each.revoked_at is None and each.expires_at > hour(at):
                        life.ledger.revoke_waiver(each.waiver_id, by="bob", reason="x", now=hour(at))
            elif what == "ack":
                life.ack(at)
            else:
                life.send(at)
        except UsageError:  # of what was entered already
            pass

    for _ in range(steps):
        at += dice.choice((0.25, 1, 1, 5, 26))
        began = at
        happens: Callable[[], object] = decide if dice.random() < 0.3 else lambda: None

        def meanwhile(happens: Callable[[], object] = happens) -> None:
            nonlocal at
            at += 0.1
            happens()

        if dice.random() < 0.3:
            decide()
        elif dice.random() < 0.8:
            life.look(began, *verdicts(), coverage=[dice.choice((SIGHT, SIGHT, GAP))], meanwhile=meanwhile)
        else:
            life.send(at)
    return at


@pytest.mark.parametrize("seed", [3, 77, 117])
def test_in_the_end_the_pager_shows_what_fails_whatever_happened_before(tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)
    life = Life(tmp_path)
    with life.ledger:
        at = lived(life, dice, 25) + 800  # every silence and waiver is over, and everything is calm
        life.send(at)
        life.send(at + 1)
        assert bool(shown(life)) == bool(failing(life) or life.blind), (seed, life.events)
        life.look(at + 2, *(outcome("pass", key) for key in BUCKETS), coverage=[SIGHT])
        life.send(at + 40)
        assert shown(life) == set(), (seed, life.events)
        life.look(at + 90, outcome("fail"), coverage=[SIGHT])
        life.send(at + 130)
        assert len(shown(life)) == 1, (seed, life.events)
        assert life.ledger.verify().because == ""
