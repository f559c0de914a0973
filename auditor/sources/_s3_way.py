"""By which way the objects of one bucket are read: from its inventory and what was written since, or by listing it.

An inventory is as of the time its scan began, and only in the long run: "a list might not include recently added or
deleted objects" (Amazon S3 User Guide, "Amazon S3 Inventory"). So it counts for what was written a margin before that
time. What came later is listed: the prefixes of exports, and those that data events tell of. Where events were not read
without a gap nobody can tell what else was written: a small bucket is listed whole then, of a large one it is a gap.

Calls, for a bucket with C configurations: ceil(C / 100), at least 1; with an inventory ceil(deliveries / 1,000) + 2 +
its data files, and one per 1,000 versions of each prefix that is listed, at least one a prefix.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from auditor.canonical import connect, quoted
from auditor.model import Bulk, Gap, Row, Seen
from auditor.sources._s3_inventory import Delivery, Unusable, able, configurations, fetched, newest
from auditor.sources._s3_inventory_table import Home, written
from auditor.sources._s3_objects import (
    MARKER,
    SETTLED,
    Listing,
    Version,
    decoded,
    drained,
    is_marker,
    listing,
    read_on,
    remember,
)
from auditor.sources._s3_since import Since, Spoken
from auditor.sources.ask import gap, guard

if TYPE_CHECKING:
    from auditor.sources.ask import Ask

SMALL = 20
"""Pages of 1,000 versions. So many calls are made rather than leave a gap."""


@dataclass(slots=True)
class Way:
    """How one bucket is read, and what of it others need to know."""

    listing: Listing
    """Of the whole bucket; read only if no inventory serves."""
    replicated: bool
    unversioned: bool
    """It never had versioning: then its current versions are all there are."""
    spoken: Spoken
    name: str = ""
    """inventory, prefixes or listing; empty while it is not settled."""
    delivery: Delivery | None = None
    since: datetime | None = None
    """What the inventory proves until; later writes were listed."""
    prefixes: tuple[str, ...] = ()
    """Listed beside the inventory, or instead of the whole bucket."""
    objects: int = 0
    """Versions and delete markers that were read."""
    whole: bool = True
    """Nothing that was written can have gone unseen."""
    why: list[str] = field(default_factory=list)
    """Why no inventory was read, or not the newest."""
    markers: list[Version] = field(default_factory=list)
    now: datetime | None = None

    def take(self, version: Version, ask: Ask) -> None:
        """Look at a version that was listed."""
        self.objects += 1
        if is_marker(version):
            self.markers.append({name: version[name] for name in _SHARED})
        if self.replicated:
            remember(self.listing, version, ask)

    def listed(self, ask: Ask) -> None:
        """Note that the bucket was listed."""
        self.name, self.now = "listing", ask.now
        self.whole = self.listing.guard.ok
        if not self.whole and self.why:
            self.listing.guard.detail += f" (instead of its inventory: {'; '.join(self.why)})"

    def row(self) -> Row:
        """Return the row of the table `s3_listing`."""
        delivery = self.delivery
        values: dict[str, Any] = {
            "bucket": self.listing.bucket,
            "account": self.listing.account,
            "region": self.listing.region,
            "way": self.name,
            "objects": self.objects,
            "prefixes": list(self.prefixes),
            "whole": self.whole,
            "because": "; ".join(self.why),
        }
        if delivery is not None and self.now is not None:
            values |= {
                "configuration": delivery.configuration.name,
                "format": delivery.form,
                "delivered_at": delivery.created_at,
                "age_s": int((self.now - delivery.created_at).total_seconds()),
                "settled_at": self.since,
                "files": len(delivery.files),
            }
        return Row("s3_listing", values)


_SHARED = ("bucket", "key", "version_id", "account", "region", "dir", "last_modified", "bytes")
"""What the row of a marker takes over from its version."""


def by_inventory(
    ask: Ask, way: Way, homes: Mapping[str, tuple[str, str]]
) -> Iterator[Row | Bulk | Seen | Gap]:
    """Read a bucket from its inventory; `way` stays without a name when the bucket has to be listed.

    `homes`: account and region of each bucket that is known.
    """
    if not ask.settings.inventory:
        way.why.append("inventories are switched off")
        return
    found: list[tuple[Delivery, Since, Any]] = []
    with guard(action="s3:GetInventoryConfiguration") as looked:
        found.append(_found(ask, way, homes))
    if not looked.ok:
        way.why.append(looked.detail)
        return
    ((delivery, since, client),) = found
    if not since.seen and (few := _small(ask, way)) is not None:
        yield from _few(ask, way, few, delivery)
        return
    with TemporaryDirectory(dir=ask.spool, prefix="inventory-") as folder:
        path = Path(folder) / "versions.parquet"
        with guard() as read:
            way.objects = _written(ask, way, delivery, since, client, path)
        if not read.ok:
            way.why.append(f"the delivery of {delivery.created_at:%Y-%m-%dT%H:%MZ} {read.detail}")
            return
        way.name, way.delivery, way.now = "inventory", delivery, ask.now
        way.since = delivery.created_at - timedelta(seconds=ask.settings.inventory_margin)
        _look_into(ask, way, path)
        yield Bulk("s3_object_version", path)
    way.why += delivery.passed_over
    yield from _beside(ask, way, delivery, since)


def _found(ask: Ask, way: Way, homes: Mapping[str, tuple[str, str]]) -> tuple[Delivery, Since, Any]:
    """Return the delivery that proves most, what was written since, and who may read it; Unusable says why none."""
    here = way.listing
    every = configurations(ask.clients.aws("s3", here.account, here.region), here.bucket)
    if not every:
        raise Unusable("no inventory is configured")
    serving, why = able(every, here.bucket, way.spoken.exported(here.bucket), versioned=not way.unversioned)
    for config in serving:
        account, region = homes.get(config.bucket, (here.account, here.region))
        client = ask.clients.aws("s3", account, region)
        found: list[Delivery] = []
        with guard() as looked:
            oldest = timedelta(seconds=ask.settings.inventory_max_age)
            found.append(newest(client, config, here.bucket, ask.now, oldest))
        if not looked.ok:
            why.append(f"inventory {config.name}: {looked.detail}")
            continue
        settled = found[0].created_at - timedelta(seconds=ask.settings.inventory_margin)
        since = way.spoken.since(here.scope, settled, timedelta(seconds=ask.settings.inventory_relist))
        if "" in since.prefixes:
            raise Unusable(
                "something was written at the root of the bucket since its inventory: all of it was listed"
            )
        way.why += why
        return found[0], since, client
    raise Unusable("; ".join(why))


def _small(ask: Ask, way: Way) -> list[Version] | None:
    """Return every version of a bucket that has few, by listing it; None when it has more or cannot be listed."""
    here = way.listing
    probe, found = listing(ask, here.bucket, here.account, here.region), list[Version]()
    for _ in range(SMALL):
        if read_on(probe).page is None:
            return found if probe.guard.ok else None
        found += probe.page or ()
    return None


def _few(ask: Ask, way: Way, versions: list[Version], delivery: Delivery) -> Iterator[Row | Seen]:
    """Yield a bucket that was listed in place of an inventory after which nobody knows what was written."""
    for version in versions:
        yield Row("s3_object_version", version)
        way.take(version, ask)
    way.name = "listing"
    way.why.append(
        f"no data events tell what was written since its inventory of {delivery.created_at:%Y-%m-%dT%H:%MZ}, "
        "and it was small enough to be listed"
    )
    yield way.listing.scope


def _written(ask: Ask, way: Way, delivery: Delivery, since: Since, client: Any, path: Path) -> int:
    """Fetch a delivery and write it as a file of the table; returns how many rows it has."""
    here, folder = way.listing, path.parent
    files = fetched(ask, client, delivery, folder)
    home = Home(here.bucket, here.account, here.region)
    return written(
        delivery, files, home, path, left_out=since.prefixes, decode=decoded, spill=folder / "spill"
    )


def _look_into(ask: Ask, way: Way, path: Path) -> None:
    """Take the markers out of a file of versions, and the newest object where replication is looked at."""
    file = f"read_parquet({quoted(str(path))})"
    picked = f"SELECT {', '.join(_SHARED)} FROM {file} WHERE NOT is_delete_marker AND "
    with connect(memory_limit="128MB") as connection:
        found = connection.execute(
            f"{picked} (key = '{MARKER}' OR ends_with(key, '/{MARKER}')) ORDER BY key, version_id"
        )
        while batch := found.fetchmany(1000):
            way.markers += (_version(row) for row in batch)
        if way.replicated:
            settled = quoted((ask.now - SETTLED).astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S"))
            row = connection.execute(
                f"{picked} is_latest AND last_modified <= TIMESTAMP {settled} ORDER BY last_modified DESC, key LIMIT 1"
            ).fetchone()
            way.listing.newest = _version(row) if row else None


def _version(row: tuple[Any, ...]) -> Version:
    found = dict(zip(_SHARED, row, strict=True))
    return found | {"last_modified": found["last_modified"].replace(tzinfo=UTC), "inventoried": True}


def by_prefixes(ask: Ask, way: Way) -> Iterator[Row | Gap]:
    """List what jobs and data events speak of in a bucket; `way` stays without a name when all of it has to be listed.

    What else lies there nobody knows then: a gap, which hides no export whose prefix was listed.
    """
    prefixes = way.spoken.prefixes(way.listing.bucket)
    if not prefixes or "" in prefixes:
        where = (
            "a job or event speaks of the root of the bucket" if prefixes else "nothing speaks of a prefix"
        )
        way.why.append(f"{where}: all of it was listed")
        return
    way.name, way.now, way.whole = "prefixes", ask.now, False
    failed = yield from _listed(ask, way, prefixes, ())
    detail = (
        'only the prefixes that jobs and data events speak of were listed ([sources.aws_s3] listing = "prefixes"): '
        'configure an inventory of the bucket, or list all of it (listing = "bucket")'
    )
    yield failed or gap(way.listing.scope, "not_enabled", detail)


def _listed(
    ask: Ask, way: Way, prefixes: Sequence[str], outside: Sequence[Listing]
) -> Generator[Row, None, Gap | None]:
    """List prefixes and other parts of a bucket, note which of them were read, and return what failed."""
    here = way.listing
    found = {
        prefix: listing(ask, here.bucket, here.account, here.region, prefix=prefix) for prefix in prefixes
    }
    every = (*found.values(), *outside)
    yield from drained(ask, every, lambda _, version: way.take(version, ask))
    way.prefixes = tuple(prefix for prefix, each in found.items() if each.guard.ok)
    failed = next((each.guard for each in every if not each.guard.ok), None)
    if failed is None:
        return None
    here.guard.reason, here.guard.detail = failed.reason, failed.detail
    return gap(here.scope, failed.reason, failed.detail)


def _beside(ask: Ask, way: Way, delivery: Delivery, since: Since) -> Iterator[Row | Seen | Gap]:
    """List what the inventory does not tell of, and say what of the bucket was seen."""
    here, of_prefix = way.listing, delivery.configuration.of_prefix
    one = partial(listing, ask, here.bucket, here.account, here.region)
    outside = [one(before=of_prefix), one(after=f"{of_prefix}\U0010ffff")] if of_prefix else []
    failed = yield from _listed(ask, way, since.prefixes, outside)
    way.whole = failed is None and since.seen
    if failed is not None:
        yield failed
    elif not since.seen:
        assert way.since is not None
        detail = (
            f"its inventory is of {delivery.created_at:%Y-%m-%dT%H:%MZ}, and what was written outside the prefixes of "
            f"exports since {way.since:%Y-%m-%dT%H:%MZ} no data events tell: record S3 write data events of the bucket"
        )
        yield gap(here.scope, "not_enabled", detail)
    else:
        yield here.scope
