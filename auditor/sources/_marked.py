"""Listings that AWS cuts into pages with a flag and markers, read to their end or not at all.

botocore's own paginators stop without a word when a page says there is more and gives no marker.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from auditor.sources.ask import Suspect, Truncated, cut_short


def marked(
    ask_for: Callable[..., Mapping[str, Any]],
    markers: Mapping[str, str],
    *needed: str,
    more: str = "IsTruncated",
    **params: Any,
) -> Iterator[Mapping[str, Any]]:
    """Yield the pages of a listing; raises Suspect for a page without the `needed` keys.

    `markers`: the page's key of each marker and the parameter that hands it back. `more` empty:
    a marker is the flag. Truncated when pages were read and the end was not.
    """
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.parsers import ResponseParserError

    read = 0
    onward: dict[str, Any] = {}
    while True:
        try:
            page = _whole(ask_for(**params, **onward), needed)
        except (BotoCoreError, ClientError, ResponseParserError, Suspect, UnicodeDecodeError) as error:
            if cut := cut_short(read, error):
                raise cut from error
            raise
        read += 1
        yield page
        before, onward = onward, {given: page[key] for key, given in markers.items() if page.get(key)}
        if not (page.get(more) if more else onward):
            return
        if not onward or onward == before:
            raise Truncated(f"page {read} says there is more and not where")


def _whole(page: Mapping[str, Any], needed: tuple[str, ...]) -> Mapping[str, Any]:
    if missing := [key for key in needed if key not in page]:
        raise Suspect(f"the answer has no {', '.join(missing)}")
    return page
