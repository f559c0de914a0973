"""A matter's life as each channel tells it, and as the command line does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from email import message_from_bytes
from pathlib import Path
from typing import Any

import pytest
from alert_life import FINDING, Life, hour
from cli_case import answer, run
from ledger_case import outcome
from test_alerts_channels import HOSTILE, no_harm
from test_alerts_lifecycle import CRITICAL, flapped

from auditor.alerts.channels import mail, pagerduty
from auditor.alerts.due import acknowledged
from auditor.alerts.text import LARGEST_BYTES, wire
from auditor.alerts.words import said
from auditor.ledger import Sending


@pytest.fixture
def life(tmp_path: Path) -> Iterator[Life]:
    (tmp_path / "state").mkdir()
    made = Life(tmp_path / "state")
    with made.ledger:
        yield made
        assert made.ledger.verify().because == ""


def paged(sendings: list[Sending]) -> dict[str, list[str]]:
    """Return what PagerDuty is told of each incident, in order."""
    told: dict[str, list[str]] = {}
    for each in sendings:
        for path, event in pagerduty.events(each):
            told.setdefault(event.get("dedup_key", path), []).append(event.get("event_action", "change"))
    return told


def test_flapping_is_one_incident_from_its_third_opening_to_its_end(life: Life) -> None:
    flapped(life)
    life.look(8, CRITICAL)
    life.send(32)
    life.send(36)
    life.look(37, "pass")
    first, second, third = paged(life.got).values()
    assert first == second == ["trigger", "resolve"]
    assert third == ["trigger", "trigger", "trigger", "resolve"]  # flapping, still open, reminder, end


def test_what_somebody_works_on_is_acknowledged_at_the_pager_when_it_is_all_of_an_incident(
    life: Life,
) -> None:
    life.look(0, CRITICAL, outcome("fail", "arn:aws:s3:::c", severity="critical"))
    life.ack(1)
    life.send(1)
    assert paged(life.got) == {life.got[0].alert.alert_id: ["trigger"]}
    life.ack(2, life.got[0].alert.alert_id)
    life.send(2)
    life.look(3, "pass", outcome("pass", "arn:aws:s3:::c"))
    assert paged(life.got) == {life.got[0].alert.alert_id: ["trigger", "acknowledge", "resolve"]}


def test_a_waiver_that_ends_soon_wakes_nobody_and_its_end_does(life: Life) -> None:
    people = {"reason": "move", "requester": "ann", "approver": "bob"}
    life.ledger.waive(**people, rule="*", subject="*", expires_at=hour(60), now=hour(0))  # type: ignore[arg-type]
    life.look(1, CRITICAL)
    life.send(40)
    life.send(60)
    assert list(paged(life.got).values()) == [["change"], ["trigger"]]


def every_message(life: Life) -> list[Sending]:
    """Return one message of each kind that time makes, of a matter whose every text is hostile."""
    nasty = outcome("fail", f"arn:aws:s3:::b {HOSTILE}", because=HOSTILE, severity="critical", owner=HOSTILE)
    people = {"reason": HOSTILE, "requester": "ann", "approver": f"bob {HOSTILE}"}
    life.ledger.waive(**people, rule="*", subject="*", expires_at=hour(60), now=hour(0))  # type: ignore[arg-type]
    life.look(1, nasty)
    life.send(40)
    life.send(60)
    life.send(64)
    alert = life.got[-1].alert.alert_id
    life.ledger.acknowledge(
        alert, reason=HOSTILE, by=HOSTILE, now=hour(65),
        told=lambda channel, named: acknowledged(channel, named, HOSTILE, HOSTILE, hour(65)),
    )  # fmt: skip
    life.send(65)
    life.ledger.silence(resource="*", reason=HOSTILE, by=HOSTILE, until=hour(70), now=hour(66))
    for at in (67, 67.5):
        life.look(at, outcome("pass", nasty.subject_key))
        life.look(at + 0.2, nasty)
    life.send(70)
    for at in (71, 71.5):
        life.look(at, outcome("pass", nasty.subject_key))
        life.look(at + 0.2, nasty)
    return life.got


def test_every_message_of_a_life_is_small_plain_and_harmless_on_every_channel(life: Life) -> None:
    sendings = every_message(life)
    assert {each.alert.event for each in sendings} >= {
        "waiver_expiring", "opened", "reminder", "acknowledged", "recovered", "silence_over", "flapping",
    }  # fmt: skip
    settings = mail.Settings(host="mail.example.com", sender="a@example.com", to=("b@example.com",))
    for each in sendings:
        assert len(wire(each.alert.body)) <= LARGEST_BYTES
        data = each.alert.body["data"]
        assert "hunter22" not in json.dumps(
            [data.get(name) for name in ("title", "silence", "waiver", "held")]
        )
        words = said(each)
        for text in words.lines():
            no_harm(text)
        sent = mail.message(settings, each, words)
        assert message_from_bytes(sent)["Bcc"] is None
        for event in pagerduty.events(each):
            assert "hunter22" not in json.dumps(event)


def test_what_a_message_of_time_says_can_be_acted_on(life: Life) -> None:
    told = {each.alert.event: "\n".join(said(each).lines()) for each in every_message(life)}
    assert "Work on it: auditor alerts ack FINDING" in told["reminder"]
    assert "Times told: " in told["reminder"]
    assert "Approved by: bob" in told["waiver_expiring"]
    assert "To renew it: auditor waivers add" in told["waiver_expiring"]
    assert "It kept back: " in told["silence_over"]
    assert "auditor alerts list --within SIL-" in told["silence_over"]


@pytest.fixture
def config(life: Life, tmp_path: Path) -> Path:
    life.look(0, CRITICAL)
    at = tmp_path / "config.toml"
    at.write_text(f'[state]\ndir = "{tmp_path}/state"\n')
    return at


def test_a_finding_is_acknowledged_by_its_id_or_the_alert_that_told_of_it(life: Life, config: Path) -> None:
    by = ("--reason", "on it", "--by", "ann")
    for word in (FINDING, FINDING[:12], life.got[0].alert.alert_id):
        (row,) = answer("alerts", "ack", word, *by, config=config)["rows"]
        assert (row["resource"], row["by"]) == ("arn:aws:s3:::b", "ann")
    assert "1 matter acknowledged by ann" in run("alerts", "ack", FINDING, *by, config=config).stdout
    for wrong in ("msg_none", "0" * 64):
        done = run("alerts", "ack", wrong, *by, config=config)
        assert done.exit_code == 2
        assert "neither an alert nor a finding" in done.stderr
    assert run("alerts", "ack", FINDING, "--reason", " ", "--by", "ann", config=config).exit_code == 2


def test_a_silence_is_entered_listed_and_ended(config: Path) -> None:
    assert run("alerts", "silences", config=config).stdout.startswith("No silences.")
    given = ("alerts", "silence", "--rule", "BKT-*", "--until", "8h", "--reason", "move", "--by", "ann")
    (row,) = answer(*given, config=config)["rows"]
    assert (row["state"], row["rule"], row["messages_held"]) == ("in force", "BKT-*", 0)
    ended = answer("alerts", "unsilence", row["silence_id"], "--by", "bob", "--reason", "done", config=config)
    assert ended["rows"][0]["state"] == "ended"
    listed: list[dict[str, Any]] = answer("alerts", "silences", config=config)["rows"]
    assert [(each["ended_by"], each["ended_reason"]) for each in listed] == [("bob", "done")]
    table = run("alerts", "silences", config=config).stdout
    assert "rule BKT-*" in table
    assert "1 silence, 0 in force." in table
    assert (
        run("alerts", "unsilence", row["silence_id"], "--by", "b", "--reason", "c", config=config).exit_code
        == 2
    )
    assert (
        run("alerts", "silence", "--until", "8h", "--reason", "a", "--by", "b", config=config).exit_code == 2
    )
    assert run("alerts", "silence", "--rule", "*", "--until", "31d", "--reason", "a", "--by", "b",
               config=config).exit_code == 2  # fmt: skip


def test_what_a_silence_keeps_back_is_listed_as_held(life: Life, config: Path) -> None:
    silence = life.silence(1, 10)
    life.look(2, outcome("fail", severity="critical"), outcome("fail", "arn:aws:s3:::c"))
    (row,) = answer("alerts", "list", "--state", "held", config=config)["rows"]
    assert (row["held"], row["state"]) == (silence, "held")
    assert answer("alerts", "list", "--within", silence, config=config)["rows"] == [row]
    assert "1 held" in run("alerts", "list", config=config).stdout
    assert life.ledger.agenda.signs().waiting == 0  # nothing that somebody has to look after
