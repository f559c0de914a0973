"""Servers that many tests share, each started once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from auditor.sandbox.estate import Estate


@pytest.fixture(scope="session")
def estate() -> Iterator[Estate]:
    """The running estate after its last week; tests only read it."""
    played = Estate.open()
    played.advance(played.weeks)
    yield played
    played.close()
