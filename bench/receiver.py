"""A receiver of webhooks on this machine, behind a certificate made for it: it notes what came, and when."""

from __future__ import annotations

import ipaddress
import json
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

SECRET = "whsec_" + "A" * 43 + "="
"""Signs what is sent here; BENCH_HOOK in the environment of whoever sends."""


@dataclass(frozen=True, slots=True)
class Came:
    """One message."""

    at_s: float
    """By the clock that only grows."""
    alert_id: str
    body: dict[str, Any]


class Receiver:
    """Takes whatever comes."""

    def __init__(self, folder: Path) -> None:
        self.got: list[Came] = []
        self.trusted, served = _certificates(folder)
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                receiver.got.append(Came(time.monotonic(), str(self.headers["webhook-id"]), body))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(served)
        self.server.socket = context.wrap_socket(
            self.server.socket, server_side=True, do_handshake_on_connect=False
        )
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        self.url = f"https://127.0.0.1:{self.server.server_port}/hook"

    def config(self, *more: str) -> str:
        """Return the sections of a configuration that send here; `more` are lines of the route."""
        return "\n".join(
            (
                "[alerts]",
                'allow = ["127.0.0.1/32"]',
                f'ca_file = "{self.trusted}"',
                "[alerts.hook]",
                'channel = "webhook"',
                f'url = "{self.url}"',
                'secret = "env:BENCH_HOOK"',
                *more,
                "",
            )
        )


@contextmanager
def receiving(folder: Path) -> Iterator[Receiver]:
    """Start one; it ends with the block."""
    started = Receiver(folder)
    try:
        yield started
    finally:
        started.server.shutdown()
        started.server.server_close()


def _certificates(folder: Path) -> tuple[Path, Path]:
    """Return what to trust, and what to serve with: the certificate and its key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "receiver of the bench")])
    now = datetime.now(UTC)  # noqa: TID251 - a certificate holds by the true clock
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=2))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), True)
        .sign(key, hashes.SHA256())
    )
    pem = made.public_bytes(serialization.Encoding.PEM)
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "ca.pem").write_bytes(pem)
    (folder / "served.pem").write_bytes(secret + pem)
    return folder / "ca.pem", folder / "served.pem"
