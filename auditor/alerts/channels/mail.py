"""E-mail by SMTP, over TLS from the first byte or by STARTTLS, never without.

The Message-ID is that of the alert, so that a second copy is known for what it is; what ends a matter answers to
the mail that opened it.
"""

from __future__ import annotations

import html
import smtplib
import ssl
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from typing import Literal

from auditor.alerts.address import Limits, RefusedAddressError, canonical_host
from auditor.alerts.deliver import Answer, Send
from auditor.alerts.outgoing import Deadline, Out, connected, quoted, trust
from auditor.alerts.routes import Wants
from auditor.alerts.secret import reveal
from auditor.alerts.words import Words, fitted, said
from auditor.config_sections import Secret
from auditor.ledger import Sending


@dataclass(frozen=True, slots=True)
class Settings(Wants):
    """People who are told by e-mail."""

    host: str = ""
    """The mail server; empty switches the route off. A server inside stands in [alerts] allow too."""
    port: int = 587
    """Its port: 587 for STARTTLS, 465 for TLS from the first byte."""
    tls: Literal["starttls", "implicit"] = "starttls"
    """How the connection is secured: starttls or implicit."""
    username: str = ""
    """Who signs in; empty: nobody."""
    password: Secret = ""
    """The password, as env:NAME or file:PATH."""
    sender: str = ""
    """Address that it comes from."""
    to: tuple[str, ...] = ()
    """Addresses that it goes to."""

    @property
    def on(self) -> bool:
        """Say whether it has a server."""
        return bool(self.host)

    def mistakes(self) -> Iterator[tuple[str, str]]:
        """Yield what does not fit together."""
        yield from Wants.mistakes(self)
        if not self.host:
            return
        try:
            canonical_host(self.host)
        except RefusedAddressError as error:
            yield "host", str(error)
        if not 0 < self.port < 65_536:
            yield "port", "is no port"
        if bool(self.username) != bool(self.password):
            yield "username", "and password go together"
        if not self.to:
            yield "to", "names nobody"
        for key, text in (("sender", self.sender), *(("to", each) for each in self.to)):
            if not _is_address(text):
                yield key, f"{text!r} is not an address such as security@example.com"


def channel(settings: Settings, out: Out) -> Send:
    """Return the function that mails."""

    def send_one(sending: Sending, _now: datetime) -> Answer:
        return sent(
            settings, out, fitted(said(sending), lambda words: message(settings, sending, words), len)
        )

    return send_one


def sent(settings: Settings, out: Out, mail: bytes) -> Answer:
    """Make one attempt to hand a mail to the server."""
    password = reveal(settings.password) if settings.password else ""
    deadline = Deadline(settings.timeout_s)
    try:
        return _mailed(settings, out, mail, password, deadline)
    except RefusedAddressError as error:
        return Answer("dead", f"refused: {error}")
    except smtplib.SMTPResponseException as error:
        told = error.smtp_error
        text = told.decode("utf-8", "replace") if isinstance(told, bytes) else str(told)
        return _ended(error.smtp_code, f"SMTP {error.smtp_code}: {text}", password)
    except (OSError, smtplib.SMTPException) as error:
        return Answer("retry", quoted(f"{settings.host}: {type(error).__name__}: {error}", [password]))
    finally:
        deadline.done()


def message(settings: Settings, sending: Sending, words: Words) -> bytes:
    """Return the mail: plain text and HTML that say the same."""
    domain = settings.sender.rpartition("@")[2]
    mail = EmailMessage(policy=SMTP)
    mail["Subject"] = words.title
    mail["From"] = Address("auditor", addr_spec=settings.sender)
    mail["To"] = [Address(addr_spec=each) for each in settings.to]
    mail["Date"] = sending.created_at
    mail["Message-ID"] = f"<{words.alert_id}@{domain}>"
    earlier = [each for each in (*sending.incidents, *sending.closes) if each != words.alert_id]
    if earlier:
        mail["In-Reply-To"] = f"<{earlier[0]}@{domain}>"
        mail["References"] = " ".join(f"<{each}@{domain}>" for each in earlier[:10])
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: no answering machine answers it
    mail["X-Auditor-Event"] = words.event
    mail["X-Auditor-Severity"] = words.severity
    mail.set_content("\n".join(words.lines()) + "\n")
    mail.add_alternative(_html(words), subtype="html")
    mail.set_boundary(f"=_{words.alert_id}")
    return mail.as_bytes()


def _html(words: Words) -> str:
    rows = [f"<h1 style='font-size:16px'>{html.escape(words.title)}</h1>", _table(words.facts)]
    for part in words.parts:
        rows += [f"<h2 style='font-size:14px'>{html.escape(part.title)}</h2>", _table(part.facts)]
    if words.more:
        rows.append(f"<p>{html.escape(words.more)}</p>")
    return "<!doctype html><html><body>" + "\n".join(rows) + "</body></html>\n"


def _table(facts: tuple[tuple[str, str], ...]) -> str:
    lines = (f"<tr><th align='left'>{html.escape(k)}</th><td>{html.escape(v)}</td></tr>" for k, v in facts)
    return f"<table>{''.join(lines)}</table>" if facts else ""


def _mailed(settings: Settings, out: Out, mail: bytes, password: str, deadline: Deadline) -> Answer:
    context = trust(out.outgoing)
    server = _Server(settings, out, context, deadline)
    with closing(server):
        server.ehlo_or_helo_if_needed()
        if settings.tls == "starttls":
            server.starttls(context=context)
            server.ehlo()
        if settings.username:
            server.login(settings.username, password)
        try:
            refused = server.sendmail(settings.sender, settings.to, mail)
        except smtplib.SMTPRecipientsRefused as error:
            refused = error.recipients
        with suppress(smtplib.SMTPException, OSError):  # it has what it took, however it takes leave
            server.quit()
    if not refused:
        return Answer("delivered", f"accepted for {len(settings.to)}")
    told = "; ".join(
        f"{to} refused: {code} {text.decode('utf-8', 'replace')}"
        for to, (code, text) in sorted(refused.items())
    )
    temporary = any(code < 500 for code, _ in refused.values())
    return _ended(450 if temporary else 550, told, password)


def _ended(code: int, told: str, password: str) -> Answer:
    """Say what a server's code means: 5xx is final (RFC 5321, 4.2.1)."""
    return Answer("dead" if code >= 500 else "retry", quoted(told, [password]))


class _Server(smtplib.SMTP):
    """A mail server at an address that was judged, under the name it was asked for by."""

    def __init__(self, settings: Settings, out: Out, context: ssl.SSLContext, deadline: Deadline) -> None:
        self._out = out
        self._deadline = deadline
        self._implicit = context if settings.tls == "implicit" else None
        host = canonical_host(settings.host)
        super().__init__(host, settings.port, local_hostname="localhost", timeout=settings.timeout_s)

    def _get_socket(self, host: str, port: int, _timeout: float) -> ssl.SSLSocket | object:
        limits = Limits.of(self._out.outgoing.allow)
        sock = connected(host, port, limits, self._out.lookup, self._deadline)
        if self._implicit is not None:
            return self._implicit.wrap_socket(sock, server_hostname=host)
        return sock


def _is_address(text: str) -> bool:
    if not text.isascii() or not text.isprintable() or " " in text:
        return False
    name, at, domain = text.rpartition("@")
    if not at or not name or "@" in name or not set(name).isdisjoint('<>(),;:\\"[]'):
        return False
    try:
        return canonical_host(domain) == domain.lower() and "." in domain
    except RefusedAddressError:
        return False
