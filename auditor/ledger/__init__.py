"""The ledger: SQLite; findings as intervals, append-only, hash-chained."""

from auditor.ledger.ledger import Ledger
from auditor.ledger.owner import local_owner
from auditor.ledger.queries import Filters
from auditor.ledger.signoffs import SignOff
from auditor.ledger.values import (
    Alert,
    Before,
    BucketMemory,
    Check,
    Entry,
    ExportMemory,
    FindingRow,
    Lease,
    Memories,
    PointMemory,
    RuleNote,
    ScanRecord,
    ScanRow,
    Sending,
    WaiverRow,
)

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
