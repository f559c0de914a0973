"""Cloud Storage on loopback: what the JSON API answers to a listing and to reads of ranges, under the real client.

Shapes by cloud.google.com/storage/docs/json_api/v1 (objects.list, objects.get): names in their byte order, a generation for each
upload, `startOffset` itself in the answer, 416 for a range past the end.
"""

from __future__ import annotations

import json
import re
import threading
from base64 import b64encode
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

from auditor.sandbox.faults import Faults

_LISTING = re.compile(r"/storage/v1/b/([^/]+)/o")
_OBJECT = re.compile(r"/download/storage/v1/b/([^/]+)/o/([^/]+)")
_RANGE = re.compile(r"bytes=(\d+)-(\d*)")
_REFUSALS = {
    "deny": (403, "does not have storage.objects access to the Google Cloud Storage bucket."),
    "throttle": (429, "The rate of requests is too high."),
    "fail": (503, "Backend Error"),
    "expire": (401, "Invalid Credentials"),
}


@dataclass(frozen=True, slots=True)
class Stored:
    """One object."""

    body: bytes
    at: datetime
    generation: int


class ObjectStore:
    """Buckets of one sandbox; seed them at any time."""

    def __init__(self, faults: Faults | None = None, *, page: int = 1000) -> None:
        """`page`: objects of a page of a listing, at most."""
        self.faults = faults or Faults()
        self.calls: Counter[str] = Counter()
        self._page = page
        self._buckets: dict[str, dict[str, Stored]] = {}
        self._made = 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                outer.serve(self)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.faults.clear()
        self._server.shutdown()
        self._server.server_close()

    def put(self, bucket: str, name: str, body: bytes, *, at: datetime) -> None:
        """Upload an object, or replace it."""
        self._made += 1
        self._buckets.setdefault(bucket, {})[name] = Stored(body, at, 1_700_000_000_000_000 + self._made)

    def drop(self, bucket: str, name: str) -> None:
        """Delete an object; KeyError when there is none."""
        del self._buckets[bucket][name]

    def serve(self, request: BaseHTTPRequestHandler) -> None:
        """Answer one request."""
        parts = urlsplit(request.path)
        asked = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        headers: dict[str, str] = {}
        if found := _LISTING.fullmatch(parts.path):
            bucket = unquote(found[1])
            status, body = self._told("ListObjects", bucket, None) or self._listed(bucket, asked)
        elif found := _OBJECT.fullmatch(parts.path):
            bucket, name = unquote(found[1]), unquote(found[2])
            refused = self._told("GetObject", bucket, name)
            status, body, headers = (*refused, {}) if refused else self._read(bucket, name, asked, request)
        else:
            status, body = _refusal(404, "Not Found")
        request.send_response(status)
        for key, value in {
            "Content-Type": "application/json",
            **headers,
            "Content-Length": str(len(body)),
        }.items():
            request.send_header(key, value)
        request.end_headers()
        request.wfile.write(body)

    def _told(self, operation: str, bucket: str, name: str | None) -> tuple[int, bytes] | None:
        self.calls[operation] += 1
        kind = self.faults.hit("storage", operation, bucket, None, name)
        if kind == "empty":
            return 200, b"{}"
        if kind == "garbage":
            return 200, b"<html>"
        return _refusal(*_REFUSALS[kind]) if kind in _REFUSALS else None

    def _listed(self, bucket: str, asked: Mapping[str, str]) -> tuple[int, bytes]:
        if bucket not in self._buckets:
            return _refusal(404, "The specified bucket does not exist.")
        first = max(asked.get("startOffset", ""), asked.get("pageToken", ""))
        names = sorted(
            name
            for name in self._buckets[bucket]
            if name.startswith(asked.get("prefix", "")) and name >= first
        )
        items = [_item(bucket, name, self._buckets[bucket][name]) for name in names[: self._page]]
        more = {"nextPageToken": names[self._page]} if len(names) > self._page else {}
        return 200, json.dumps(
            {"kind": "storage#objects", **({"items": items} if items else {}), **more}
        ).encode()

    def _read(
        self, bucket: str, name: str, asked: Mapping[str, str], request: BaseHTTPRequestHandler
    ) -> tuple[int, bytes, dict[str, str]]:
        stored = self._buckets.get(bucket, {}).get(name)
        if stored is None or asked.get("generation", str(stored.generation)) != str(stored.generation):
            return (*_refusal(404, f"No such object: {bucket}/{name}"), {})
        whole, size = stored.body, len(stored.body)
        ranged = _RANGE.fullmatch(request.headers.get("Range", ""))
        if ranged is None:
            return 200, whole, {"Content-Type": "application/octet-stream"}
        start, end = int(ranged[1]), min(int(ranged[2] or size), size - 1)
        if start >= size:
            return (*_refusal(416, "Requested range not satisfiable"), {"Content-Range": f"bytes */{size}"})
        told = {"Content-Type": "application/octet-stream", "Content-Range": f"bytes {start}-{end}/{size}"}
        return 206, whole[start : end + 1], told


def _item(bucket: str, name: str, stored: Stored) -> dict[str, Any]:
    from google_crc32c import Checksum

    sum_: Any = Checksum(stored.body)  # type: ignore[no-untyped-call]
    return {
        "kind": "storage#object",
        "bucket": bucket,
        "name": name,
        "size": str(len(stored.body)),
        "generation": str(stored.generation),
        "crc32c": b64encode(sum_.digest()).decode(),
        "timeCreated": stored.at.isoformat().replace("+00:00", "Z"),
        "updated": stored.at.isoformat().replace("+00:00", "Z"),
    }


def _refusal(status: int, message: str) -> tuple[int, bytes]:
    return status, json.dumps({"error": {"code": status, "message": message}}).encode()


def delivered(entries: Iterable[Mapping[str, Any]]) -> dict[str, tuple[bytes, datetime]]:
    """Return the files that a sink makes of entries in JSON: name to body and time of delivery.

    An entry received in the hour of its own time stands in a main shard, another in an addendum.
    """
    lines: dict[str, list[tuple[datetime, str]]] = {}
    for entry in entries:
        at, received = (datetime.fromisoformat(entry[key]) for key in ("timestamp", "receiveTimestamp"))
        hour, came = (_hour(each.astimezone(UTC)) for each in (at, received))
        log = unquote(entry["logName"].partition("/logs/")[2])
        shard = "S0" if hour == came else f"A0:{int((came + timedelta(hours=1)).timestamp())}"
        name = f"{log}/{hour:%Y/%m/%d}/{hour:%H}:00:00_{hour:%H}:59:59_{shard}.json"
        lines.setdefault(name, []).append((came + timedelta(hours=1, minutes=10), json.dumps(entry)))
    return {
        name: ("".join(f"{line}\n" for _, line in found).encode(), max(at for at, _ in found))
        for name, found in sorted(lines.items())
    }


def _hour(at: datetime) -> datetime:
    return at.replace(minute=0, second=0, microsecond=0)
