"""Give every emulated AWS a moto of its own: moto keeps one state per process, and a test run has many clouds.

moto's `BackendDict` is the root of all that state. While a cloud is entered (a context variable: per thread and per
request), the root shows that cloud's accounts; outside, it is moto's as ever.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from importlib import import_module
from typing import Any


def moto(module: str) -> Any:
    """Return a module of moto, loaded when first needed and as untyped as it behaves."""
    return import_module(f"moto.{module}")


class MotoWorld:
    """One cloud's share of moto's state."""

    def __init__(self) -> None:
        self.accounts: dict[str, dict[str, Any]] = {}
        """moto's service name -> account -> moto's backends of that account."""
        self.bucket_accounts: dict[str, tuple[str, str]] = {}
        """Bucket name -> (partition, account): names are unique in one world."""

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Let moto see this world, and only it, until the end of the block."""
        _patch()
        token = _ENTERED.set(self)
        try:
            yield
        finally:
            _ENTERED.reset(token)

    def account(self, root: Any, account: str) -> Any:
        """Return moto's backends of one service and account, made when first asked for."""
        base = moto("core.base_backend")
        service = self.accounts.setdefault(root.service_name, {})
        with base.backend_lock:
            if account not in service:
                service[account] = base.AccountSpecificBackend(
                    service_name=root.service_name,
                    account_id=account,
                    backend=root.backend,
                    use_boto3_regions=root._use_boto3_regions,  # noqa: SLF001 - moto has no other door
                    additional_regions=root._additional_regions,  # noqa: SLF001 - moto has no other door
                )
            return service[account]


_ENTERED: ContextVar[MotoWorld | None] = ContextVar("entered", default=None)


@cache
def _patch() -> None:
    """Teach moto's root to look at the entered world; idempotent."""
    root = moto("core.base_backend").BackendDict

    def view(name: str) -> Callable[..., Any]:
        plain = getattr(root, name)

        def method(self: Any, *given: Any) -> Any:
            world = _ENTERED.get()
            if world is None:
                return plain(self, *given)
            return getattr(world.accounts.setdefault(self.service_name, {}), name)(*given)

        return method

    for name in ("__iter__", "__len__", "__contains__", "keys", "values", "items", "get"):
        setattr(root, name, view(name))
    plain_getitem = root.__getitem__

    def getitem(self: Any, account: str) -> Any:
        world = _ENTERED.get()
        return plain_getitem(self, account) if world is None else world.account(self, account)

    root.__getitem__ = getitem

    def bucket_accounts(self: Any) -> Any:
        world = _ENTERED.get()
        return self.__dict__["bucket_accounts"] if world is None else world.bucket_accounts

    def set_bucket_accounts(self: Any, accounts: Any) -> None:
        self.__dict__["bucket_accounts"] = accounts

    moto("s3.models").S3BackendDict.bucket_accounts = property(bucket_accounts, set_bucket_accounts)
