"""Where the steps of the correlation run: the same text on every engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from auditor.config_engine import Engine as Settings
    from auditor.engines.duckdb import Engine
    from auditor.snapshot import Snapshot


def opened(
    settings: Settings | None,
    snapshot: Snapshot | None,
    *,
    memory_limit: str,
    threads: int,
    spill_mb: int = 0,
    planned: bool = True,
) -> Engine:
    """Return the engine of a configuration with the tables of a snapshot; EngineError when it cannot be reached.

    `planned` is for the embedded one: False runs statements as they are written.
    """
    if settings is not None and settings.name == "spark":
        from auditor.engines import spark

        return spark.Engine.connected(settings, snapshot, memory_limit=memory_limit, threads=threads)
    from auditor.engines import duckdb

    return duckdb.Engine.open(
        snapshot, memory_limit=memory_limit, threads=threads, spill_mb=spill_mb, planned=planned
    )
