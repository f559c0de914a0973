"""What the steps of a story act upon: both clouds, the trail, and how much every bucket holds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from auditor.sandbox.aws import AwsCloud
    from auditor.sandbox.estate_story import Story
    from auditor.sandbox.gcp import GcpCloud


@dataclass(frozen=True, slots=True)
class Step:
    """Something that happens at a moment, and how to make it so."""

    at: datetime
    act: Callable[[], object]
    needs_trail: bool = False
    """Changes what the trail records: everything before it is told to the trail first."""


@dataclass(slots=True)
class Stage:
    """Both clouds while a story is played on them."""

    aws: AwsCloud
    gcp: GcpCloud
    story: Story
    keep_d: dict[str, int] = field(default_factory=dict)
    """Days each plan keeps its points now."""
    points: dict[tuple[str, datetime], str] = field(default_factory=dict)
    """Recovery points by bucket and scheduled time."""
    _sizes: dict[str, dict[str, int]] = field(default_factory=lambda: defaultdict(dict))
    _events: dict[tuple[date, str, str], list[Mapping[str, Any]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    _entries: list[Mapping[str, Any]] = field(default_factory=list)

    def put(self, bucket: str, key: str, body: bytes, *, at: datetime, multipart: bool = False) -> str:
        """Write an object and return its version id."""
        self._sizes[bucket][key] = len(body)
        return self.aws.put_object(bucket, key, body, at=at, multipart=multipart)

    def delete(self, bucket: str, key: str, *, at: datetime, version: str | None = None) -> str | None:
        """Delete a version for good, or put a delete marker and return its version id."""
        self._sizes[bucket].pop(key, None)
        return self.aws.delete_object(bucket, key, at=at, version_id=version)

    def size(self, bucket: str) -> int:
        """Return how many bytes a bucket holds now."""
        return sum(self._sizes[bucket].values())

    def record(self, events: Sequence[Mapping[str, Any]]) -> None:
        """Remember CloudTrail records until they are told."""
        for event in events:
            day = datetime.fromisoformat(event["eventTime"]).date()
            self._events[day, event["recipientAccountId"], event["awsRegion"]].append(event)

    def log(self, entries: Sequence[Mapping[str, Any]]) -> None:
        """Remember audit log entries until they are told."""
        self._entries += entries

    def tell(self) -> None:
        """Tell the trails and Cloud Logging what was remembered: one trail file a day, account and region."""
        for (_, account, region), events in sorted(self._events.items(), key=lambda item: item[0]):
            self.aws.put_events(account, region, sorted(events, key=_when))
        self._events.clear()
        self.gcp.add_entries(self._entries)
        self._entries.clear()


def _when(event: Mapping[str, Any]) -> tuple[str, str]:
    return str(event["eventTime"]), str(event["eventID"])
