"""What the access policy of each vault lets in and holds back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from auditor.correlate import Tables
from auditor.correlate.guarding import guarded_from_deletion, opened

TABLE = "vault_policy"
READS = ("backup_vault", "config_place")


def derive(tables: Tables) -> Iterator[Mapping[str, Any]]:
    """Yield one row a vault."""
    trusted = frozenset(row["account"] for row in tables["config_place"] if row["cloud"] == "aws")
    for vault in tables["backup_vault"]:
        text, arn, account = vault["policy"], vault["arn"], vault["account"]
        yield {
            "vault_arn": arn,
            **opened(text, account, trusted),
            **guarded_from_deletion(text, arn, account),
        }
