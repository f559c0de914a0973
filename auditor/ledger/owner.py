"""Who holds a slot: a process of a machine, by a name that tells whether it still runs."""

from __future__ import annotations

import os
from pathlib import Path


def local_owner() -> str:
    """Name this process so that another on this machine can tell whether it still runs."""
    import socket

    return f"{socket.gethostname()}/{os.getpid()}/{_started(os.getpid())}"


def is_gone(owner: str) -> bool:
    """Say whether an owner is known to have ended; one of another machine never is."""
    import socket

    host, _, rest = owner.partition("/")
    pid, _, started = rest.partition("/")
    if host != socket.gethostname() or not pid.isdigit():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass
    return _started(int(pid)) != started


def _started(pid: int) -> str:
    """Return when a process began, in the kernel's ticks: an id alone may have been given anew. Empty once it has ended."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    fields = stat.rpartition(")")[2].split()
    return "" if fields[0] in {"Z", "X"} else fields[19]  # it may have ended and nobody asked how
