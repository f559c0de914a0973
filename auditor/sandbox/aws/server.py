"""The HTTP server under the emulated AWS: werkzeug's threaded one, with connections that last, and moto behind our gate."""

from __future__ import annotations

import os
import re
import sys
from contextlib import suppress
from io import BufferedIOBase
from socket import SHUT_RDWR, socket
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import unquote

if TYPE_CHECKING:
    from auditor.sandbox.aws.cloud import AwsCloud

MOTO_SERVICES: tuple[Any, ...] = ("s3", "iam")
"""Services moto answers a part of; each is loaded before the first request.

moto loads a service on its first request and is not safe when two come at once (RuntimeError at backend load).
"""

_LONGEST_LINE, _MOST_HEADERS = 65_537, 100
"""What the library reads of a head before it refuses it."""
_PLAIN_HEADER = re.compile(rb"[A-Za-z0-9-]+:[^\r\n]*\r\n").fullmatch
_BARE = frozenset({"CONTENT_TYPE", "CONTENT_LENGTH"})
"""Headers that WSGI names without `HTTP_` (PEP 3333)."""


class _ReadOn:
    """Lines that were read already, then the rest of what they were read from."""

    def __init__(self, lines: list[bytes], rest: BufferedIOBase) -> None:
        self._lines = iter(lines)
        self._rest = rest

    def readline(self, limit: int = -1) -> bytes:
        """Return the next line."""
        line = next(self._lines, None)
        return self._rest.readline(limit) if line is None else line


def serve(cloud: AwsCloud) -> Any:
    """Return a server bound to a free port of 127.0.0.1, not yet serving."""
    os.environ.setdefault("MOTO_ALLOW_NONEXISTENT_REGION", "true")
    from moto.core.request import PRESERVED_HEADER_NAMES_ENVIRON_KEY
    from moto.moto_server.werkzeug_app import (
        DomainDispatcherApplication,
        MotoRequestHandler,
        create_backend_app,
    )
    from werkzeug.serving import ThreadedWSGIServer

    from auditor.sandbox.aws.gate import Gate
    from auditor.sandbox.aws.wire import MAKING_ROUTES, one_loader, only_matched

    class Handler(MotoRequestHandler):
        """Answer request after request on one connection, as AWS does.

        werkzeug's own closes it each time, which costs both sides a third of a call.
        """

        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            """Remember the connection: a server that stops must hang up."""
            super().setup()
            server.connections.add(self.connection)

        def finish(self) -> None:
            """Forget the connection."""
            server.connections.discard(self.connection)
            super().finish()

        def parse_request(self) -> bool:
            """Read a request's head; one that is not as botocore writes it is left to the library, which reads any."""
            words = str(self.raw_requestline, "latin-1").split()
            if len(words) != 3 or words[2] != "HTTP/1.1" or words[1].startswith("//"):
                return super().parse_request()
            lines: list[bytes] = []
            while (line := self.rfile.readline(_LONGEST_LINE)) != b"\r\n":
                lines.append(line)
                if not _PLAIN_HEADER(line) or len(lines) > _MOST_HEADERS:
                    return self._as_ever(lines)
            self.requestline = " ".join(words)
            self.command, self.path, self.request_version = words
            self.headers = self.MessageClass()
            for line in lines:
                name, _, value = str(line, "latin-1").partition(":")
                self.headers.set_raw(name, value.lstrip(" \t").rstrip("\r\n"))
            self.close_connection = self.headers.get("Connection", "").lower() == "close"
            return True

        def _as_ever(self, lines: list[bytes]) -> bool:
            """Let the library read a head whose first lines are read already."""
            connection = self.rfile
            self.rfile = cast("BufferedIOBase", _ReadOn(lines, connection))
            try:
                return super().parse_request()
            finally:
                self.rfile = connection

        def make_environ(self) -> dict[str, Any]:
            """Return WSGI's view of a request: for a plain one what the library returns, without its detours."""
            path, _, query = self.path.partition("?")
            headers = self.headers.items()
            names = {name.upper().replace("-", "_") for name, _ in headers}
            if (
                not path.startswith("/")
                or "#" in self.path
                or not self.path.isascii()
                or "TRANSFER_ENCODING" in names
                or len(names) != len(headers)
                or any("_" in name for name, _ in headers)
            ):
                return super().make_environ()
            environ: dict[str, Any] = {
                "wsgi.version": (1, 0),
                "wsgi.url_scheme": "http",
                "wsgi.input": self.rfile,
                "wsgi.errors": sys.stderr,
                "wsgi.multithread": self.server.multithread,
                "wsgi.multiprocess": self.server.multiprocess,
                "wsgi.run_once": False,
                "werkzeug.socket": self.connection,
                "SERVER_SOFTWARE": self.server_version,
                "REQUEST_METHOD": self.command,
                "SCRIPT_NAME": "",
                "PATH_INFO": unquote(path).encode().decode("latin-1"),
                "QUERY_STRING": query,
                "REQUEST_URI": self.path,
                "RAW_URI": self.path,
                "REMOTE_ADDR": self.address_string(),
                "REMOTE_PORT": self.port_integer(),
                "SERVER_NAME": self.server.server_address[0],
                "SERVER_PORT": str(self.server.server_address[1]),
                "SERVER_PROTOCOL": self.request_version,
                PRESERVED_HEADER_NAMES_ENVIRON_KEY: {},
            }
            for name, value in headers:
                key = name.upper().replace("-", "_")
                environ[key if key in _BARE else f"HTTP_{key}"] = value
            return environ

        def run_wsgi(self) -> None:
            """Answer one request; its body was read to the end by the gate."""
            if self.headers.get("Expect", "").lower() == "100-continue":
                self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            said: list[Any] = []

            def start_response(*given: Any) -> Any:
                said[:] = given[:2]

            try:
                body = b"".join(self.server.app(self.make_environ(), start_response))
            except ConnectionError:
                raise
            except (
                BaseException
            ):  # a crash is an answer too, and its traceback is for whoever runs the sandbox
                self.wfile.write(b"HTTP/1.1 500 Crashed\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                raise
            status, headers = said
            # The reply is dated by the sandbox's clock, not the wall's.
            lines = [f"HTTP/1.1 {status}", f"Date: {cloud.books.now:%a, %d %b %Y %H:%M:%S} GMT"]
            lines += [f"{name}: {value}" for name, value in headers]
            head = "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"
            bare = self.command == "HEAD" or status.startswith(("204", "304"))
            self.wfile.write(head if bare else head + body)
            # Of a body that is cut the caller waits for the rest until we hang up.
            if not bare and len(body) != int(dict(headers)["Content-Length"]):
                self.close_connection = True

        def connection_dropped(self, *_: Any, **__: Any) -> None:
            """Close, so that the caller sees what a dropped connection looks like."""
            self.close_connection = True

    class Server(ThreadedWSGIServer):
        """Hang up on who is still connected when it closes."""

        connections: set[socket]

        def server_close(self) -> None:
            """Close the door, then every connection."""
            super().server_close()
            for connection in tuple(self.connections):
                with suppress(OSError):
                    connection.shutdown(SHUT_RDWR)

    moto = DomainDispatcherApplication(create_backend_app)
    only_matched()
    one_loader()
    with cloud.world.entered(), MAKING_ROUTES:
        for service in MOTO_SERVICES:
            moto.app_instances[service] = create_backend_app(service)
    server = Server("127.0.0.1", 0, Gate(cloud, moto), handler=Handler)
    server.connections = set()
    return server
