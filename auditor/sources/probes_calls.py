"""How a probe asks AWS, and what it needs to know for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from auditor.sources.ask import listed, need
from auditor.sources.probes import Spot

Answer = Mapping[str, Any]
Params = Mapping[str, Any]


def nothing(_spot: Spot) -> Params:
    """Return no parameters."""
    return {}


def no_more(_answer: Answer) -> Answer:
    """Tell nothing of an answer."""
    return {}


def asking(
    service: str,
    operation: str,
    params: Callable[[Spot], Params | None] = nothing,
    tell: Callable[[Answer], Answer] = no_more,
    *,
    absent: Sequence[str] = (),
) -> Callable[[Spot], Answer | None]:
    """Return a call of botocore; the codes of `absent` say that nothing is set, and so that it is allowed."""

    def call(spot: Spot) -> Answer | None:
        from botocore.exceptions import ClientError

        wanted = params(spot)
        if wanted is None:
            return None
        asked = dict(wanted)
        region = asked.pop("@region", spot.region if spot.region != "*" else "us-east-1")
        client = spot.clients.aws(service, spot.account, region)
        if service == "s3control":
            from auditor.sources.aws_s3 import _without_account_host

            name = "before-call.s3-control"
            client.meta.events.register(name, _without_account_host, unique_id="auditor-account-host")
        try:
            return tell(getattr(client, operation)(**asked))
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") in absent:
                return {}
            raise

    return call


def has(key: str) -> Callable[[Answer], Answer]:
    """Return what tells an answer from an empty one, which proves nothing; Malformed when the key is missing."""

    def tell(answer: Answer) -> Answer:
        need(answer, key)
        return {}

    return tell


def given(**names: str) -> Callable[[Spot], Params | None]:
    """Return parameters of what was found, all or none: `BackupVaultName="vault"`."""

    def params(spot: Spot) -> Params | None:
        found = {param: spot.get(name) for param, name in names.items()}
        return None if any(value is None for value in found.values()) else found

    return params


def first(key: str, **names: str) -> Callable[[Answer], Answer]:
    """Return what tells of the first item of a list: `vault="BackupVaultName"`."""

    def tell(answer: Answer) -> Answer:
        items = listed(answer, key)
        return {name: items[0].get(member) for name, member in names.items()} if items else {}

    return tell
