"""The ledger: SQLite; findings as intervals, append-only, hash-chained."""

from auditor.ledger.ledger import Ledger
from auditor.ledger.owner import local_owner
from auditor.ledger.queries import Filters
from auditor.ledger.recorded import (
    Before,
    BucketMemory,
    ExportMemory,
    Memories,
    PointMemory,
    RuleNote,
    ScanRecord,
)
from auditor.ledger.signoffs import SignOff
from auditor.ledger.values import Alert, Check, Entry, FindingRow, Lease, ScanRow, Sending, WaiverRow

__all__ = [
    "Alert",
    "Before",
    "BucketMemory",
    "Check",
    "Entry",
    "ExportMemory",
    "Filters",
    "FindingRow",
    "Lease",
    "Ledger",
    "Memories",
    "PointMemory",
    "RuleNote",
    "ScanRecord",
    "ScanRow",
    "Sending",
    "SignOff",
    "WaiverRow",
    "local_owner",
]
