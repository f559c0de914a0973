"""The HTTP server under the emulated AWS: werkzeug's threaded one, with connections that last, and moto behind our gate."""

from __future__ import annotations

import os
from contextlib import suppress
from socket import SHUT_RDWR, socket
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from auditor.sandbox.aws.cloud import AwsCloud

MOTO_SERVICES: tuple[Any, ...] = ("s3", "iam")
"""Services moto answers a part of; each is loaded before the first request.

moto loads a service on its first request and is not safe when two come at once (RuntimeError at backend load).
"""


def serve(cloud: AwsCloud) -> Any:
    """Return a server bound to a free port of 127.0.0.1, not yet serving."""
    os.environ.setdefault("MOTO_ALLOW_NONEXISTENT_REGION", "true")
    from moto.moto_server.werkzeug_app import (
        DomainDispatcherApplication,
        MotoRequestHandler,
        create_backend_app,
    )
    from werkzeug.serving import ThreadedWSGIServer

    from auditor.sandbox.aws.gate import Gate

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
    with cloud.world.entered():
        for service in MOTO_SERVICES:
            moto.app_instances[service] = create_backend_app(service)
    server = Server("127.0.0.1", 0, Gate(cloud, moto), handler=Handler)
    server.connections = set()
    return server
