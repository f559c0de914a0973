"""The façade of the emulated AWS: start it, seed it, break it, count what was asked."""

from __future__ import annotations

from collections import Counter
from datetime import datetime

from auditor.sandbox.aws.backup_seeds import BackupSeeds
from auditor.sandbox.aws.books import Books
from auditor.sandbox.aws.iam_seeds import IamSeeds
from auditor.sandbox.aws.s3_seeds import S3Seeds
from auditor.sandbox.aws.trail_seeds import TrailSeeds
from auditor.sandbox.faults import Faults


class AwsCloud(S3Seeds, IamSeeds, TrailSeeds, BackupSeeds):
    """An AWS of many accounts and regions on loopback; several may live in one process, each its own world.

    The caller's account is that of the role it assumed, of the user whose access key it signs with, or the access
    key id itself when that is twelve digits; any other caller is `account`.
    """

    def __init__(self, faults: Faults | None = None, *, account: str = "111111111111") -> None:
        self.faults = faults or Faults()
        self.books = Books(account)
        self.calls: Counter[tuple[str, str]] = Counter()
        """How often each (service, operation) was asked, refused or not."""

    def clock(self, at: datetime) -> None:
        """Set what the servers think the time is: next runs of plans, and which jobs are too old to be listed."""
        self.books.now = at

    def start(self) -> str:
        """Listen on a free port of 127.0.0.1 and return the endpoint URL."""
        raise NotImplementedError

    def stop(self) -> None:
        """Stop listening; raises Lie if any reply broke botocore's model."""
        raise NotImplementedError
