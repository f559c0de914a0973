"""A receiver on this machine behind a certificate made for the test, and alerts to send to it."""

from __future__ import annotations

import atexit
import ipaddress
import shutil
import ssl
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from auditor.alerts.outgoing import Out
from auditor.config_alerts import Outgoing
from auditor.ledger import Alert

NOW = datetime.now(UTC).replace(microsecond=0)  # noqa: TID251 - independent verifiers and certificates read the clock
LOOPBACK = "127.0.0.1/32"
NAME = "hooks.example.com"
Reply = tuple[int, dict[str, str], bytes]


@cache
def certificates() -> tuple[Path, Path]:
    """Return a certificate that vouches for itself, for this machine, and its key with it: (what to trust, what to serve)."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "receiver of the tests")])
    hosts = [x509.DNSName(each) for each in (NAME, "localhost", "*.amazonaws.com", "pubsub.googleapis.com")]
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(NOW + timedelta(days=2))
        .add_extension(
            x509.SubjectAlternativeName([*hosts, x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), True)
        .sign(key, hashes.SHA256())
    )
    folder = Path(tempfile.mkdtemp(prefix="auditor-certificates-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    pem = made.public_bytes(serialization.Encoding.PEM)
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "ca.pem").write_bytes(pem)
    (folder / "served.pem").write_bytes(secret + pem)
    return folder / "ca.pem", folder / "served.pem"


def served() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates()[1])
    return context


class Receiver:
    """Answers as it is told and keeps what it got."""

    def __init__(self) -> None:
        self.got: list[tuple[str, dict[str, str], bytes]] = []
        self.reply: Callable[[int], Reply | None] = lambda _: (204, {}, b"")
        """Told how many messages came before; None drops the connection without a word."""
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                receiver.got.append((self.path, headers, body))
                answer = receiver.reply(len(receiver.got) - 1)
                if answer is None:
                    self.connection.close()
                    return
                status, more, heard = answer
                self.send_response(status)
                for name, value in more.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(heard)

            def log_message(self, *_: object) -> None:
                return

        class Server(ThreadingHTTPServer):
            def handle_error(self, *_: Any) -> None:
                return

        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.socket = served().wrap_socket(
            self.server.socket, server_side=True, do_handshake_on_connect=False
        )
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        self.port = self.server.server_port
        self.url = f"https://127.0.0.1:{self.port}/hook?team=a"

    def ids(self) -> list[str]:
        return [headers["webhook-id"] for _, headers, _ in self.got]

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@contextmanager
def receiving() -> Iterator[Receiver]:
    started = Receiver()
    try:
        yield started
    finally:
        started.close()


def out(allow: Sequence[str] = (LOOPBACK,), **more: Any) -> Out:
    """Return a way out that trusts the certificate of the tests."""
    lookup = {"lookup": more.pop("lookup")} if "lookup" in more else {}
    return Out(Outgoing(tuple(allow), str(certificates()[0]), **more), **lookup)


def alerts(count: int = 1, channel: str = "hook") -> list[Alert]:
    return [
        Alert(f"msg_{n}", channel, "opened", (f"k{n}",), {"type": "auditor.opened", "n": n, "t": "é"})
        for n in range(count)
    ]
