"""What exports of one bucket, label and recovery point have in common, of which nothing is in doubt."""

from __future__ import annotations

from auditor.correlate.links.plain import CAPTURE_READS as READS
from auditor.correlate.links.plain import captures as derive
from auditor.correlate.links.reading import COLUMNS

TABLE = "plain_capture"
__all__ = ["COLUMNS", "READS", "TABLE", "derive"]
