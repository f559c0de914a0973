"""Faults that a sandbox cloud answers with instead of the truth: what production does on its bad days."""

from __future__ import annotations

from dataclasses import dataclass
from threading import Event, Lock

KINDS = {
    "deny": "the service refuses: access denied",
    "throttle": "the service refuses: too many requests",
    "fail": "the service fails: 500 or 503",
    "hang": "no answer until `release()` or the bound, then a closed connection",
    "cut": "a body shorter than its Content-Length",
    "empty": "200 with nothing in it",
    "expire": "the credentials have expired",
    "off": "AWS alone: the account has not enabled the region, which knows none of its credentials",
    "garbage": "200 with bytes that are not the protocol",
    "truncate": "a first page that promises more, then a failure on the second",
}
"""Every kind of fault, with its words."""


@dataclass(slots=True)
class _Fault:
    service: str
    operation: str
    kind: str
    account: str | None
    region: str | None
    resource: str | None
    left: int | None

    def meets(self, service: str, operation: str, where: tuple[str | None, ...]) -> bool:
        scope = (self.account, self.region, self.resource)
        return (
            self.left != 0
            and (self.service == service or (self.service == "*" and service != "sts"))
            and self.operation in (operation, "*")
            and all(want is None or want == is_ for want, is_ in zip(scope, where, strict=True))
        )


class Faults:
    """The faults planned for one sandbox; thread-safe, shared by both clouds.

    Services are named as botocore names them, or `dataproc`, `logging`, `resourcemanager` and `iamadmin`. Operations are
    the vendor's (`ListBackupVaults`, `ListJobs`); `*` stands for all of a service, or for all services but `sts`, without
    which nobody asks anything. The fault set last wins.
    """

    def __init__(self, *, hang_s: float = 5.0) -> None:
        self.hang_s = hang_s
        """A hang ends after this many seconds at the latest."""
        self._planned: list[_Fault] = []
        self._lock = Lock()
        self._released = Event()

    def set(
        self,
        service: str,
        operation: str,
        kind: str,
        *,
        account: str | None = None,
        region: str | None = None,
        resource: str | None = None,
        times: int | None = None,
    ) -> None:
        """Plan a fault; `times` None keeps it until `clear`, a scope of None meets everything.

        A `truncate` counts each of its two pages; leave its `times` None. Raises ValueError for an unknown kind.
        """
        if kind not in KINDS:
            raise ValueError(f"no fault is called {kind!r}; there are {', '.join(sorted(KINDS))}")
        with self._lock:
            self._released.clear()
            self._planned.append(_Fault(service, operation, kind, account, region, resource, times))

    def clear(self) -> None:
        """Forget every fault, and let go of what hangs."""
        with self._lock:
            self._planned.clear()
        self.release()

    def hit(
        self,
        service: str,
        operation: str,
        account: str | None = None,
        region: str | None = None,
        resource: str | None = None,
    ) -> str | None:
        """Return the kind of fault that meets this call, counting it; None when the call goes through."""
        with self._lock:
            for fault in reversed(self._planned):
                if fault.meets(service, operation, (account, region, resource)):
                    if fault.left is not None:
                        fault.left -= 1
                    return fault.kind
        return None

    def hold(self) -> None:
        """Block a call that hangs, until `release` or the bound."""
        self._released.wait(self.hang_s)

    def release(self) -> None:
        """Let go of every call that hangs now; later ones hang again once a fault is set."""
        self._released.set()
