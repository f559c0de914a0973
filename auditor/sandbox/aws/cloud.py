"""The façade of the emulated AWS: start it, seed it, break it, count what was asked."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from threading import Thread
from typing import Any

from auditor.sandbox.aws.backup_seeds import BackupSeeds
from auditor.sandbox.aws.books import Books
from auditor.sandbox.aws.digest_seeds import DigestSeeds
from auditor.sandbox.aws.iam_seeds import IamSeeds
from auditor.sandbox.aws.inventory_seeds import InventorySeeds
from auditor.sandbox.aws.kms_seeds import KmsSeeds
from auditor.sandbox.aws.moto_world import MotoWorld
from auditor.sandbox.aws.point_seeds import PointSeeds
from auditor.sandbox.faults import Faults


class AwsCloud(DigestSeeds, InventorySeeds, IamSeeds, BackupSeeds, PointSeeds, KmsSeeds):
    """An AWS of many accounts and regions on loopback; several may live in one process, each its own world.

    The caller's account is that of the role it assumed, of the user whose access key it signs with, or the access
    key id itself when that is twelve digits; any other caller is `account`.
    """

    def __init__(
        self, faults: Faults | None = None, *, account: str = "111111111111", judged: bool = True
    ) -> None:
        self.faults = faults or Faults()
        self.judged = judged
        """Whether every reply of ours is judged against botocore's model before it is sent."""
        self.world = MotoWorld()
        self.books = Books(account)
        self.calls: Counter[tuple[str, str]] = Counter()
        """How often each (service, operation) was asked, refused or not."""
        self.endpoint = ""
        """Where it listens; empty until it is started."""
        self._server: Any = None
        self._thread: Thread | None = None

    def clock(self, at: datetime) -> None:
        """Set what the servers think the time is: next runs of plans, and which jobs are too old to be listed."""
        self.books.now = at

    def account_of(self, access_key: str) -> str:
        """Return whose account a caller acts in."""
        if access_key in self.books.sessions:
            return self.books.sessions[access_key].account
        if access_key in self.books.user_keys:
            return self.books.user_keys[access_key]
        if len(access_key) == 12 and access_key.isdigit():
            return access_key
        return self.books.account

    def start(self) -> str:
        """Listen on a free port of 127.0.0.1 and return the endpoint URL."""
        from auditor.sandbox.aws.server import serve

        self._server = serve(self)
        # The server looks this often whether it is to stop: hundreds of tests wait for that once each.
        self._thread = Thread(
            target=self._server.serve_forever, args=(0.02,), name="sandbox-aws", daemon=True
        )
        self._thread.start()
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"
        return self.endpoint

    def stop(self) -> None:
        """Stop listening; raises Lie if any reply of ours broke botocore's model."""
        self.faults.clear()
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()
            self._server = self._thread = None
        self.check()

    def check(self) -> None:
        """Raise Lie if any reply of ours broke botocore's model so far."""
        if self.books.lies:
            from auditor.sandbox.aws.judge import Lie

            raise Lie("\n".join(self.books.lies))
