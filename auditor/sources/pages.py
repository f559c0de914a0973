"""A record of every page that the clouds answered with.

What an auditor calls completeness and accuracy starts here: each answered page is recorded with
its operation, parameters, account, region, size and SHA-256, and kept whole when asked for.
"""

from __future__ import annotations

import gzip
import hashlib
import time
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from threading import Lock
from typing import Any


@dataclass(slots=True)
class Page:
    """One answered call."""

    source: str
    cloud: str
    service: str
    operation: str
    params: str
    account: str
    region: str
    rows: int | None
    """Items listed; None where they were not counted."""
    size: int
    sha256: str


class Pages:
    """Every answered page of a scan, from any thread."""

    def __init__(self, raw: Path | None = None, now: datetime | None = None) -> None:
        """Keep pages whole, gzipped, in the folder `raw`; only their digests when it is None. `now`: the scan's time."""
        self._raw = raw
        self._now = now
        self._began = time.monotonic()
        self._lock = Lock()
        self._pages: list[Page] = []
        self._failed: Counter[str] = Counter()
        self._clocks: dict[tuple[str, str], tuple[int, int]] = {}
        self.unwritten: OSError | None = None
        """Why a page could not be kept: then what was kept is not whole."""

    def answered(self, page: Page, body: bytes) -> Page:
        """Record a page and its body as it came."""
        page.size = len(body)
        page.sha256 = hashlib.sha256(body).hexdigest()
        with self._lock:
            self._pages.append(page)
        if self._raw is not None:
            self._raw.mkdir(exist_ok=True)
            self._keep(self._raw / f"{page.sha256}.gz", body)
        return page

    def _keep(self, path: Path, body: bytes) -> None:
        try:
            if not path.exists():
                path.write_bytes(gzip.compress(body, 6, mtime=0))
        except OSError as error:
            self.unwritten = self.unwritten or error
            raise

    def streamed(self, page: Page) -> Page:
        """Record a page whose body is still to be read; its size and digest are set as it is."""
        with self._lock:
            self._pages.append(page)
        return page

    def failed(self, operation: str) -> None:
        """Count a call that was answered with an error, each attempt."""
        with self._lock:
            self._failed[operation] += 1

    def told_time(self, cloud: str, service: str, told: str) -> None:
        """Note a service's clock, as the Date header of an answer that just came told it, beside the scan's own time.

        Only what is certain counts: the header names a second, and the answer was made between the scan's begin and now.
        """
        from email.utils import parsedate_to_datetime

        if self._now is None:
            return
        try:
            at = int(parsedate_to_datetime(told).timestamp())
        except (TypeError, ValueError, OverflowError):
            return
        begun = self._now.timestamp()
        answered = begun + time.monotonic() - self._began
        ahead = int(begun - (at + 1)) if begun > at + 1 else -int(at - answered) if at > answered else 0
        with self._lock:
            answers, most = self._clocks.get((cloud, service), (0, 0))
            self._clocks[cloud, service] = (answers + 1, max(most, ahead, key=lambda skew: (abs(skew), skew)))

    def clocks(self) -> list[dict[str, Any]]:
        """Return how far each service's clock was from the host's: rows of `api_clock`."""
        with self._lock:
            return [
                {"cloud": cloud, "service": service, "answers": answers, "skew_s": skew}
                for (cloud, service), (answers, skew) in sorted(self._clocks.items())
            ]

    def queries(self) -> list[dict[str, Any]]:
        """Return what was asked, a line per source, place and operation, sorted."""
        groups: dict[tuple[str, ...], list[Page]] = {}
        with self._lock:
            for page in self._pages:
                key = (
                    page.source,
                    page.cloud,
                    page.service,
                    page.operation,
                    page.account,
                    page.region,
                )
                groups.setdefault(key, []).append(page)
        names = ("source", "cloud", "service", "operation", "account", "region")
        return [
            dict(zip(names, key, strict=True))
            | {
                "params": _digest(sorted({page.params for page in group})),
                "example": min(page.params for page in group),
                "pages": len(group),
                "rows": None
                if any(page.rows is None for page in group)
                else sum(page.rows or 0 for page in group),
                "bytes": sum(page.size for page in group),
                "sha256": _digest(sorted(page.sha256 for page in group)),
            }
            for key, group in sorted(groups.items())
        ]

    def calls(self) -> dict[str, int]:
        """Return how often each operation was answered: `service:Operation` to calls."""
        with self._lock:
            return dict(sorted(Counter(f"{p.service}:{p.operation}" for p in self._pages).items()))

    def refused(self) -> dict[str, int]:
        """Return how often each operation was answered with an error."""
        with self._lock:
            return dict(sorted(self._failed.items()))


def _digest(parts: list[str]) -> str:
    return hashlib.sha256("".join(part + "\n" for part in parts).encode()).hexdigest()
