"""What is due arrives: at least once, in order, never too much at once, and by another way when one is closed."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from alert_case import Receiver, Reply, certificates, receiving
from alert_life import Life
from cli_case import run
from ledger_case import T0, day, outcome, scan
from test_alerts_channels import alert
from test_ledger_survival import other

from auditor.alerts.deliver import Answer, Delivery, Way, deliver
from auditor.alerts.routes import Route
from auditor.alerts.text import LARGEST_BYTES, wire
from auditor.cli.doctor import _given_up
from auditor.drift import finding_id
from auditor.errors import UsageError
from auditor.ledger import Alert, Ledger, Sending


class Ear:
    """A receiver within this process: keeps what it was sent, and answers as it is told."""

    def __init__(self, *answers: Answer) -> None:
        self.got: list[Sending] = []
        self.answers = list(answers)

    def __call__(self, sending: Sending, now: datetime) -> Answer:
        self.got.append(sending)
        return self.answers.pop(0) if self.answers else Answer("delivered")

    @property
    def events(self) -> list[str]:
        return [each.alert.event for each in self.got]


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open(tmp_path / "ledger.sqlite3") as opened:
        yield opened


def sent(ledger: Ledger, ways: dict[str, Way], at: float = 1) -> Delivery:
    return deliver(ledger, ways, lambda: T0 + timedelta(hours=at))


def many(count: int, **more: Any) -> list[Alert]:
    return [alert("opened", n=n, **more) for n in range(count)]


def test_a_clock_that_steps_an_hour_either_way_sends_each_alert_under_its_id_and_loses_none(
    ledger: Ledger,
) -> None:
    ear = Ear(Answer("retry", "HTTP 503"), Answer("retry", "HTTP 503"))
    ledger.post(many(1), T0)
    assert sent(ledger, {"r": Way(ear)}, 1).retried == 1
    assert sent(ledger, {"r": Way(ear)}, 0) == Delivery()  # back: it waits for its time, an hour at most
    assert sent(ledger, {"r": Way(ear)}, 1.01).retried == 1
    ledger.lease_alerts(T0 + timedelta(hours=2.5), lease_s=300, limit=1, channels=["r"])  # its sender dies
    assert sent(ledger, {"r": Way(ear)}, 1.5) == Delivery()
    assert sent(ledger, {"r": Way(ear)}, 2.6).delivered == 1
    assert len({each.alert.alert_id for each in ear.got}) == 1
    assert ledger.verify().because == ""


DEAD = Answer("dead", "HTTP 404: no_service")


def test_what_is_beyond_the_rate_is_one_message_that_holds_all_of_it(ledger: Ledger) -> None:
    ear = Ear()
    ledger.post([*many(30, severity="low"), alert("opened", n=99, severity="critical")], T0)
    assert sent(ledger, {"r": Way(ear, 10)}) == Delivery(10, 0, 0)
    assert ear.events == ["opened"] * 9 + ["digest"]
    assert "msg_opened_99_1" in {each.alert.alert_id for each in ear.got}  # the worst is told by itself
    digest = ear.got[-1].alert
    data = digest.body["data"]
    assert len(data["alerts"]) + data["alerts_left_out"] == 22
    assert data["severity"] == "low"
    within = ledger.outbox(within=digest.alert_id)
    assert len(within) == 22
    assert {each.alert.alert_id for each in (*within, *ear.got)} == {
        each.alert.alert_id for each in ledger.outbox()
    }
    assert {each.state for each in ledger.outbox()} == {"delivered"}


def test_ten_thousand_alerts_are_at_most_twenty_messages_and_all_of_them_can_be_reached(
    ledger: Ledger,
) -> None:
    ear = Ear()
    ledger.post(many(10_000, keys=1), T0)
    sent(ledger, {"r": Way(ear, 10)})
    assert len(ear.got) <= 20
    assert len(wire(ear.got[-1].alert.body)) <= LARGEST_BYTES
    reached = {each.alert.alert_id for each in ledger.outbox(within=ear.got[-1].alert.alert_id)}
    assert len(reached | {each.alert.alert_id for each in ear.got[:-1]}) == 10_000
    assert ledger.outbox(state="pending") == []


def test_the_rate_counts_what_went_out_in_the_minute_before(ledger: Ledger) -> None:
    ear = Ear()
    ledger.post(many(3), T0)
    sent(ledger, {"r": Way(ear, 3)})
    ledger.post([alert("opened", n=n) for n in range(10, 14)], T0)
    assert sent(ledger, {"r": Way(ear, 3)}) == Delivery()  # they wait
    sent(ledger, {"r": Way(ear, 3)}, 1 + 61 / 3600)
    assert ear.events == ["opened"] * 5 + ["digest"]


def test_no_limit_means_none_and_a_rate_of_one_is_one_digest(ledger: Ledger) -> None:
    ear = Ear()
    ledger.post(many(40), T0)
    sent(ledger, {"r": Way(ear, 0)})
    assert ear.events == ["opened"] * 40
    ledger.post([alert("opened", n=n) for n in range(100, 140)], T0)
    sent(ledger, {"r": Way(ear, 1)}, 2)
    assert ear.events[40:] == ["digest"]


def test_a_digest_that_fails_is_repeated_under_its_id_and_is_not_put_into_another(ledger: Ledger) -> None:
    ear = Ear(Answer("retry", "down"))
    ledger.post(many(5), T0)
    sent(ledger, {"r": Way(ear, 1)})
    ledger.post([alert("opened", n=n) for n in range(10, 15)], T0 + timedelta(hours=1))
    sent(ledger, {"r": Way(ear, 1)}, 2)
    sent(ledger, {"r": Way(ear, 1)}, 3)
    assert ear.events == ["digest"] * 3
    assert ear.got[0].alert.alert_id == ear.got[1].alert.alert_id != ear.got[2].alert.alert_id
    assert {each.state for each in ledger.outbox()} == {"delivered"}


def test_a_digest_that_is_given_up_is_a_dead_letter_with_all_it_holds_and_replay_brings_all_back(
    ledger: Ledger,
) -> None:
    ear = Ear(DEAD)
    ledger.post(many(5), T0)
    assert sent(ledger, {"r": Way(ear, 1)}).dead == 1
    assert len(ledger.outbox(state="dead")) == 6
    digest = next(each for each in ledger.outbox() if each.alert.event == "digest")
    ledger.replay_alert(digest.alert.alert_id, T0 + timedelta(hours=2))
    assert ledger.outbox(state="dead") == []
    sent(ledger, {"r": Way(ear, 1)}, 2)
    assert {each.state for each in ledger.outbox()} == {"delivered"}
    ledger.replay_alert("msg_opened_3_1", T0 + timedelta(hours=3))
    sent(ledger, {"r": Way(ear)}, 3)
    assert ear.got[-1].alert.alert_id == "msg_opened_3_1"  # one of it may be sent by itself


def test_two_senders_do_not_put_the_same_alert_into_two_digests(ledger: Ledger) -> None:
    from auditor.alerts.notices import digest

    ledger.post(many(4), T0)
    due = ledger.due_alerts("r", T0)
    ids = [each.alert.alert_id for each in due]
    assert ledger.digest_alerts(digest(due[:3], T0), ids[:3], T0)
    assert not ledger.digest_alerts(digest(due[2:], day(1)), ids[2:], T0)
    assert len([each for each in ledger.outbox() if each.alert.event == "digest"]) == 1


def test_the_end_of_a_matter_waits_for_its_beginning_and_other_matters_do_not(ledger: Ledger) -> None:
    ear = Ear(Answer("retry", "down"))
    ledger.post([alert("opened")], T0)
    sent(ledger, {"r": Way(ear)}, 0)
    ledger.post([alert("recovered"), alert("opened", n=7)], T0 + timedelta(seconds=1))
    sent(ledger, {"r": Way(ear)}, 2 / 3600)
    assert [each.alert.alert_id for each in ear.got] == ["msg_opened_0_1", "msg_opened_7_1"]
    sent(ledger, {"r": Way(ear)}, 1)
    assert ear.events == ["opened", "opened", "opened", "recovered"]


def test_no_end_is_told_by_itself_while_its_beginning_goes_into_a_digest(ledger: Ledger) -> None:
    ear = Ear()
    ledger.post(many(8, severity="low"), T0)
    ledger.post([alert("recovered", n=n, severity="critical") for n in range(8)], T0 + timedelta(minutes=1))
    sent(ledger, {"r": Way(ear, 4)})
    told: list[str] = []
    for each in ear.got:
        holds = ledger.outbox(within=each.alert.alert_id)
        told += [one.alert.event for one in holds] or [each.alert.event]
        assert not (each.alert.event == "recovered" and "opened" not in told)
    assert sorted(told) == ["opened"] * 8 + ["recovered"] * 8


def test_what_one_route_gives_up_another_is_told_with_the_matter_itself(ledger: Ledger) -> None:
    pager, mail, chat = Ear(DEAD), Ear(), Ear()
    ledger.post([alert("opened")], T0)
    ways = {"a-chat": Way(chat), "mail": Way(mail), "r": Way(pager, fallback="mail")}
    sent(ledger, ways)
    sent(ledger, ways, 2)
    (notice,) = [each.alert for each in mail.got]
    assert chat.got == []
    data = notice.body["data"]
    assert data["title"] == "[HIGH] Not delivered by r: [HIGH] opened 0"
    assert data["undelivered"]["alert_id"] == "msg_opened_0_1"
    assert data["undelivered"]["because"] == "HTTP 404: no_service"
    (letter,) = ledger.outbox(state="dead")
    assert letter.alert.alert_id == "msg_opened_0_1"


def test_routes_that_all_fail_are_each_told_once_and_no_more(ledger: Ledger) -> None:
    ears = {name: Ear(*[DEAD] * 9) for name in "abc"}
    ledger.post([alert("opened", "a")], T0)
    for hour in range(1, 6):
        sent(ledger, {name: Way(ear) for name, ear in ears.items()}, hour)
    assert {name: len(ear.got) for name, ear in ears.items()} == {"a": 1, "b": 1, "c": 1}
    assert len(ledger.outbox(state="dead")) == 3


def test_a_route_that_is_gone_is_off_and_its_neighbour_hears_of_it(ledger: Ledger) -> None:
    gone, mail = Ear(Answer("gone", "HTTP 410")), Ear()
    ledger.post(many(2), T0)
    ways = {"mail": Way(mail), "r": Way(gone)}
    sent(ledger, ways)
    sent(ledger, ways, 2)
    assert len(gone.got) == 1
    assert mail.events == ["undelivered"]
    assert ledger.channels_off() == {"r": "HTTP 410"}
    assert ledger.verify().intact


def test_one_alert_may_be_sent_alone_whatever_the_rate(ledger: Ledger) -> None:
    ear = Ear()
    ledger.post(many(5), T0)
    assert deliver(ledger, {"r": Way(ear, 1)}, lambda: day(1), only="msg_opened_3_1") == Delivery(1, 0, 0)
    assert [each.alert.alert_id for each in ear.got] == ["msg_opened_3_1"]


def test_a_lease_that_is_taken_late_is_counted_from_then(ledger: Ledger) -> None:
    ledger.post(many(2), T0)
    hours = iter(range(100))
    seen: list[datetime] = []

    def slow(sending: Sending, now: datetime) -> Answer:
        seen.append(now)
        return Answer("delivered")

    deliver(ledger, {"r": Way(slow)}, lambda: T0 + timedelta(hours=next(hours)))
    assert seen[1] > seen[0]
    assert next(each.delivered_at for each in ledger.outbox()) > seen[0]  # type: ignore[operator]


@pytest.mark.parametrize(("seed", "rate"), [(1, 5), (2, 0)])
def test_senders_killed_under_a_lossy_receiver_lose_nothing_and_repeat_nothing_under_another_id(
    tmp_path: Path, seed: int, rate: int
) -> None:
    path = tmp_path / "ledger.sqlite3"
    originals = [alert("opened", "a", n) for n in range(40)]
    with Ledger.open(path) as ledger:
        ledger.record(scan(0), [], alerts=originals, at=day(0))
    dice, child, killed = random.Random(seed), [0], [0]
    accepted: dict[str, set[str]] = {"a": set(), "b": set()}
    with receiving() as receiver:
        receiver.reply = lossy(receiver, dice, child, killed, accepted)
        for restart in range(30):
            arguments = (
                path,
                "drain",
                f"https://127.0.0.1:{receiver.port}",
                certificates()[0],
                restart * 600,
                rate,
            )
            process: subprocess.Popen[bytes] = other(*arguments)
            child[0] = process.pid
            if (ended := process.wait(120)) != -signal.SIGKILL:
                break
        assert ended == 0
    assert killed[0] >= 3
    with Ledger.open(path) as ledger:
        rows = {each.alert.alert_id: each for each in ledger.outbox()}
        assert ledger.verify().intact
        assert ledger.damage() == []
    for each in originals:
        row = rows[each.alert_id]
        carrier = rows[row.within] if row.within else row
        if carrier.state == "delivered":
            assert carrier.alert.alert_id in accepted["a"]
            continue
        assert carrier.state == "dead"
        notices = [
            one
            for one in rows.values()
            if one.alert.channel == "b"
            and one.alert.body["data"]["undelivered"]["alert_id"] == carrier.alert.alert_id
        ] or [one for one in rows.values() if one.alert.channel == "b" and one.alert.event == "digest"]
        carriers = {one.within or one.alert.alert_id for one in notices}
        assert carriers & accepted["b"]
    assert accepted["a"] <= set(rows)
    assert accepted["b"] <= set(rows)


def lossy(
    receiver: Receiver,
    dice: random.Random,
    child: list[int],
    killed: list[int],
    accepted: dict[str, set[str]],
) -> Callable[[int], Reply | None]:
    """Answer as the worst of receivers does, and kill the sender before it is answered or while it is."""

    def reply(n: int) -> Reply | None:
        path, headers, _ = receiver.got[n]
        route, what = path.strip("/"), dice.random()
        if killed[0] < 5 and dice.random() < 0.4:
            if what < 0.5:
                accepted[route].add(headers["webhook-id"])
            killed[0] += 1
            os.kill(child[0], signal.SIGKILL)
            return None
        if what < 0.25:
            return None
        if what < 0.32:
            accepted[route].add(headers["webhook-id"])
            return None
        if what < 0.45:
            return 503, {}, b""
        if what < 0.5:
            return 429, {"Retry-After": "60"}, b""
        if what < 0.55 and route == "a":
            return 400, {}, b"no"
        accepted[route].add(headers["webhook-id"])
        return 204, {}, b""

    return reply


@pytest.fixture
def command(tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Return the command line over a configuration of two routes, one of which nothing answers."""
    secret = tmp_path / "secret"
    secret.write_text("whsec_" + "A" * 43 + "=\n")
    secret.chmod(0o600)
    with receiving() as receiver:
        route = f'secret = "file:{secret}"\ntimeout_s = 5\n'
        (tmp_path / "config.toml").write_text(
            f'[state]\ndir = "{tmp_path}/state"\n'
            f'[alerts]\nallow = ["127.0.0.1/32"]\nca_file = "{certificates()[0]}"\n'
            f'[alerts.webhook]\nurl = "{receiver.url}"\n{route}'
            f'[alerts.oncall]\nchannel = "webhook"\nurl = "https://127.0.0.1:{receiver.port}/oncall"\n{route}'
        )

        def told(*args: str) -> Any:
            return run(*args, config=tmp_path / "config.toml")

        told.receiver = receiver  # type: ignore[attr-defined]
        yield told


def test_a_test_message_goes_by_the_route_that_is_named(command: Any) -> None:
    done = command("alerts", "test", "oncall")
    assert done.exit_code == 0, done.stderr
    ((path, _, body),) = command.receiver.got
    assert path == "/oncall"
    assert json.loads(body)["data"]["title"] == "[TEST] auditor can reach you"
    assert command("alerts", "test", "oncal").exit_code == 2


def test_a_dead_letter_is_listed_replayed_and_told_by_the_other_route(command: Any) -> None:
    command.receiver.reply = lambda n: (404, {}, b"") if n == 0 else (204, {}, b"")
    assert command("alerts", "test", "oncall").exit_code == 1
    (letter,) = json.loads(command("alerts", "dead", "--json").stdout)["rows"]
    assert letter["last_error"] == "HTTP 404"
    assert command("alerts", "send").exit_code == 0
    path, _, body = command.receiver.got[-1]
    assert path.startswith("/hook")
    assert json.loads(body)["data"]["undelivered"]["route"] == "oncall"
    assert command("alerts", "replay", letter["alert_id"]).exit_code == 0
    assert command.receiver.ids().count(letter["alert_id"]) == 2
    assert json.loads(command("alerts", "dead", "--json").stdout)["rows"] == []
    assert command("alerts", "replay", "--dead").exit_code == 0
    assert command("alerts", "replay").exit_code == 2
    assert command("alerts", "replay", "msg_none").exit_code == 2


def test_a_route_that_was_switched_off_says_so_wherever_it_is_asked(command: Any, tmp_path: Path) -> None:
    command.receiver.reply = lambda n: (410, {}, b"") if n == 0 else (204, {}, b"")
    assert command("alerts", "test", "oncall").exit_code == 1
    again = command("alerts", "test", "oncall")
    assert "its route 'oncall' is switched off since it answered HTTP 410" in again.stderr
    with Ledger.open(tmp_path / "state" / "ledger.sqlite3") as ledger:
        off, dead = _given_up(ledger)
    assert (off.state, dead.state) == ("warning", "warning")
    assert off.said.startswith("oncall is switched off since it answered HTTP 410")
    assert dead.said.startswith("1 dead letter: nobody was told")
    assert off.remedy == "`auditor alerts replay --dead --route oncall` switches it on."
    assert command("alerts", "replay", "--dead", "--route", "oncall").exit_code == 0
    assert command("alerts", "test", "oncall").exit_code == 0


def test_a_route_that_is_misspelt_is_answered_with_the_nearest(command: Any) -> None:
    done = command("alerts", "dead", "--route", "webhok")
    assert done.exit_code == 2
    assert "there is no route 'webhok', and no alert for it; did you mean 'webhook'?" in done.stderr


def test_replaying_what_is_not_there_is_a_mistake(ledger: Ledger) -> None:
    with pytest.raises(UsageError, match="no alert msg_none"):
        ledger.replay_alert("msg_none", T0)


def test_sending_writes_the_reminders_that_are_due_and_sends_them(command: Any, tmp_path: Path) -> None:
    life = Life(tmp_path / "state", Route("webhook", "low"), Route("oncall", "low"))
    with life.ledger:
        life.look(0, outcome("fail", severity="critical"))
    assert command("alerts", "send").exit_code == 0
    told = [json.loads(body)["data"] for _, _, body in command.receiver.got]
    assert [data["event"] for data in told] == ["reminder", "reminder"]
    assert told[0]["counts"]["fail"] == 1
    assert command("alerts", "send").exit_code == 0
    assert len(command.receiver.got) == 2
    by = ("--reason", "on it", "--by", "ann")
    assert (
        command("alerts", "ack", finding_id("versioning-on", "bucket", "arn:aws:s3:::b"), *by).exit_code == 0
    )
    assert command("alerts", "send").exit_code == 0
    assert [json.loads(body)["data"]["event"] for _, _, body in command.receiver.got[2:]] == [
        "acknowledged"
    ] * 2
