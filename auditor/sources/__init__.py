"""One module per system we read; each yields rows, what it saw to the end, and gaps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, cast

if TYPE_CHECKING:
    from auditor.model import Gap, Row, Seen
    from auditor.sources.ask import Ask

NAMES = (
    "gcp_dataproc",
    "gcp_logging",
    "aws_cloudtrail",
    "aws_iam",
    "aws_backup",
    "aws_s3",
    "directory",
)
"""Every source: module, section of the configuration and word on the command line in one."""


class Source(Protocol):
    """What a module of this package offers."""

    TABLES: tuple[str, ...]
    AFTER: tuple[str, ...]
    ACTIONS: tuple[str, ...]
    Settings: type[Any]
    collect: Callable[[Ask], Iterator[Row | Seen | Gap]]


def source(name: str) -> Source:
    """Import one source by name; no SDK is imported before it collects."""
    return cast("Source", import_module(f"auditor.sources.{name}"))
