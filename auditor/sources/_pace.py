"""As many calls a minute as a quota allows, and no more in any minute."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

MINUTE = 60.0
"""Seconds of the stretch in which calls are counted."""


class Pace:
    """Lets `calls` calls through in any 60 seconds; one thread at a time asks it."""

    def __init__(
        self,
        calls: int,
        *,
        waiting: Callable[[float], None] = lambda _seconds: None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """`waiting` is told how many seconds it waits, before it does; `clock` counts seconds and never goes back."""
        self._calls = max(1, calls)
        self._waiting, self._clock, self._sleep = waiting, clock, sleep
        self._at: deque[float] = deque(maxlen=self._calls)

    def __call__(self) -> None:
        """Return when the next call may be made, and count it."""
        if len(self._at) == self._calls:
            while (left := self._at[0] + MINUTE - self._clock()) > 0:
                self._waiting(left)
                self._sleep(left)
        self._at.append(self._clock())
