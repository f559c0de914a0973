"""The port: /healthz, /readyz and /metrics, and nothing else. It reads what the loops noted, never the ledger."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from auditor import __version__
from auditor.errors import ConfigError

Answer = tuple[int, str, str]
"""Status, content type, text."""
_PATIENCE_S = 5
"""A client that says nothing for so long is let go."""
_TEXT = "text/plain; charset=utf-8"


class Port:
    """A listening port, served by threads of its own."""

    def __init__(self, address: tuple[str, int], pages: dict[str, Callable[[], Answer]]) -> None:
        host, port = address

        class Handler(BaseHTTPRequestHandler):
            timeout = _PATIENCE_S
            server_version = f"auditor/{__version__}"
            sys_version = ""

            def do_GET(self) -> None:
                self._answer(body=True)

            def do_HEAD(self) -> None:
                self._answer(body=False)

            def _answer(self, *, body: bool) -> None:
                page = pages.get(self.path.partition("?")[0])
                status, kind, text = (
                    page() if page else (404, _TEXT, "there is " + ", ".join(sorted(pages)) + "\n")
                )
                told = text.encode()
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(told)))
                self.send_header("Cache-Control", "no-store")
                self.send_header("X-Content-Type-Options", "nosniff")
                self.end_headers()
                if body:
                    self.wfile.write(told)

            def log_message(self, *_: Any) -> None:
                """Say nothing: a probe every few seconds is no event."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            address_family = socket.AF_INET6 if ":" in host else socket.AF_INET

            def handle_error(self, *_: Any) -> None:
                """Let go of a client that went away."""

        try:
            self._server = Server((host, port), Handler)
        except OSError as error:
            raise ConfigError(
                f"nothing can listen at {host}:{port}: {error.strerror or error}",
                remedy="Name another [service] listen, or stop what listens there.",
            ) from None
        threading.Thread(target=self._server.serve_forever, args=(0.2,), name="port", daemon=True).start()

    @property
    def number(self) -> int:
        """The port that was given, where any was asked for."""
        return int(self._server.server_address[1])

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def as_json(status: int, said: dict[str, Any]) -> Answer:
    """Return an answer for machines."""
    return status, "application/json", json.dumps(said, sort_keys=True) + "\n"


def as_text(status: int, said: str) -> Answer:
    """Return an answer in words."""
    return status, _TEXT, said + "\n"
