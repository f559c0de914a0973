"""The HTTP server under the emulated AWS: werkzeug's threaded one, with moto behind our gate."""

from __future__ import annotations

import os
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
    from werkzeug.serving import make_server

    from auditor.sandbox.aws.gate import Gate

    class QuietHandler(MotoRequestHandler):
        """Log errors alone, and close a connection that a fault dropped."""

        def log(self, type: str, message: str, *given: Any) -> None:  # noqa: A002 - AWS's and werkzeug's word
            """Say what went wrong; the calls are counted elsewhere."""
            if type == "error":
                super().log(type, message, *given)

        def date_time_string(self, timestamp: Any = None) -> str:  # noqa: ARG002 - the stdlib's signature
            """Date replies by the sandbox's clock, not the wall's."""
            return f"{cloud.books.now:%a, %d %b %Y %H:%M:%S} GMT"

        def connection_dropped(self, *_: Any, **__: Any) -> None:
            """Close, so that the caller sees what a dropped connection looks like."""
            self.close_connection = True

    moto = DomainDispatcherApplication(create_backend_app)
    with cloud.world.entered():
        for service in MOTO_SERVICES:
            moto.app_instances[service] = create_backend_app(service)
    return make_server("127.0.0.1", 0, Gate(cloud, moto), threaded=True, request_handler=QuietHandler)
