"""Whether the digests of each trail and region verify and follow one another, and how long the stream was silent.

CloudTrail writes a digest every hour, with or without events: it is both the seal on the log files and their heartbeat.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from itertools import pairwise
from typing import Any

from auditor.correlate import Tables
from auditor.correlate.sight import Sight
from auditor.correlate.zoning import Row, seconds

TABLE = "digest_chain"
READS = ("cloudtrail_trail", "recent_digest", "coverage", "as_of")

KEPT = timedelta(days=15)
"""How far back `recent_digest` goes."""


def derive(tables: Tables) -> Iterator[Mapping[str, Any]]:
    """Yield one row a trail and region that has digests, and one a validated trail that has none though all were listed."""
    (now,) = tables["as_of"]
    sight = Sight(tables["coverage"])
    chains: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for digest in tables["recent_digest"]:
        chains[digest["trail_arn"], digest["region"]].append(digest)
    trails = {row["arn"]: row for row in tables["cloudtrail_trail"] if row["logging"] is not None}
    for arn, trail in sorted(trails.items()):
        since = _since(tables["coverage"], arn, trail, now["as_of"])
        if not trail["validated"] or since is None:
            continue
        mine = {region: rows for (of, region), rows in sorted(chains.items()) if of == arn}
        for region, digests in mine.items():
            ordered = sorted(digests, key=lambda row: (row["end_at"], row["key"]))
            yield _row(trail, region, ordered, since, now, partial(_seen, sight, trail, region))
        if not mine and not sight.gaps(
            "cloudtrail_digest", trail["account"], resource=arn, from_at=since, until_at=now["as_of"]
        ):
            yield _row(trail, trail["region"], [], since, now, partial(_seen, sight, trail, trail["region"]))


def _seen(sight: Sight, trail: Row, region: str, at: datetime) -> bool:
    """Tell whether the digests of a trail that ended at a time in a region were read."""
    return not sight.gaps(
        "cloudtrail_digest", trail["account"], region=region, resource=trail["arn"], until_at=at
    )


def _since(coverage: Any, arn: str, trail: Row, now: datetime) -> datetime | None:
    """Return from when on digests of a trail were read, or it began to log if that is later; None when they never were."""
    read = [
        row["from_at"]
        for row in coverage
        if row["table_name"] == "cloudtrail_digest" and row["resource"] == arn and row["from_at"] is not None
    ]
    if not read:
        return None
    since: datetime = max(min(read), now - KEPT)
    return max(since, trail["started_at"]) if trail["started_at"] is not None else since


def _row(
    trail: Row,
    region: str,
    digests: Sequence[Row],
    since: datetime,
    now: Row,
    seen: Callable[[datetime], bool],
) -> dict[str, Any]:
    recent = [row for row in digests if now["previous_at"] is None or row["end_at"] > now["previous_at"]]
    begin = since if now["previous_at"] is None else max(since, now["previous_at"])
    ends = [begin, *(row["end_at"] for row in recent)]
    pauses = [seconds(later, sooner) or 0 for sooner, later in pairwise(ends)]
    # The last one may still be on its way.
    tail = (seconds(now["as_of"], ends[-1]) or 0) - now["horizon_cloudtrail_s"]
    troubles = [*_troubles(digests, since, seen)]
    if not digests and tail > 7200:
        troubles.append(f"no digest stands in its bucket since {since:%Y-%m-%d %H:%MZ}")
    return {
        "trail_arn": trail["arn"],
        "account": trail["account"],
        "region": region,
        "digests": len(digests),
        "first_at": digests[0]["end_at"] if digests else None,
        "last_at": digests[-1]["end_at"] if digests else None,
        "troubles": troubles[:10],
        "files": sum(row["files"] or 0 for row in digests),
        "files_unread": sum(row["files_unread"] or 0 for row in digests),
        "longest_silence_s": max([*pauses, tail, 0]),
    }


def _troubles(digests: Sequence[Row], since: datetime, seen: Callable[[datetime], bool]) -> Iterator[str]:
    """Yield what does not hold, in the order of time: a seal, a log file, or the chain from one to the next.

    A digest is missed only where those of its time were read: behind a gap it may well be there.
    """
    before: Row | None = None
    names = {row["key"] for row in digests}
    for row in digests:
        name = row["key"].rpartition("/")[2]
        if row["signature"] != "valid":
            yield f"{name}: {row['says'] or row['signature']}"
        yield from (f"{key.rpartition('/')[2]} is not what {name} says" for key in row["files_changed"] or ())
        yield from (
            f"{key.rpartition('/')[2]}, which {name} names, is not there"
            for key in row["files_missing"] or ()
        )
        previous = row["previous_key"]
        if previous is None:  # it could not be read: said above
            pass
        elif before is None:
            at = _ended(previous)
            if previous and previous not in names and at > since and seen(at):
                yield f"{previous.rpartition('/')[2]}, which {name} follows, is not there"
        elif not previous:
            yield f"{name} begins the chain anew after {before['key'].rpartition('/')[2]}"
        elif previous != before["key"]:
            if seen(max(_ended(previous), before["end_at"])):
                yield f"{previous.rpartition('/')[2]}, which {name} follows, is not there"
        elif before["sha256"] is not None and (row["previous_sha256"], row["previous_signature_sha256"]) != (
            before["sha256"],
            before["signature_sha256"],
        ):
            yield f"{before['key'].rpartition('/')[2]} is not the one that {name} follows"
        before = row


def _ended(key: str) -> datetime:
    """Return when the digest of a key ended; the beginning of time for a key that does not say."""
    from datetime import UTC

    stamp = key.rpartition("_")[2].removesuffix(".json.gz")
    try:
        return datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        return datetime.min.replace(tzinfo=UTC)
