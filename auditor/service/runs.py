"""Runs in processes of their own: their memory returns with their end, and no crash of theirs takes the service along."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO

from auditor.errors import FAILING, INCOMPLETE, BusyError
from auditor.ledger.agenda import Slot
from auditor.service.instance import Ended

_DONE = (0, FAILING, INCOMPLETE)
"""Exit codes after which the run's work is recorded."""
_TAIL = 4096
_LINES = 3


@dataclass(slots=True)
class ChildRun:
    """One command that runs for a slot."""

    command: Sequence[str]
    env: Mapping[str, str]
    _process: subprocess.Popen[bytes] | None = None
    _said: IO[bytes] | None = None
    _failed: Ended | None = None
    _stopped: bool = field(default=False)

    def begin(self) -> ChildRun:
        """Start it; in a session of its own, so that Ctrl-C reaches the service alone."""
        try:
            self._said = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the child lives
            self._process = subprocess.Popen(  # noqa: S603 - our own command, no shell
                self.command,
                env=dict(self.env),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._said,
                start_new_session=True,
            )
        except OSError as error:
            self._failed = Ended("failed", f"it could not be started: {error}")
        return self

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def ended(self) -> Ended | None:
        """Return how it ended; None while it runs."""
        if self._failed or self._process is None:
            return self._failed
        code = self._process.poll()
        if code is None:
            return None
        said = self._last_words()
        if code in _DONE:
            return Ended("done", "incomplete" if code == INCOMPLETE else "")
        if code == BusyError.exit_code:
            return Ended("busy", said)
        if code < 0:
            name = signal.Signals(-code).name if -code in signal.valid_signals() else f"signal {-code}"
            hint = (
                ": the machine may be out of memory" if -code == signal.SIGKILL and not self._stopped else ""
            )
            said = f"ended by {name}{hint}"
        return Ended("failed", said or f"ended with exit code {code}")

    def _last_words(self) -> str:
        """Return the end of what it said to people, in one line."""
        if self._said is None:
            return ""
        size = self._said.seek(0, os.SEEK_END)
        self._said.seek(max(0, size - _TAIL))
        lines = self._said.read().decode("utf-8", "replace").splitlines()
        return " ".join(line.strip() for line in lines[-_LINES:] if line.strip())

    def stop(self) -> None:
        """End it; what it had not recorded is as if it had never been."""
        self._stopped = True
        if self._process is None or self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(1)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def running_auditor(config: str, *words: str) -> Callable[[Slot], ChildRun]:
    """Return what begins a command of auditor for a slot; `{slot}` in its words is the slot's name."""

    def begin(slot: Slot) -> ChildRun:
        filled = [word.replace("{slot}", slot.name) for word in words]
        command = [sys.executable, "-m", "auditor", "-c", config, *filled]
        return ChildRun(command, os.environ).begin()

    return begin
