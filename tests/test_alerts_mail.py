"""E-mail against a real SMTP server: what arrives, and what happens to what is refused."""

from __future__ import annotations

import email
import email.policy
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from html.parser import HTMLParser
from typing import Any, cast

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword
from alert_case import NOW, out, served
from test_alerts_channels import no_harm, sending, told

from auditor.alerts.channels import mail
from auditor.alerts.deliver import Answer
from auditor.alerts.text import LARGEST_BYTES

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
SENDER, TO = "auditor@example.com", ("a@example.com", "b@example.com")


class Mailbox:
    """Keeps what it is sent, and refuses what it is told to."""

    def __init__(self) -> None:
        self.got: list[Envelope] = []
        self.refuses: dict[str, str] = {}
        self.data = "250 OK"

    async def handle_RCPT(  # noqa: N802 - the server calls it so
        self, server: SMTP, session: Any, envelope: Envelope, address: str, options: Any
    ) -> str:
        if address in self.refuses:
            return self.refuses[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(  # noqa: N802
        self, server: SMTP, session: Any, envelope: Envelope
    ) -> str:
        if self.data.startswith("250"):
            self.got.append(envelope)
        return self.data


@contextmanager
def serving(
    mailbox: Mailbox, *, implicit: bool = False, starttls: bool = True, auth: bool = False
) -> Iterator[int]:
    def login(server: SMTP, session: Any, envelope: Envelope, mechanism: str, given: Any) -> AuthResult:
        fine = isinstance(given, LoginPassword) and (given.login, given.password) == (b"me", b"hunter22")
        return AuthResult(success=fine, handled=fine)

    class Server(Controller):
        def _trigger_server(self) -> None:  # it would ask at port 0
            self.port = self.server.sockets[0].getsockname()[1]
            super()._trigger_server()

    server = Server(
        mailbox,
        hostname="127.0.0.1",
        port=0,
        ssl_context=served() if implicit else None,
        tls_context=served() if starttls and not implicit else None,
        authenticator=login if auth else None,
        auth_required=auth,
        auth_require_tls=not implicit,
    )
    server.start()
    try:
        yield server.port
    finally:
        server.stop()


def settings(port: int = 587, **more: Any) -> mail.Settings:
    return mail.Settings(
        **{"host": "127.0.0.1", "port": port, "sender": SENDER, "to": TO, "timeout_s": 60, **more}
    )


def mailed(port: int, each: Any = None, **more: Any) -> Answer:
    return mail.channel(settings(port, **more), out())(each or sending(told()), NOW)


def read(envelope: Envelope) -> EmailMessage:
    content = envelope.content
    assert isinstance(content, bytes)
    return cast("EmailMessage", email.message_from_bytes(content, policy=email.policy.default))


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.seen.add(tag)

    def handle_data(self, data: str) -> None:
        self.text.append(data)


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
def test_a_mail_arrives_whole_and_no_text_of_the_evidence_becomes_a_header_or_markup(tls: str) -> None:
    mailbox, each = Mailbox(), sending(told(3))
    with serving(mailbox, implicit=tls == "implicit") as port:
        assert mailed(port, each, tls=tls) == Answer("delivered", "accepted for 2")
    (envelope,) = mailbox.got
    assert (envelope.mail_from, envelope.rcpt_tos) == (SENDER, list(TO))
    message = read(envelope)
    assert message["Message-ID"] == f"<{each.alert.alert_id}@example.com>"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Bcc"] is None
    assert message["Subject"].startswith("[HIGH] ")
    assert "\\u000d\\u000aBcc" in message["Subject"]
    assert message["To"] == "a@example.com, b@example.com"
    assert isinstance(envelope.content, bytes) and len(envelope.content) <= LARGEST_BYTES
    plain, html = message.get_body(("plain",)), message.get_body(("html",))
    assert plain is not None and html is not None
    for line in plain.get_content().splitlines():
        no_harm(line)
    tags = Tags()
    tags.feed(html.get_content())
    assert tags.seen <= {"html", "body", "h1", "h2", "p", "table", "tr", "th", "td"}
    assert "<script>" in "".join(tags.text)  # shown, not run
    assert message.get_content_type() == "multipart/alternative"


def test_a_repeated_mail_is_the_same_to_the_byte_and_the_end_answers_to_the_beginning() -> None:
    mailbox, first = Mailbox(), sending(told())
    end = sending(told(), closes=("msg_opened",))
    with serving(mailbox) as port:
        for each in (first, first, end):
            mailed(port, each)
    one, two, three = mailbox.got
    assert one.content == two.content
    assert read(three)["References"] == read(three)["In-Reply-To"] == "<msg_opened@example.com>"


@pytest.mark.parametrize("count", [1, 25, 300])
def test_a_mail_is_small_whatever_it_tells_of(count: int) -> None:
    mailbox = Mailbox()
    with serving(mailbox) as port:
        mailed(port, sending(told(count, "é" * 500)))
    (envelope,) = mailbox.got
    assert isinstance(envelope.content, bytes) and len(envelope.content) <= LARGEST_BYTES


def test_whoever_signs_in_does_so_over_tls_and_the_password_is_never_repeated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mailbox = Mailbox()
    monkeypatch.setenv("RIGHT", "hunter22")
    monkeypatch.setenv("WRONG", "hunter23hunter23")
    with serving(mailbox, auth=True) as port:
        assert mailed(port, username="me", password="env:RIGHT").ended == "delivered"
        answer = mailed(port, username="me", password="env:WRONG")
    assert answer.ended == "dead"
    assert "535" in answer.detail
    assert "hunter23" not in answer.detail


def test_nothing_is_sent_to_a_server_that_offers_no_tls() -> None:
    mailbox = Mailbox()
    with serving(mailbox, starttls=False) as port:
        answer = mailed(port)
    assert (answer.ended, mailbox.got) == ("retry", [])
    assert "STARTTLS" in answer.detail


@pytest.mark.parametrize(
    ("refuses", "data", "ended"),
    [
        ({}, "451 later", "retry"),
        ({}, "552 too large", "dead"),
        ({"a@example.com": "450 greylisted"}, "250 OK", "retry"),
        ({"a@example.com": "550 no such user"}, "250 OK", "dead"),
        ({"a@example.com": "550 no such user", "b@example.com": "451 later"}, "250 OK", "retry"),
        ({"a@example.com": "550 no", "b@example.com": "550 no"}, "250 OK", "dead"),
    ],
)
def test_who_is_refused_is_named_and_nobody_is_passed_over(
    refuses: dict[str, str], data: str, ended: str
) -> None:
    mailbox = Mailbox()
    mailbox.refuses, mailbox.data = refuses, data
    with serving(mailbox) as port:
        answer = mailed(port)
    assert answer.ended == ended
    assert all(each in answer.detail for each in refuses)


def test_a_mail_server_inside_is_refused_unless_it_is_allowed() -> None:
    mailbox = Mailbox()
    with serving(mailbox) as port:
        answer = mail.channel(settings(port), out(allow=()))(sending(told()), NOW)
    assert (answer.ended, mailbox.got) == ("dead", [])
    assert "this machine itself" in answer.detail


def test_a_server_that_is_away_is_tried_again() -> None:
    with serving(Mailbox()) as port:
        pass
    assert mailed(port).ended == "retry"


@pytest.mark.parametrize(
    ("more", "key"),
    [
        ({"sender": "auditor"}, "sender"),
        ({"sender": "a@example.com\r\nBcc: x@example.com"}, "sender"),
        ({"to": ()}, "to"),
        ({"to": ("a@example.com, b@example.com",)}, "to"),
        ({"to": ("a@localhost",)}, "to"),
        ({"host": "0x7f.1"}, "host"),
        ({"port": 0}, "port"),
        ({"username": "me"}, "username"),
    ],
)
def test_settings_that_do_not_fit_together_are_named(more: dict[str, Any], key: str) -> None:
    assert key in [name for name, _ in settings(**more).mistakes()]
    assert list(settings().mistakes()) == []
